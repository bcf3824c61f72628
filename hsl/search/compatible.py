"""Whether a store may be continued with a space that has changed: yes if it only adds, or changes how, not what.

May grow: regimes, levels of factors, choices of a search, configurations per cell, confirmations.
May change: resources, early stopping, sampler. Everything else would change the meaning of what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from hsl.errors import SpaceError, StoreError
from hsl.search.schema import SearchSpace, default_regime
from hsl.search.space import make_space

FREE = frozenset({"resources", "early_stopping", "sampler", "regime"})
"""May change; what `regime` stands for is compared by itself."""

GROWS = frozenset({"regimes", "factors", "search", "budget", "confirm"})


def space_text(space: SearchSpace) -> str:
    """The space with every default spelled out, as YAML."""
    content = space.model_dump(mode="json", exclude_none=True)
    content |= {key: None for key in ("baseline", "early_stopping") if getattr(space, key) is None}
    return yaml.safe_dump(content, sort_keys=False)


def check_continues(text: str | None, space: SearchSpace, where: str) -> None:
    """Refuse a space that means something else than the stored one.

    Args:
        text: The stored space as YAML, or None for a new store.
        space: The space to continue with.
        where: Name of the store, for messages.

    Raises:
        StoreError: With every difference.
    """
    if text is None:
        return
    try:
        raw = yaml.safe_load(text)
        stored = make_space(raw if isinstance(raw, dict) else {}, source=f"{where}/space.yaml")
    except (SpaceError, yaml.YAMLError) as error:
        raise StoreError(f"{where} holds a space that this version cannot read: {error}") from error
    found = list(differences(stored.model_dump(mode="json"), space.model_dump(mode="json")))
    if found:
        listed = "\n".join(f"  - {difference}" for difference in found)
        raise StoreError(
            f"{where} belongs to another search space, nothing was started\n{listed}\n"
            f"Added regimes, levels, configurations and seeds continue a store; for anything else "
            f"give the space another name, or use another --store"
        )


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    """What `given` changes that it may not change."""
    for key, old in stored.items():
        new = given[key]
        if key in GROWS:
            yield from _lost(key, old, new)
        elif key not in FREE and old != new:
            yield from _changed(key, old, new)
    if "regime" not in stored["factors"] and _first_regime(stored) != _first_regime(given):
        yield f"the regime of all trials: stored {_first_regime(stored)}, given {_first_regime(given)}"


def _first_regime(space: Mapping[str, Any]) -> str:
    return default_regime(space["regime"], space["regimes"])


def _lost(path: str, old: Any, new: Any) -> Iterator[str]:
    """What of a part that may only grow is gone or different."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key, value in old.items():
            if key not in new:
                yield f"{path}.{key}: stored {_short(value)}, now missing"
            elif path == "regimes":
                yield from _changed(f"{path}.{key}", value, new[key])
            else:
                yield from _lost(f"{path}.{key}", value, new[key])
        if path in {"factors", "search"}:
            yield from (
                f"{path}.{key}: new, but stored trials have no value of it" for key in set(new) - set(old)
            )
    elif isinstance(old, list) and isinstance(new, list) and not path.endswith(("uniform", "int")):
        gone = [value for value in old if value not in new]
        if gone:
            yield f"{path}: stored {_short(old)}, now without {_short(gone)}"
    elif _is_count(old) and _is_count(new):
        if new < old:
            yield f"{path}: stored {old}, now only {new}"
    elif old != new:
        yield f"{path}: stored {_short(old)}, given {_short(new)}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _changed(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _changed(f"{path}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield f"{path}: stored {_short(old)}, given {_short(new)}"


def _short(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
