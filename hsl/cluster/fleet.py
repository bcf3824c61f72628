"""What a cluster can grow to: how many trials at once, on which machines, at which price. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsl.cluster.kuberay import KIND, worker_types
from hsl.cluster.launcher import NodeType, check_cluster, node_types, read_cluster
from hsl.errors import HslError

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where Ray's launcher puts the cluster file on the head."""


@dataclass(frozen=True)
class Fleet:
    """The workers that a cluster may have.

    Attributes:
        source: File that says so.
        workers: Types of nodes, the head left out.
        most: How many there may be of all types together.
    """

    source: str
    workers: tuple[NodeType, ...]
    most: int

    @property
    def prices(self) -> dict[str, float]:
        """Price per hour of each type that has one."""
        return {node.name: node.price for node in self.workers if node.price is not None}

    def capacity(self, cpu: float, gpu: float) -> int:
        """How many trials run at once when the cluster has grown to its largest.

        Args:
            cpu: CPUs of a trial.
            gpu: GPUs of a trial; a fraction packs several on one.

        Raises:
            HslError: If no type of node can ever run one.
        """
        left, total = self.most, 0
        for node in sorted(self.workers, key=lambda node: -fitting(node.cpus, node.gpus, cpu, gpu)):
            nodes = min(node.most, left)
            left -= nodes
            total += nodes * fitting(node.cpus, node.gpus, cpu, gpu)
        if not total:
            offered = ", ".join(f"{n.name} with {n.cpus:g} CPU and {n.gpus:g} GPU" for n in self.workers)
            raise HslError(
                f"a trial asks for {cpu:g} CPU and {gpu:g} GPU, {self.source} has {offered or 'no worker'}; "
                f"lower resources, or add a type of node"
            )
        return total


def fitting(cpus: float, gpus: float, cpu: float, gpu: float) -> int:
    """How many trials that ask for `cpu` and `gpu` fit on a node that has `cpus` and `gpus`.

    A fraction of a GPU comes from a single one, as Ray places it.
    """
    by_cpu = _whole(cpus / cpu)
    if not gpu:
        return by_cpu
    return min(by_cpu, _whole(gpus) * _whole(1 / gpu) if gpu < 1 else _whole(gpus / gpu))


def _whole(value: float) -> int:
    return math.floor(value + 1e-9)


def fleet_of(cluster: Mapping[str, Any], source: str) -> Fleet:
    """The fleet that a cluster file describes, of Ray's launcher or of KubeRay; nothing is checked."""
    if cluster.get("kind") == KIND:
        groups = worker_types(cluster, source)
        return Fleet(source, groups, sum(group.most for group in groups))
    types = node_types(cluster)
    workers = tuple(node for name, node in types.items() if name != cluster.get("head_node_type"))
    return Fleet(source, workers, cluster.get("max_workers", 2))


def find_fleet(path: str | None, address: str | None) -> Fleet | None:
    """The fleet that a sweep will run on.

    Args:
        path: A cluster file that the user names, or None.
        address: Address of the cluster; None for this machine.

    Returns:
        That of the file; else, on a cluster, that which its head was started with; None where there is neither.

    Raises:
        HslError: If the file that is named has something wrong with it.
    """
    if path is not None:
        content = read_cluster(path)
        if content.get("kind") != KIND:  # the operator checks its own
            check_cluster(content, path)
        return fleet_of(content, path)
    on_head = Path(BOOTSTRAP).expanduser()
    return fleet_of(read_cluster(on_head), str(on_head)) if address and on_head.is_file() else None
