"""Data and code of a sweep: their identity, and whether they are still those of its store."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hsl.errors import DataError, StoreError
from hsl.plugin_code import code_digest
from hsl.space.schema import SearchSpace
from hsl.space.stored import stored_space, with_defaults_of
from hsl.store.layout import Library, intact
from hsl.store.store import Store
from hsl.training.available import DATASETS, kind_and_path
from hsl.training.data.contents.content import Content, differences
from hsl.training.data.contents.sample_lists import read_samples, write_samples
from hsl.training.data.datasets import load_content
from hsl.training.identity import FIRST_VERSION
from hsl.wording import count

NEW = "--new-data"
CODE_PARTS = ("model", "regimes", "factors", "search", "method", "distribution")
"""Keys of a space that name what determines the result of a trial, but for the data set, which has a content.

Samplers and kinds of early stopping are not among them: they determine which trials there are, and how far these are
trained, as a seed or a budget does, but not what a configuration with a seed comes to; nor are trackers, which only
look on. Code of final evaluations is in the parameters of their rows.
"""


@dataclass(frozen=True)
class Bound:
    """A space whose data and code are known.

    Attributes:
        space: With `content`, `code` and `version`.
        content: The samples of its data set.
        warnings: What is to be said of them.
    """

    space: SearchSpace
    content: Content
    warnings: tuple[str, ...] = ()

    def record(self, library: Library) -> None:
        """Write the list of samples to the store, if it is not there."""
        target = library.samples(self.space.version)
        if intact(target, read_samples) is None:
            write_samples(target, self.content)


def bind(space: SearchSpace, store: Store, is_new: bool = False) -> Bound:
    """Find out the data and the code of a space, and compare them to those of its store.

    Args:
        space: What is searched.
        store: Its store, which may not exist yet.
        is_new: Whether changed data or code become a level of their own.

    Raises:
        DataError: If the data set cannot be read, or is not the one that the space asks for.
        StoreError: If data or code have changed since the store was begun, and are not to be a level of their own;
            with every difference.
    """
    content, code = load_content(space.dataset), codes(space)
    is_first = store.read_space() is None
    found = _first(space, content, code) if is_first else _continued(space, store, content, code, is_new)
    return replace(found, warnings=(*content.remarks, *found.warnings))


def bound_space(space: SearchSpace, store: str | None) -> SearchSpace:
    """A space with the identity of its data and its code, as a sweep into `store` has it; None for no store.

    Raises:
        DataError, StoreError: As `bind` does.
    """
    if store is not None:
        return bind(space, Store(store)).space
    return _first(space, load_content(space.dataset), codes(space)).space


def _first(space: SearchSpace, content: Content, code: Mapping[str, str]) -> Bound:
    """A space that no store continues."""
    if space.content not in (None, content.digest):
        raise DataError(
            f"{space.dataset} has the content {content.digest}, the space asks for {space.content}; restore the "
            "data, or take the key content out of the space"
        )
    own = content.digest if _has_place(space.dataset) else space.content
    return Bound(space.model_copy(update={"content": own, "code": dict(code), "version": 1}), content)


def codes(space: SearchSpace) -> dict[str, str]:
    """Digests of the code of the plug-ins that determine results (reference -> digest), but for installed ones."""
    found = {name: code_digest(name) for name in sorted(set(_named(space)))}
    return {name: digest for name, digest in found.items() if digest is not None}


def _references(value: Any) -> Iterator[str]:
    """Texts in a document that have the form ``module:attr``."""
    if isinstance(value, Mapping):
        yield from (text for part in value.values() for text in _references(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in _references(part))
    elif isinstance(value, str) and ":" in value:
        yield ":".join(value.split(":")[:2])


def _has_place(dataset: str) -> bool:
    """Whether the name of a data set says where it is, and nothing of what it is."""
    kind, _ = kind_and_path(dataset)
    return kind not in DATASETS or DATASETS.facts(kind).needs_path


def _continued(
    space: SearchSpace, store: Store, content: Content, code: Mapping[str, str], is_new: bool
) -> Bound:
    stored = stored_space(store, "its data are unknown")
    space = with_defaults_of(stored, space)
    library = Library(store.uri)
    before = intact(library.samples(stored.version), read_samples)
    known = stored.content or (before.digest if before else None)
    changes = [*_changed_data(known, before, content), *_changed_code(stored.code, code)]
    if changes and is_new:
        version = _version_of(content, library, stored)
        own = {"content": content.digest, "code": dict(code), "version": version}
        return Bound(space.model_copy(update=own), content)
    if changes:
        raise StoreError(_refusal(store, changes))
    # What the store was begun without stays without, so that its trials keep their identity.
    unknown = set(_named(stored)) - stored.code.keys()
    kept = {**{name: made for name, made in code.items() if name not in unknown}, **stored.code}
    own = {"content": stored.content, "code": kept, "version": stored.version}
    return Bound(space.model_copy(update=own), content, tuple(_warnings(store, space, known, is_new)))


def _named(space: SearchSpace) -> Iterator[str]:
    """References of plug-ins that a space names."""
    return _references(space.model_dump(mode="json", include=set(CODE_PARTS)))


def _changed_data(known: str | None, before: Content | None, content: Content) -> list[str]:
    if known in (None, content.digest):
        return []
    listed = list(differences(before, content)) if before else []
    return listed or [f"its samples have the digest {content.digest}, they had {known}"]


def _changed_code(before: Mapping[str, str], code: Mapping[str, str]) -> list[str]:
    return [
        f"the code of {name} is another (comments and docstrings do not count)"
        for name, digest in before.items()
        if code.get(name, digest) != digest
    ]


def _version_of(content: Content, library: Library, stored: SearchSpace) -> int:
    """The number of the version with these samples, or the next one."""
    for version in range(1, stored.version):
        found = intact(library.samples(version), read_samples)
        if found and found.digest == content.digest and not stored.code:
            return version
    return stored.version + 1


def _refusal(store: Store, changes: Iterable[str]) -> str:
    trained = count(store.read("trials", ["trial_id"]).num_rows, "trial")
    listed = "\n".join(f"  - {change}" for change in changes)
    return (
        f"the data or the code of {store.uri} have changed, nothing was started\n{listed}\n"
        f"{trained} were trained on what they were. Restore it; or search what it is now as a level of its own in "
        f"the same store, {NEW}; or take another --store"
    )


def _warnings(store: Store, space: SearchSpace, known: str | None, is_new: bool) -> Iterator[str]:
    if known is None:
        yield (
            f"{store.uri} does not say which samples {space.dataset} had when it was begun (version 0.1 did not "
            "record them): that they are the same cannot be checked; from now on they are recorded"
        )
    if space.defaults == FIRST_VERSION and known is None:
        yield f"{store.uri} was begun with the defaults of version {FIRST_VERSION}, and goes on with them"
    if is_new:
        yield f"{NEW}: data and code are those that the store knows, and it continues"
