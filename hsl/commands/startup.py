"""What the command line sets in its own process: quick answers, and memory that is kept for trainings."""

import sys
from importlib.abc import MetaPathFinder

ANSWERING = frozenset(
    (
        *("best", "claims", "compare", "export", "list", "merge"),
        *("plan", "query", "replay", "report", "show", "status"),
    )
)
"""Commands that neither train nor load a network."""

TRAINING = frozenset(("evaluate", "score", "train"))
"""Commands that train or attack networks in their own process."""


class _NoPandas(MetaPathFinder):
    """Makes pandas look as if it were not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse pandas, and leave all else to the other finders."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not looked for now", name=name)


def spare_pandas() -> None:
    """Keep pyarrow from importing pandas at the first list that it converts, which takes longer than most answers.

    pyarrow looks for pandas once, and where it finds none takes lists as lists. ``to_pandas`` still imports it later.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa  # noqa: PLC0415

        pa.array([])
    finally:
        sys.meta_path.remove(finder)
