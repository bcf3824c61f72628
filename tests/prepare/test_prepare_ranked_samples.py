"""The lists of the hardest and the easiest samples."""

from __future__ import annotations

import pyarrow as pa
from scipy import stats

from hsl.prepare.ranked_samples import extremes

N, CLASSES = 1000, 5


def scores_of(values: list[float]) -> pa.Table:
    """Scores of samples that are stored class by class."""
    labels = [number * CLASSES // N for number in range(N)]
    return pa.table({"id": list(range(N)), "split": ["train"] * N, "label": labels, "score": values})


def test_equally_hard_samples_are_listed_from_all_classes() -> None:
    scores = scores_of([1.0] * N)
    shown = extremes(scores, "train", 100)
    assert shown.column_names == ["end", "rank", "id", "label", "score"]
    for end in ("hardest", "easiest"):
        labels = [row["label"] for row in shown.to_pylist() if row["end"] == end]
        counts = [labels.count(label) for label in range(CLASSES)]
        assert stats.chisquare(counts).pvalue > 1e-3
    assert shown.equals(extremes(scores, "train", 100))
    assert shown.equals(extremes(scores.take(list(range(N - 1, -1, -1))), "train", 100))


def test_the_score_alone_decides_where_it_can() -> None:
    values = [float(37 * number % N) for number in range(N)]
    rows = extremes(scores_of(values), "train", 3).to_pylist()
    assert [row["score"] for row in rows] == [999.0, 998.0, 997.0, 0.0, 1.0, 2.0]
    assert [row["rank"] for row in rows] == [1, 2, 3, 1, 2, 3]
