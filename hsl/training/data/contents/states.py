"""Files below a folder, and what tells without reading them that one may have changed. Torch-free."""

from collections.abc import Iterator
from pathlib import Path


def files_below(root: Path) -> list[Path]:
    """The files at or below a path, in the order of their names; links are followed, but not around in circles."""
    return sorted(_below(root, ())) if root.is_dir() else [root]


def _below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        return
    for each in folder.iterdir():
        if each.is_dir():
            yield from _below(each, (*above, real))
        elif each.is_file():
            yield each


def state_of(file: Path) -> tuple[int, int, int, int]:
    """Size, times and inode: an edit of the same length whose time is set back changes the last of the times."""
    state = file.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
