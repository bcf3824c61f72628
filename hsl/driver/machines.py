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
    """Remembers the nodes that were there, and so knows which were lost meanwhile.

    A node is lost if it died unexpectedly or was taken away; or by any death but that of an idle one, while a trial
    was on it.
    """

    def __init__(self) -> None:
        self.alive: dict[str, Node] = {}
        self.lost: set[str] = set()

    def look(self, nodes: Iterable[Node], busy: Collection[str] = ()) -> bool:
        """Take in what `ray.nodes` lists.

        Args:
            nodes: That list; the dead stay in it.
            busy: Ids of nodes on which trials have been since the last look.

        Returns:
            Whether a node has come or gone.
        """
        listed = list(nodes)
        alive = {node["NodeID"]: node for node in listed if node["Alive"]}
        reasons = {node["NodeID"]: node.get("DeathReason", 0) for node in listed if not node["Alive"]}
        vanished = self.alive.keys() - alive.keys()
        self.lost |= {node for node in vanished if _is_loss(reasons.get(node, 0), node in busy)}
        changed = self.alive.keys() != alive.keys()
        self.alive = alive
        return changed

    def by_type(self, held: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """How many nodes there are of each type, with their CPUs and GPUs, and the GPUs that trials hold.

        Args:
            held: Id of a node to the GPUs that trials hold there.
        """
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


def _is_loss(reason: int, was_busy: bool) -> bool:
    return reason not in ON_PURPOSE or (was_busy and reason != IDLE)


def type_of(node: Node) -> str:
    """The type of a node in the cluster's file; else its accelerator, or what it is."""
    if kind := node.get("Labels", {}).get(NODE_TYPE):
        return str(kind)
    resources = node.get("Resources", {})
    for name in resources:
        if name.startswith(ACCELERATOR):
            return str(name.removeprefix(ACCELERATOR))
    return "GPU" if resources.get("GPU") else "CPU"
