"""What Ray Tune pickles and `hsl` never reads back."""

from __future__ import annotations

from typing import Any


class Unsaved:
    """Pickles as an empty object: the store is the truth, Tune's snapshot of a run is never restored."""

    def __getstate__(self) -> dict[str, Any]:
        return {}
