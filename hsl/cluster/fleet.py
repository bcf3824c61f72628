"""The largest size of a cluster: number of concurrent trials, machines, prices. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsl.cluster.kuberay import KIND, worker_types
from hsl.cluster.launcher import NodeType, check_cluster, node_types, read_cluster
from hsl.errors import HslError

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Path of the cluster file on the head, where Ray's launcher puts it."""


@dataclass(frozen=True)
class Fleet:
    """The types of workers that the cluster file `source` permits, and the largest number of all together."""

    source: str
    workers: tuple[NodeType, ...]
    most: int

    @property
    def prices(self) -> dict[str, float]:
        """Price per hour of each type that has one."""
        return {node.name: node.price for node in self.workers if node.price is not None}

    def capacity(self, cpu: float, gpu: float) -> int:
        """Number of trials with `cpu` CPUs and `gpu` GPUs (or a fraction) that run at once on the largest cluster.

        Raises:
            HslError: If no type of node can ever run one.
        """
        left, total = self.most, 0
        sizes = ((fitting(node.cpus, node.gpus, cpu, gpu), node.most) for node in self.workers)
        for size, most in sorted(sizes, reverse=True):
            nodes = min(most, left)
            left -= nodes
            total += nodes * size
        if not total:
            offered = ", ".join(f"{n.name} with {n.cpus:g} CPU and {n.gpus:g} GPU" for n in self.workers)
            raise HslError(
                f"a trial asks for {cpu:g} CPU and {gpu:g} GPU, {self.source} has {offered or 'no worker'}; "
                f"lower resources, or add a type of node"
            )
        return total


def fitting(cpus: float, gpus: float, cpu: float, gpu: float) -> int:
    """Number of trials that ask for `cpu` and `gpu`, of a single one if a fraction, on a node of `cpus` and `gpus`."""
    by_cpu = _whole(cpus / cpu)
    if not gpu:
        return by_cpu
    return min(by_cpu, _whole(gpus) * _whole(1 / gpu) if gpu < 1 else _whole(gpus / gpu))


def _whole(value: float) -> int:
    return math.floor(value + 1e-9)


def fleet_of(cluster: Mapping[str, Any], source: str) -> Fleet:
    """The fleet of an unchecked cluster file, of Ray's launcher or of KubeRay."""
    if cluster.get("kind") == KIND:
        groups = worker_types(cluster, source)
        return Fleet(source, groups, sum(group.most for group in groups))
    types = node_types(cluster)
    workers = tuple(node for name, node in types.items() if name != cluster.get("head_node_type"))
    return Fleet(source, workers, cluster.get("max_workers", 2))


def find_fleet(path: str | None, address: str | None) -> Fleet | None:
    """The fleet of a sweep.

    Args:
        path: A cluster file that describes it; None: on a cluster, the file on its head describes it.
        address: Address of the Ray cluster that the sweep runs on; None for this machine.

    Returns:
        The fleet; None where no file describes one.

    Raises:
        HslError: If the file at `path` has a problem.
    """
    if path is not None:
        content = read_cluster(path)
        if content.get("kind") != KIND:  # the operator checks its own files
            check_cluster(content, path)
        return fleet_of(content, path)
    on_head = Path(BOOTSTRAP).expanduser()
    return fleet_of(read_cluster(on_head), str(on_head)) if address and on_head.is_file() else None
