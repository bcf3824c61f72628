"""Images that occur more than once in a data set. Torch-free."""

from collections.abc import Iterator

import numpy as np

from hsl.training.data.contents.content import Content


def repeated(content: Content, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> Iterator[str]:
    """Warnings of equal images that make accuracies say something else than they seem to.

    Args:
        content: Of the data set.
        train: Ids of the training samples, int64.
        val: Ids of the validation samples.
        test: Ids of the test samples.
    """
    for name, ids in (("validation", val), ("test", test)):
        if known := int(np.isin(content.pixels[ids], content.pixels[train]).sum()):
            yield (
                f"{known} of {len(ids)} {name} samples are, to the byte, training samples as well, so a network can "
                f"have them by heart; remove what is there twice"
            )
    unlike = _with_several_labels(content.pixels, content.labels)
    if unlike:
        yield f"{unlike} different images are there with more than one label, so no network is right about all of them"


def _with_several_labels(pixels: np.ndarray, labels: np.ndarray) -> int:
    order = np.lexsort((labels, pixels))
    same_image = pixels[order][1:] == pixels[order][:-1]
    other_label = labels[order][1:] != labels[order][:-1]
    return len(np.unique(pixels[order][1:][same_image & other_label]))
