"""The published corrupted test sets CIFAR-10-C and CIFAR-100-C, from their ``.npy`` files. Torch-free.

Hendrycks and Dietterich 2019, arXiv 1903.12261. A file holds the 10,000 test images five times over, at severity 1
to 5; ``labels.npy`` holds their labels as often.
"""

from pathlib import Path

import numpy as np

from hsl.errors import DataError, UnknownNameError

SEVERITIES = 5
WHERE = {
    "CIFAR-10-C": "https://zenodo.org/records/2535967 (MD5 56bf5dcef84df0e2308c6dcbcbbd8499)",
    "CIFAR-100-C": "https://zenodo.org/records/3555552 (MD5 11f0ed0f1191edbf9fa23466ae6021d3)",
}
"""Publications of the archives."""


class CorruptedTestSet:
    """A folder of corrupted copies of one test set; its files are memory-mapped.

    Args:
        folder: Holds ``labels.npy`` and one ``.npy`` file per corruption.
        labels: int64 [N], labels of the clean test samples in their published order, which the copies must have.

    Raises:
        DataError: If the folder is not one, or is that of another test set.
    """

    def __init__(self, folder: str | Path, labels: np.ndarray) -> None:
        self._folder = Path(folder).expanduser()
        self._labels = np.asarray(labels, np.int64)
        copies = self._mapped("labels.npy", SEVERITIES * len(self._labels), (1, None))
        if not np.array_equal(copies, np.tile(self._labels, SEVERITIES)):
            raise DataError(
                f"{self._folder / 'labels.npy'} has other labels than the test set, or another order; "
                f"these copies are not of this data set"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the corruptions that the folder holds, for example ``fog``."""
        return tuple(sorted(file.stem for file in self._folder.glob("*.npy") if file.stem != "labels"))

    def images(self, name: str, severity: int) -> np.ndarray:
        """The test images under one corruption.

        Args:
            name: One of `names`.
            severity: 1 to 5.

        Returns:
            uint8 [N, C, H, W], in the order of the clean test samples.

        Raises:
            UnknownNameError: If there is no such corruption.
            DataError: If the severity does not exist, or the file does not hold what it should.
        """
        if name not in self.names:
            raise UnknownNameError(f"corruption in {self._folder}", name, self.names)
        if severity not in range(1, SEVERITIES + 1):
            raise DataError(f"severity {severity} of {name} does not exist; allowed is 1-{SEVERITIES}")
        count = len(self._labels)
        rows = self._mapped(f"{name}.npy", SEVERITIES * count, (4, np.dtype(np.uint8)))
        taken = rows[(severity - 1) * count : severity * count].transpose(0, 3, 1, 2)
        return np.array(taken, order="C")  # in memory: the map is read-only

    def _mapped(self, name: str, rows: int, form: tuple[int, np.dtype | None]) -> np.ndarray:
        """Map a file, and check its rows, dimensions and type."""
        file = self._folder / name
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            published = "; ".join(f"{what}: {where}" for what, where in WHERE.items())
            raise DataError(
                f"{file}: {getattr(error, 'strerror', None) or error}; give the folder of unpacked .npy files "
                f"({published})"
            ) from error
        dimensions, kind = form
        if len(array.shape) != dimensions or array.shape[0] != rows or (kind and array.dtype != kind):
            raise DataError(
                f"{file} holds {array.dtype} of shape {array.shape}, expected {rows} rows: {SEVERITIES} severities "
                f"of {rows // SEVERITIES} test samples; unpack it again"
            )
        return array
