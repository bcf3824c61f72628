"""Folders of images, one for each class. Torch-free."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from hsl.errors import DataError
from hsl.training.data.files.omitted import HIDDEN, Omitted, is_set_apart, listed
from hsl.training.data.files.splits import Published, assigned, published_part

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff"})
"""Those of torchvision's ``ImageFolder``."""


@dataclass(frozen=True)
class ClassFolders:
    """The images of a data set, in order: training samples first, then the test set.

    Attributes:
        is_test: Each image file, and whether it belongs to the test set; the name of its folder is its class.
        omitted: What is not read, relative to the data set's folder.
    """

    is_test: dict[Path, bool]
    omitted: list[Omitted[str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Top:
    """A folder at the top: the images in it, and those in each of its folders."""

    path: Path
    images: Sequence[Path]
    inner: Sequence[Path]

    @property
    def part(self) -> Published | None:
        """The part of the data set that its name says."""
        return published_part(PurePath(self.path.name))


def class_folders(root: Path) -> ClassFolders:
    """Find the images below `root`: ``CLASS/IMAGE``, or ``PART/CLASS/IMAGE`` where a folder names a part.

    A folder whose name is that of a part (see `splits`) is one if it holds folders of images; if it holds images
    itself, it is a class of that name. Images whose names begin with an underscore are read, as cameras name them so.

    Raises:
        DataError: If there is no image, or the folders contradict each other.
    """
    top = [
        _Top(each, _images(each), [image for inner in _folders(each) for image in _images(inner)])
        for each in _folders(root)
    ]
    is_divided = any(each.inner and each.part for each in top)
    found = _of_parts(root, top) if is_divided else _of_classes(root, top)
    if not found.is_test:
        raise DataError(
            f"no images at {str(root)!r}; expected {root}/CLASS/IMAGE or {root}/train/CLASS/IMAGE"
        )
    return ClassFolders(found.is_test, [*found.omitted, *_stray(root, top, found, is_divided)])


def _of_parts(root: Path, top: Sequence[_Top]) -> ClassFolders:
    """Images of folders that are parts of a data set, each of which holds folders of classes."""
    with_classes = {each.path: each for each in top if each.inner}
    _refuse_classes_next_to_parts(root, top)
    chosen = assigned({path: each.part for path, each in with_classes.items()})
    ordered = sorted(chosen.is_test.items(), key=lambda item: item[1])  # stable: training parts first
    is_test = {image: test for path, test in ordered for image in with_classes[path].inner}
    omitted = [
        Omitted(
            each.reason,
            [f"{path.name} ({len(with_classes[path].inner)} images)" for path in each.items],
            "folder",
        )
        for each in chosen.omitted
    ]
    return ClassFolders(is_test, omitted)


def _of_classes(root: Path, top: Sequence[_Top]) -> ClassFolders:
    """Images of folders that are classes."""
    with_images = [each for each in top if each.images]
    if with_images and all(each.part for each in with_images):
        raise DataError(
            f"{root}: the folders {listed(each.path.name for each in with_images)} are named as parts of a data set, "
            f"and hold images in place of folders of classes; expected {with_images[0].path}/CLASS/IMAGE"
        )
    return ClassFolders({image: False for each in with_images for image in each.images})


def _refuse_classes_next_to_parts(root: Path, top: Sequence[_Top]) -> None:
    classes = [each.path.name for each in top if each.images and not each.part]
    parts = [each.path.name for each in top if each.inner and each.part]
    if classes:
        raise DataError(
            f"{root} holds images in the folders {listed(classes)}, and folders of images in {listed(parts)}. If "
            f"{listed(parts)} is a class, put its images into it, not into folders; if it is a part of the data set, "
            f"move the other folders elsewhere"
        )


def _stray(root: Path, top: Sequence[_Top], found: ClassFolders, is_divided: bool) -> Iterator[Omitted[str]]:
    """What is below `root` and neither read nor in a part that is left out."""
    known = found.is_test.keys() | ({image for each in top for image in each.inner} if is_divided else set())
    hidden, others, misplaced = [], [], []
    for each in _below(root):
        name = each.relative_to(root)
        if is_set_apart(name) and not (each in known or _is_image(each)):
            hidden.append(str(name))
        elif each.is_file() and not _is_image(each):
            others.append(str(name))
        elif each.is_file() and each not in known:
            misplaced.append(str(name))
    yield Omitted(HIDDEN, hidden)
    yield Omitted(f"that are no images ({', '.join(sorted(SUFFIXES))})", others)
    yield Omitted("in no folder of a class", misplaced, "image")
    yield Omitted("without images", _empty(root, top, is_divided), "folder")


def _empty(root: Path, top: Sequence[_Top], is_divided: bool) -> list[str]:
    """Folders that could be classes, relative to `root`."""
    classes = [each.path for each in top] if not is_divided else [c for t in top for c in _folders(t.path)]
    return [str(folder.relative_to(root)) for folder in classes if not _images(folder)]


def _folders(folder: Path) -> list[Path]:
    """Folders in a folder that may hold data, in order of their names."""
    if not folder.is_dir():
        return []
    return sorted(e for e in folder.iterdir() if e.is_dir() and not is_set_apart(PurePath(e.name)))


def _images(folder: Path) -> list[Path]:
    """Image files in a folder, in order of their names; links that lead nowhere among them, to be refused."""
    return sorted(each for each in folder.iterdir() if _is_image(each) and not each.is_dir())


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _below(folder: Path) -> Iterator[Path]:
    """Files below a folder, in order; what is set apart is not entered, but named, and links are not followed."""
    for each in sorted(folder.iterdir()):
        if each.is_dir() and not each.is_symlink() and not is_set_apart(PurePath(each.name)):
            yield from _below(each)
        else:
            yield each
