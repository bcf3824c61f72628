"""Checks of the file of Ray's cluster launcher that Ray does not make, and variants of it for other clouds.

Ray checks its own schema when a cluster is created, but not the part that it passes to the provider: a wrong word
there is found when the first machine is ordered, or never.
"""

import copy
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from hsl.errors import HslError, Problem, SpaceError, close_match

PRICE_LABEL = "hsl/price-per-hour"
"""Label of a node type with its on-demand price in US dollars per hour. Ray copies labels to the nodes."""

SPOT_PRICE_LABEL = "hsl/spot-price-per-hour"
"""Label with its price as a spot machine."""

DATE_LABEL = "hsl/priced-on"
"""Label with the date of both prices, as YYYY-MM-DD."""

PRICE_LABELS = (PRICE_LABEL, SPOT_PRICE_LABEL, DATE_LABEL)

REPLACE = "$replace"

PROVIDERS = ("aws", "gcp", "azure")


@lru_cache
def _words() -> dict[str, Any]:
    """The known words, from `keys.yaml`."""
    return dict(yaml.safe_load(_shipped("keys.yaml")))


def _shipped(name: str) -> str:
    return resources.files("hsl.cluster").joinpath(name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class NodeType:
    """One kind of machine of a cluster.

    Attributes:
        name: Name in the file.
        machine: The provider's name of the machine.
        cpus: CPUs that trials may use.
        gpus: GPUs.
        most: Largest number of such nodes.
        is_spot: Whether the provider may preempt it.
        price: US dollars per hour: for a spot machine the spot price, if given, else the on-demand price, or None.
        on_demand_price: US dollars per hour on demand, or None.
        priced_on: Date of the prices, if given.
    """

    name: str
    machine: str
    cpus: float
    gpus: float
    most: int
    is_spot: bool
    price: float | None
    on_demand_price: float | None = None
    priced_on: str | None = None


def read_cluster(path: str | Path) -> dict[str, Any]:
    """The content of a cluster file.

    Raises:
        HslError: If it cannot be read, or is not a YAML mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise HslError(f"cluster file {str(path)!r}: {error}") from error
    if not isinstance(content, dict):
        raise HslError(f"cluster file {str(path)!r} is not a mapping of keys to values; see cluster.yaml")
    return content


def variant(cluster: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """The content of a cluster file for another provider, ``gcp`` or ``azure``."""
    made = _merged(cluster, yaml.safe_load(_shipped(f"variants/{provider}.yaml")))
    here = cluster["provider"]["type"]
    made["worker_start_ray_commands"] = [
        line.replace(f"preemption {here}", f"preemption {provider}")
        for line in cluster["worker_start_ray_commands"]
    ]
    return made


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, mapping by mapping; a mapping marked with `REPLACE` replaces the old one."""
    made = {} if changes.get(REPLACE) else copy.deepcopy(dict(base))
    for key, value in changes.items():
        if isinstance(value, Mapping):
            made[key] = _merged(made.get(key) or {}, value)
        elif key != REPLACE:
            made[key] = value
    return made


def check_cluster(cluster: Mapping[str, Any], source: str) -> tuple[NodeType, ...]:
    """The node types of a valid cluster file.

    Raises:
        SpaceError: With all problems.
    """
    problems = list(_problems(cluster))
    if problems:
        raise SpaceError(source, problems)
    return tuple(node_types(cluster).values())


def _problems(cluster: Mapping[str, Any]) -> Iterator[Problem]:
    provider = str((cluster.get("provider") or {}).get("type"))
    types = cluster.get("available_node_types") or {}
    if provider not in PROVIDERS:
        yield Problem("provider.type", f"{provider!r} is not known; known: {', '.join(PROVIDERS)}")
        return
    yield from _unknown("provider", cluster["provider"], _words()[provider]["provider"])
    yield from _head_problems(cluster, types)
    if cluster.get("idle_timeout_minutes", 5) < 5:
        message = "below the time a node takes to boot; nodes come and go; give at least 5"
        yield Problem("idle_timeout_minutes", message)
    for name, node in types.items():
        yield from _node_problems(f"available_node_types.{name}", node, provider, cluster)


def _head_problems(cluster: Mapping[str, Any], types: Mapping[str, Any]) -> Iterator[Problem]:
    head = str(cluster.get("head_node_type"))
    if head not in types:
        message = f"no node type is called {head!r}{close_match(head, types)}; there are: {', '.join(types)}"
        yield Problem("head_node_type", message)
    elif (types[head].get("resources") or {}).get("CPU") != 0:
        message = "the driver's machine needs CPU: 0, so that no trial runs on it"
        yield Problem(f"available_node_types.{head}.resources.CPU", message)


def _node_problems(
    where: str, node: Mapping[str, Any], provider: str, cluster: Mapping[str, Any]
) -> Iterator[Problem]:
    yield from _unknown(where, node, _words()["node_type"])
    config = node.get("node_config") or {}
    yield from _unknown(f"{where}.node_config", config, _words()[provider]["node_config"])
    if not _machine(config, provider):
        yield Problem(f"{where}.node_config", f"no {_words()[provider]['machine']}; say which machine")
    if not node.get("resources"):
        message = "missing; without them a cluster of no nodes cannot know what to add"
        yield Problem(f"{where}.resources", message)
    least, most = node.get("min_workers", 0), node.get("max_workers", 0)
    if least > most:
        yield Problem(f"{where}.min_workers", f"{least} is above max_workers, {most}")
    if most > (total := cluster.get("max_workers", 2)):
        yield Problem(f"{where}.max_workers", f"{most} is above max_workers of the cluster, {total}")
    yield from _label_problems(f"{where}.labels", node.get("labels") or {}, _is_spot(config))


def _label_problems(where: str, labels: Mapping[str, Any], is_spot: bool) -> Iterator[Problem]:
    ours = {name: value for name, value in labels.items() if str(name).startswith("hsl/")}
    yield from _unknown(where, ours, PRICE_LABELS)
    for name in (PRICE_LABEL, SPOT_PRICE_LABEL):
        if name in labels and not _is_price(labels[name]):
            yield Problem(where, f"{name}: {labels[name]!r}; give dollars per hour in quotes")
    if DATE_LABEL in labels and not _is_date(labels[DATE_LABEL]):
        message = f'{DATE_LABEL}: {labels[DATE_LABEL]!r}; give the date of the prices, "2026-01-31"'
        yield Problem(where, message)
    if set(ours) & {PRICE_LABEL, SPOT_PRICE_LABEL} and DATE_LABEL not in labels:
        yield Problem(where, f"prices without {DATE_LABEL}; say of which day they are")
    if SPOT_PRICE_LABEL in labels and not is_spot:
        yield Problem(where, f"{SPOT_PRICE_LABEL}, but node_config asks for no spot machine")


def _unknown(where: str, given: Mapping[str, Any], known: Collection[str]) -> Iterator[Problem]:
    for key in given:
        if key not in known:
            hint = close_match(key, known)
            yield Problem(f"{where}.{key}", f"unknown key{hint}; known: {', '.join(sorted(known))}")


def _machine(config: Mapping[str, Any], provider: str) -> str:
    return str((config.get("azure_arm_parameters") or config).get(_words()[provider]["machine"], ""))


def _is_spot(config: Mapping[str, Any]) -> bool:
    aws = (config.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
    gcp = any(item.get("preemptible") for item in config.get("scheduling", ()))
    azure = (config.get("azure_arm_parameters") or {}).get("priority") == "Spot"
    return aws or gcp or azure


def _is_price(text: Any) -> bool:
    """Whether a label is a price; it must be text, because Ray refuses a number."""
    price = _number(text) if isinstance(text, str) else None
    return price is not None and 0 <= price < math.inf


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _is_date(text: Any) -> bool:
    try:
        return isinstance(text, str) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def hourly(labels: Mapping[str, Any], is_spot: bool = True) -> float | None:
    """Price per hour in the labels of a node type or a living node, or None; a spot price counts only if `is_spot`."""
    spot = _number(labels.get(SPOT_PRICE_LABEL)) if is_spot else None
    return _number(labels.get(PRICE_LABEL)) if spot is None else spot


def node_types(cluster: Mapping[str, Any]) -> dict[str, NodeType]:
    """The node types of an unchecked cluster file, including the head."""
    provider, total = str(cluster["provider"]["type"]), cluster.get("max_workers", 2)
    types, head = cluster["available_node_types"], cluster.get("head_node_type")
    return {
        name: _node_type(name, provider, node, 0 if name == head else total) for name, node in types.items()
    }


def _node_type(name: str, provider: str, node: Mapping[str, Any], most: int) -> NodeType:
    config, offered = node.get("node_config") or {}, node.get("resources") or {}
    labels, is_spot = node.get("labels") or {}, _is_spot(config)
    return NodeType(
        name=name,
        machine=_machine(config, provider) if provider in PROVIDERS else "",
        cpus=offered.get("CPU", 0),
        gpus=offered.get("GPU", 0),
        most=node.get("max_workers", most),  # Ray's default
        is_spot=is_spot,
        price=hourly(labels, is_spot),
        on_demand_price=hourly(labels, is_spot=False),
        priced_on=labels.get(DATE_LABEL),
    )
