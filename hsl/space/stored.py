"""The search space of a store, and whether another one may continue it.

Additions continue a store, and nothing is trained twice:

- levels of factors, regimes, and a dense baseline if there was none: new cells;
- configurations per cell: every cell's study continues as if it had known the new budget;
- choices of a search, and ranges that contain the former ones: existing trials count and inform proposals as before;
- confirmation: more configurations (`top`) or seeds; a winner that changes is confirmed again.

Changes that no trial's result depends on are permitted: resources, prices, time limits, limits of the budget, early
stopping, method and order of the search, further objectives, the final evaluation.

Everything else is refused, with every difference: changes of what a trial is or what is compared, a new factor or a
newly tuned parameter (stored trials have no value of it), and removals. So is longer training: the learning rate and
the sparsity follow schedules that are fractions of the training, so a training of 10 epochs is not the beginning of one
of 20, and the two must not be ranked together. To compare lengths make ``training.epochs`` a factor; adding a level to
it continues a store like any other level.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from hsl.errors import SpaceError, StoreError
from hsl.space.levels import as_named, with_distinct_values
from hsl.space.load import make_space
from hsl.space.objective import default_regime
from hsl.space.scalars import write_yaml
from hsl.space.schema import SearchSpace
from hsl.store.store import Store
from hsl.training.identity import FIRST_VERSION, filled_space, former_space


def stored_space(store: Store, without: str) -> SearchSpace:
    """The space of a store.

    Raises:
        StoreError: If there is none, with `without` as the end of the message, or this version cannot read it.
    """
    text = store.read_space()
    if text is None:
        raise StoreError(f"{store.uri} has no space.yaml, so {without}")
    return _parsed(text, store.uri)


def _parsed(text: str, where: str) -> SearchSpace:
    with readable(where):
        raw = yaml.safe_load(text)
        filled = filled_space(raw) if isinstance(raw, dict) else {}
        return make_space(filled, source=f"{where}/space.yaml", is_stored=True)


@contextlib.contextmanager
def readable(where: str) -> Iterator[None]:
    """Report problems of a stored space as a StoreError of the store called `where`."""
    try:
        yield
    except (SpaceError, yaml.YAMLError) as error:
        raise StoreError(f"{where} holds a space that this version cannot read: {error}") from error


FREE = frozenset(
    {
        *(
            "resources",
            "prices",
            "trial_timeout",
            "early_stopping",
            "sampler",
            "priority",
            "lag",
            "warm_start",
            "first",
            "learn_from",
        ),
        *("against", "evaluation", "regime", "content", "code", "version"),
    }
)
"""Keys that may change; the regime that `regime` stands for is compared separately."""

GROWS = frozenset({"regimes", "factors", "search", "budget", "confirm"})
"""Keys that may only grow."""

UNCHANGED: tuple[tuple[str, Any], ...] = (
    ("code", {}),
    ("version", 1),
    ("ratios", {}),
    ("first", []),
    ("learn_from", []),
)
"""What a sweep finds out of its data and its plug-ins, or is rarely given, where there is nothing to say."""

RANGES = ("uniform", "loguniform", "int")

ADVICE = {
    "training.epochs": "trials of another length are not beginnings of these; to compare lengths use a factor",
    "objective": "the search would be steered by another metric; ask `hsl best --metric` instead",
    "seed": "for further seeds raise confirm.seeds",
    "init": "null leaves it to each method: hsl list methods",
    "name": "a store has the name of its space",
    "layers.ties": "trials of version 0.1.0 keep the first of equal weights; to continue them write ties: index",
    "defaults": "a store keeps the defaults with which it was begun; leave the key out, or take another --store",
}
"""Advice on single keys, in addition to that below all differences."""

ADVICE_ON_REGIMES = {
    "keep.ties": "trials of version 0.1.0 keep the lower id of equally hard samples; to continue them leave ties out",
    "keep.precision": "scores of version 0.1.0 are float32; to continue with them leave precision out",
    "attack.at_bounds": "trials of version 0.1.0 follow PyTorch's clamp; to continue them leave at_bounds out",
}
"""The same on keys of a regime."""


def space_text(space: SearchSpace) -> str:
    """The space with every default written out, as YAML."""
    content = space.model_dump(mode="json", exclude_none=True)
    content |= {key: None for key in ("baseline", "early_stopping") if getattr(space, key) is None}
    content = {key: value for key, value in content.items() if (key, value) not in UNCHANGED}
    return write_yaml(content)


def with_defaults_of(stored: SearchSpace, space: SearchSpace) -> SearchSpace:
    """A space with the defaults with which its store was begun, unless it asks for others.

    What its author has written stays, so that a value that no longer fits the store is refused and not replaced.
    """
    if stored.defaults != FIRST_VERSION or "defaults" in space.model_fields_set:
        return space
    written = space.model_dump(mode="json", exclude_unset=True)
    return make_space(former_space(yaml.safe_load(space_text(space)), written), is_stored=True)


def check_continues(text: str | None, space: SearchSpace, where: str) -> SearchSpace:
    """Refuse a space that may not continue the stored one.

    Args:
        text: The stored space as YAML; None of a new store, which any space may begin.
        space: The space that is to continue it.
        where: Name of the store, for messages.

    Returns:
        The space with its levels as the store writes them, because cells are named after them.

    Raises:
        StoreError: With every difference.
    """
    if text is None:
        return space
    stored = with_distinct_values(_parsed(text, where))
    space = as_named(space, stored)
    found = list(differences(stored.model_dump(mode="json"), space.model_dump(mode="json")))
    if found:
        listed = "\n".join(f"  - {difference}" for difference in found)
        raise StoreError(
            f"{where} belongs to another search space, nothing was started\n{listed}\n"
            f"Added regimes, levels, choices, configurations and seeds continue a store; for anything else "
            f"take the change back, or give the space another name or another --store"
        )
    return space


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    """Changes in `given` that are not permitted."""
    for key in stored:
        old, new = _meaning(key, stored), _meaning(key, given)
        if key in GROWS:
            yield from _lost(key, old, new)
        elif (key == "baseline" and old is None) or (key == "dataset" and _is_bound(stored, given)):
            continue
        elif key not in FREE and old != new:
            yield from _changed(key, old, new)
    if "regime" not in stored["factors"] and _first_regime(stored) != _first_regime(given):
        yield f"the regime of all trials: stored {_first_regime(stored)}, given {_first_regime(given)}"


def _is_bound(stored: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether the samples decide which data set it is, and not the place where they are."""
    is_same = stored["content"] == given["content"] or stored["version"] != given["version"]
    return given["content"] is not None and is_same


