"""The workers of a RayCluster, as the KubeRay operator reads it. Pure."""

from collections.abc import Mapping
from typing import Any

from hsl.cluster.launcher import SPOT_PRICE_LABEL, NodeType, hourly
from hsl.errors import HslError

KIND = "RayCluster"

GPU = "nvidia.com/gpu"


def worker_types(content: Mapping[str, Any], source: str) -> tuple[NodeType, ...]:
    """The groups of workers of a RayCluster, from the content of the file `source`.

    Raises:
        HslError: If a group does not state its resources.
    """
    try:
        return tuple(_group(group) for group in content["spec"]["workerGroupSpecs"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise HslError(
            f"{source}: a worker group without {error}; each needs groupName, maxReplicas, and a container with "
            f"limits of cpu and {GPU}; see hsl/cluster/variants/kuberay.yaml"
        ) from error


def _group(group: Mapping[str, Any]) -> NodeType:
    """Read a group: KubeRay starts Ray with the limits of the first container, unless start parameters differ."""
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    given, labels = group.get("rayStartParams") or {}, group.get("labels") or {}
    return NodeType(
        name=group["groupName"],
        machine="",
        cpus=_quantity(given.get("num-cpus", limits["cpu"])),
        gpus=_quantity(given.get("num-gpus", limits.get(GPU, 0))),
        most=int(group["maxReplicas"]),
        is_spot=SPOT_PRICE_LABEL in labels,
        price=hourly(labels),
        on_demand_price=hourly(labels, is_spot=False),
    )


def _quantity(value: Any) -> float:
    """Parse ``4``, ``"4"`` or ``"3500m"`` (thousandths)."""
    text = str(value)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
