"""Prices of the nodes of a cluster per hour."""

from collections.abc import Iterable, Mapping
from typing import Any

from hsl.cluster.launcher import hourly

NODE_TYPE = "ray.io/node-group"
"""Label of a node with its type in the cluster file, set by Ray's autoscaler and KubeRay."""

ACCELERATOR = "accelerator_type:"
"""Prefix of the resource that names the accelerators of a node."""

DEFAULT = "default"
"""Key of the price of a node without another price."""


def price_of(nodes: Iterable[Mapping[str, Any]], prices: Mapping[str, float]) -> tuple[float, set[str]]:
    """Price per hour of all living nodes.

    A node costs the price of its type; else that of its accelerator, times their number; else the default; else
    that in its own labels, which come from the cluster file.

    Args:
        nodes: As from `ray.nodes`.
        prices: Name of a node type or accelerator, or ``default``, to a price per hour.

    Returns:
        The price, and the types of the nodes that have none.
    """
    total, unknown = 0.0, set()
    for node in nodes:
        if not node.get("Alive", True):
            continue
        resources = node.get("Resources", {})
        accelerator = next((k.removeprefix(ACCELERATOR) for k in resources if k.startswith(ACCELERATOR)), "")
        kind = node.get("Labels", {}).get(NODE_TYPE, "")
        if kind in prices:
            total += prices[kind]
        elif accelerator in prices:
            total += prices[accelerator] * resources.get("GPU", 1.0)
        elif DEFAULT in prices:
            total += prices[DEFAULT]
        elif (own := hourly(node.get("Labels", {}))) is not None:
            total += own
        else:
            unknown.add(kind or accelerator or DEFAULT)
    return total, unknown
