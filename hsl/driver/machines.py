"""The machines of a cluster, as Ray lists them: what is there, and what was lost. Pure; no torch, no ray."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hsl.cluster.prices import ACCELERATOR, NODE_TYPE

Node = Mapping[str, Any]

IDLE = 4
"""Ray's reason of death AUTOSCALER_DRAIN_IDLE."""

ON_PURPOSE = (1, IDLE)
"""Ray's reasons of death EXPECTED_TERMINATION and AUTOSCALER_DRAIN_IDLE: nothing was lost with such a node,
unless a trial was on it."""


class Machines:
    """Remembers the nodes that were there, and so knows which were lost.

    A node is lost if it died unexpectedly or was taken away, or if it died while a trial was on it, unless as idle.
    """

    def __init__(self) -> None:
        self.alive: dict[str, Node] = {}
        self.lost: set[str] = set()

    def look(self, nodes: Iterable[Node], busy: Collection[str] = ()) -> bool:
        """Update with the list of `ray.nodes`, in which dead nodes stay; return whether a node has come or gone.

        On the `busy` ones trials have been since the last look.
        """
        listed = list(nodes)
        alive = {node["NodeID"]: node for node in listed if node["Alive"]}
        reasons = {node["NodeID"]: node.get("DeathReason", 0) for node in listed if not node["Alive"]}
        vanished = self.alive.keys() - alive.keys()
        self.lost |= {
            node
            for node in vanished
            if (reason := reasons.get(node, 0)) not in ON_PURPOSE or (node in busy and reason != IDLE)
        }
        changed = self.alive.keys() != alive.keys()
        self.alive = alive
        return changed

    def by_type(self, held: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """Nodes, CPUs, GPUs and held GPUs of each type, by the GPUs that trials hold on each node (`held`)."""
        kinds: dict[str, Counter[str]] = {}
        for name, node in self.alive.items():
            resources = node.get("Resources", {})
            amounts = {
                "nodes": 1,
                "cpus": resources.get("CPU", 0),
                "gpus": resources.get("GPU", 0),
                "gpus_held": held.get(name, 0),
            }
            kinds.setdefault(type_of(node), Counter()).update(amounts)
        return {kind: dict(counts) for kind, counts in sorted(kinds.items())}


def type_of(node: Node) -> str:
    """The type of a node in the cluster's file; else its accelerator, else ``GPU`` or ``CPU``."""
    if kind := node.get("Labels", {}).get(NODE_TYPE):
        return str(kind)
    resources = node.get("Resources", {})
    for name in resources:
        if name.startswith(ACCELERATOR):
            return str(name.removeprefix(ACCELERATOR))
    return "GPU" if resources.get("GPU") else "CPU"
