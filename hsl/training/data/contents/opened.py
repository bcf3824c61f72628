"""Files that a reader of a data set opens besides those that its path names, and whether they have changed since.

A plug-in may read a file that its name does not mention, and the rows of a table may name files elsewhere.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hsl.openings import opened_files
from hsl.training.data.arrays import cache_folder
from hsl.training.data.contents.states import state_of

_CODE = (".py", ".pyc", ".so")
"""Code has a digest of its own, see `hsl.plugin_code`."""


@contextmanager
def opened_data() -> Iterator[set[str]]:
    """Collect the paths of data files that Python opens in the block."""
    with opened_files() as found:
        yield found
    found -= {path for path in found if not _is_data(path)}


def states(paths: Iterable[str], root: str = "") -> dict[str, list[int]]:
    """Path -> state of each file, in the order of their names, but for those at or below `root`."""
    own = [Path(root).expanduser().absolute(), Path(root).expanduser().resolve()] if root else []
    others = [path for path in sorted(paths) if not any(Path(path).is_relative_to(part) for part in own)]
    return {path: list(state_of(Path(path))) for path in others}


def have_changed(known: dict[str, list[int]]) -> bool:
    """Whether one of some files is another one than it was, or is gone."""
    try:
        return states(known) != known
    except OSError:
        return True


def _is_data(path: str) -> bool:
    """Whether a path is a file that is part of neither Python, nor its packages, nor the cache."""
    is_data = Path(path).is_file() and not path.endswith(_CODE)
    return is_data and not any(Path(path).is_relative_to(part) for part in _elsewhere())


def _elsewhere() -> list[Path]:
    packages = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders = [*packages, cache_folder().absolute()]
    return [
        *folders,
        *(folder.resolve() for folder in folders),
        *map(Path, ("/proc", "/sys", "/dev", "/etc")),
    ]
