"""hard sample learners: find the sparse neural network that learns hard data best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsl.results.results import Results, load_results

__version__ = "0.2.0"

__all__ = ["Results", "__version__", "load_results"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: `import hsl` alone stays immediate."""
    if name in ("Results", "load_results"):
        from hsl.results import results  # noqa: PLC0415

        return getattr(results, name)
    raise AttributeError(f"module 'hsl' has no attribute {name!r}")
