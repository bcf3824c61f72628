"""The search space that a store was made with, read back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import yaml

from hsl.errors import SpaceError, StoreError
from hsl.results.store import Store
from hsl.search.schema import SearchSpace
from hsl.search.space import make_space


def stored_space(store: Store, without: str) -> SearchSpace:
    """The space of a store.

    Args:
        store: Where to read.
        without: What is unknown where there is no space, and what to do: the end of the message.

    Raises:
        StoreError: If there is none, or this version cannot read it.
    """
    text = store.read_space()
    if text is None:
        raise StoreError(f"{store.uri} has no space.yaml, so {without}")
    with readable(store):
        raw = yaml.safe_load(text)
        return make_space(raw if isinstance(raw, dict) else {}, source=f"{store.uri}/space.yaml")


@contextlib.contextmanager
def readable(store: Store) -> Iterator[None]:
    """Say of what this version cannot make of a stored space that it is a matter of the store."""
    try:
        yield
    except (SpaceError, yaml.YAMLError) as error:
        raise StoreError(f"{store.uri} holds a space that this version cannot read: {error}") from error