def _meaning(key: str, space: Mapping[str, Any]) -> Any:
    """The part of a space that determines trials; the limits of a budget only end the sweep."""
    part = space[key]
    return {"configurations_per_cell": part["configurations_per_cell"]} if key == "budget" else part


def _first_regime(space: Mapping[str, Any]) -> str:
    return default_regime(space["regime"], space["regimes"])


def _lost(path: str, old: Any, new: Any) -> Iterator[str]:
    """Parts that are missing or different, of one that may only grow."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _lost_keys(path, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lost_values(path, old, new)
    elif type(old) is int and type(new) is int:  # and not bool
        if new < old:
            yield f"{path}: stored {old}, now only {new}"
    elif old != new:
        yield f"{path}: stored {_short(old)}, given {_short(new)}"


def _lost_keys(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key, value in old.items():
        if key not in new:
            yield f"{path}.{key}: stored {_short(value)}, now missing"
        elif path == "regimes":
            yield from _changed(f"{path}.{key}", value, new[key])
        else:
            yield from _lost(f"{path}.{key}", value, new[key])
    if path in {"factors", "search"}:
        for key in sorted(set(new) - set(old)):
            yield f"{path}.{key}: new, but stored trials have no value of it"


def _lost_values(path: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    if path.rpartition(".")[2] in RANGES:
        if not (new[0] <= old[0] and old[1] <= new[1]):
            yield f"{path}: stored {_short(old)}, given {_short(new)}, which leaves out some of it"
    elif gone := [value for value in old if value not in new]:
        yield f"{path}: stored {_short(old)}, now without {_short(gone)}"


def _changed(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _changed(f"{path}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield f"{path}: stored {_short(old)}, given {_short(new)}{_advice(path)}"


def _advice(path: str) -> str:
    """Advice on a key, in parentheses; names of regimes may contain dots."""
    of_regime = [text for end, text in ADVICE_ON_REGIMES.items() if path.endswith(f".{end}")]
    found = of_regime if path.startswith("regimes.") else [ADVICE[path]] if path in ADVICE else []
    return f" ({found[0]})" if found else ""


def _short(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
