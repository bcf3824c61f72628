"""Selections are tried before any trial: stale scores and classes without a sample are found in time."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from hsl.driver.sweep import SweepRequest, site_of, sweep
from hsl.errors import DataError, SpaceError
from hsl.planning.plan import make_plan
from hsl.planning.scores import scores_for
from hsl.prepare.parents import scores_task
from hsl.prepare.selections import of_plan, try_selections
from hsl.space.load import make_space
from hsl.space.schema import SearchSpace
from hsl.store.layout import Library
from hsl.training.data.arrays import Arrays
from hsl.trial.alone import only_configuration, train_once

BASE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [8]},
    "split": {"limit": 60},
    "training": {"epochs": 2},
    "sparsity": 0.5,
    "method": "static",
}
HARD = {"fraction": 0.5, "by": "el2n", "models": 2}


def space_of(**keep: Any) -> SearchSpace:
    return make_space({**BASE, "regimes": {"hard": {"keep": keep}}})


def tried(space: SearchSpace, folder: Path) -> list[str]:
    return try_selections(space, of_plan(make_plan(space)), Library(str(folder)), 0)


def score_files(space: SearchSpace, folder: Path) -> list[Path]:
    """The files of the scores that the regime needs, made as a sweep makes them: the mean comes last."""
    needed = scores_for(next(iter(of_plan(make_plan(space)).values())), space)
    assert needed is not None
    task = scores_task(needed, Library(str(folder)))
    task.run("cpu")
    return [Path(part.target) for part in task.parts] + [Path(task.target)]


def spoil(file: Path, column: str, value: Any) -> None:
    table = pq.read_table(file)
    spoilt = pa.array([value] * len(table), table.schema.field(column).type)
    pq.write_table(table.set_column(table.column_names.index(column), column, spoilt), file)


@pytest.mark.filterwarnings("ignore:keep.fraction")
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("label", 0, "other labels"), ("id", 3, "other samples"), ("split", "val", "another division")],
)
@pytest.mark.parametrize("which", [0, -1])
def test_scores_of_something_else_are_found_before_any_trial(
    column: str, value: Any, message: str, which: int, tmp_path: Path
) -> None:
    space = space_of(**HARD)
    files = score_files(space, tmp_path)
    assert all("hard, " in warning for warning in tried(space, tmp_path))
    spoil(files[which], column, value)
    with pytest.raises(DataError, match=rf"are of {message}.*delete the folder"):
        tried(space, tmp_path)
    with pytest.raises(DataError, match=message):
        sweep(SweepRequest(space, str(tmp_path)), Console(file=io.StringIO()))
    assert not (tmp_path / "trials").exists()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_hsl_train_finds_them_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    space = space_of(**HARD)
    chosen = only_configuration(space)
    train_once(space, chosen, 0, "cpu", lambda row: None)
    for file in (tmp_path / "prerequisites" / "scores").glob("*.parquet"):
        spoil(file, "label", 1)
    rows: list[Any] = []
    with pytest.raises(DataError, match="other labels"):
        train_once(space, chosen, 0, "cpu", rows.append)
    assert rows == []


def test_a_class_without_a_sample_is_warned_of(tmp_path: Path) -> None:
    (warning,) = tried(space_of(fraction=0.1), tmp_path)
    assert warning.startswith("regime hard, train data: keep.fraction 0.1 leaves no sample of class ")
    assert tried(space_of(fraction=0.9), tmp_path) == []
    assert tried(space_of(fraction=0.1, by="el2n", models=1), tmp_path) == []  # nothing is known yet
    console = Console(file=io.StringIO(), width=200)
    site = site_of(SweepRequest(space_of(fraction=0.1), str(tmp_path)), console)
    for _ in range(2):
        site.try_selections()
    assert console.file.getvalue().count("leaves no sample of class") == 1


def test_matched_samples_are_tried_as_soon_as_there_are_scores(tmp_path: Path) -> None:
    space = space_of(fraction=0.15, by="el2n", models=1)
    score_files(space, tmp_path)
    starts = {warning.partition(" data: ")[0] for warning in tried(space, tmp_path)}
    assert starts == {"regime hard, train", "regime hard, val", "regime hard, test"}


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"fraction": 0.1, "class_balanced": True}, "leaves no sample of class .* although class_balanced"),
        (
            {"fraction": 0.1, "class_balanced": True, "by": "el2n"},
            "keeps 6 samples of 10 classes, although class_balanced; keep more",
        ),
        ({"count": 1}, "all 1 training samples that are kept have the label ., and every network is right"),
        ({"count": 61}, "keep.count 61 of 60 samples is not possible"),
        ({"fraction": 0.001}, "of 60 samples is none"),
    ],
)
def test_what_cannot_be_kept_is_refused(keep: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        tried(space_of(**keep), tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["regimes.hard"]


@pytest.mark.parametrize(
    ("noise", "warned"),
    [
        ({"kind": "pair", "rate": 0.45}, []),
        ({"rate": 0.8}, []),
        (
            {"kind": "pair", "rate": 0.7},
            ["gives most training samples of class 0, 1, 2, 3, 4, ... one wrong label"],
        ),
        ({"kind": "asymmetric", "rate": 0.8, "map": {7: 1}}, ["training samples of class 7 one wrong label"]),
        ({"rate": 1e-9}, ["makes none of the 1221 labels of training data wrong"]),
    ],
)
def test_label_noise_that_wins_or_does_nothing_is_warned_of(
    noise: dict[str, Any], warned: list[str], tmp_path: Path
) -> None:
    space = make_space({**BASE, "split": {}, "regimes": {"noisy": {"label_noise": noise}}})
    found = tried(space, tmp_path)
    assert len(found) == len(warned)
    assert all(part in text for part, text in zip(warned, found, strict=True))


def test_a_map_of_classes_that_do_not_exist_is_refused(tmp_path: Path) -> None:
    noise = {"kind": "asymmetric", "rate": 0.2, "map": {3: 12}}
    space = make_space({**BASE, "regimes": {"noisy": {"label_noise": noise}}})
    with pytest.raises(SpaceError, match=r"label_noise.map has 3: 12; the classes are 0-9"):
        tried(space, tmp_path)


def test_every_regime_that_cannot_be_is_listed(tmp_path: Path) -> None:
    regimes = {"many": {"keep": {"count": 100}}, "clean": {}, "few": {"keep": {"fraction": 0.001}}}
    space = make_space({**BASE, "regimes": regimes, "factors": {"regime": ["many", "clean", "few"]}})
    with pytest.raises(SpaceError) as caught:
        tried(space, tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["regimes.many", "regimes.few"]


def test_a_corruption_that_is_undefined_on_digits_is_refused_before_anything(tmp_path: Path) -> None:
    space = make_space({**BASE, "regimes": {"fog": {"corruption": {"name": "fog", "severity": 3}}}})
    with pytest.raises(SpaceError, match=r"fog is not defined on images of 8 x 8.* there are: brightness"):
        sweep(SweepRequest(space, str(tmp_path / "store")), Console(file=io.StringIO()))
    assert not (tmp_path / "store").exists()


def test_every_division_of_the_data_is_tried(tmp_path: Path) -> None:
    space = make_space({**BASE, "regimes": {"hard": {"keep": HARD}}, "factors": {"split.seed": [0, 1]}})
    second = next(cell.example for cell in make_plan(space).cells if cell.example.split.seed == 1)
    task = scores_task(needed := scores_for(second, space), Library(str(tmp_path)))
    assert needed is not None
    assert tried(space, tmp_path) == []
    task.run("cpu")
    spoil(Path(task.target), "label", 3)
    with pytest.raises(DataError, match="labels"):
        tried(space, tmp_path)


NOISES = [
    ({"kind": "pair", "rate": 0.55}, "0, 1"),
    ({"kind": "asymmetric", "rate": 0.55, "map": {3: 5}}, "3"),
    ({"kind": "pair", "rate": 0.45}, None),
    ({"kind": "asymmetric", "rate": 0.45, "map": {3: 5}}, None),
    ({"kind": "symmetric", "rate": 0.85}, None),
]


@pytest.mark.parametrize(("noise", "classes"), NOISES)
def test_label_noise_that_wins_is_said_however_few_samples_there_are(
    noise: dict[str, Any], classes: str | None, tmp_path: Path
) -> None:
    space = make_space({**BASE, "regimes": {"noisy": {"label_noise": noise}}})
    said = [text for text in tried(space, tmp_path) if "label noise" in text]
    assert [f"training samples of class {classes}" in text for text in said] == [True] * bool(classes)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"eps": 0}, "attack.eps is 0, so its attack changes no image"),
        ({"eps": 0.1, "step": 0.01, "steps": 5}, "attack.steps 5 of 0.01 reach 0.05 from where they begin"),
        ({"eps": 0.1, "step": 0.01, "eval_steps": 5}, "attack.eval_steps 5 of 0.01 reach 0.05"),
        ({"eps": 0.1, "step": 0.01}, None),
        ({"name": "fgsm_rs"}, None),
        ({"name": "free"}, None),
        ({"name": "trades"}, None),
    ],
)
def test_an_attack_that_cannot_reach_its_bound_is_said(
    attack: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    space = make_space({**BASE, "regimes": {"attacked": {"attack": attack}}})
    said = [text for text in tried(space, tmp_path) if "attack" in text.partition(", ")[2]]
    assert [str(message) in text for text in said] == [True] * bool(message)


def with_test(path: str) -> Arrays:
    """60 samples of two classes, the last 20 of which are the publisher's test samples."""
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    return Arrays(images, np.arange(60) % 2, np.arange(60) >= 40)


@pytest.mark.parametrize(
    ("dataset", "split", "count"),
    [
        (f"{__name__}:with_test", {"test": 0.3}, 1),
        (f"{__name__}:with_test", {"validation": 0.3}, 0),
        ("digits", {"test": 0.3}, 0),
    ],
)
def test_a_test_part_that_is_not_read_is_said(
    dataset: str, split: dict[str, float], count: int, tmp_path: Path
) -> None:
    space = make_space({**BASE, "dataset": dataset, "split": split})
    said = [text for text in tried(space, tmp_path) if "split.test" in text]
    assert (
        said
        == ["split.test 0.3 is not read: the data set has 20 test samples of its own; leave it out"] * count
    )


@pytest.mark.parametrize(("score", "is_tied"), [("forgetting", True), ("el2n", False)])
@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_how_many_are_drawn_among_ties_is_said(score: str, is_tied: bool, tmp_path: Path) -> None:
    """Forgetting counts events of two epochs: 0 or 1."""
    space = space_of(fraction=0.5, by=score, models=1)
    score_files(space, tmp_path)
    said = [text for text in tried(space, tmp_path) if "exactly as hard" in text]
    assert len(said) == is_tied
    if is_tied:
        assert re.search(
            rf"^regime hard, \d+ of 30 samples that are kept are exactly as hard by {score}", said[0]
        )


def dark(path: str) -> Arrays:
    """60 samples of two classes with the values of a sensor of 12 bits in 16."""
    images = np.random.default_rng(0).integers(0, 17, (60, 1, 8, 8), dtype=np.uint8)
    return Arrays(images, np.arange(60) % 2, np.zeros(60, bool))


@pytest.mark.parametrize(("dataset", "count"), [(f"{__name__}:dark", 1), ("digits", 0)])
def test_images_that_use_little_of_their_scale_are_said(dataset: str, count: int, tmp_path: Path) -> None:
    said = [text for text in tried(make_space({**BASE, "dataset": dataset}), tmp_path) if "brighter" in text]
    assert [text.partition(",")[0] for text in said] == [
        "no pixel of the 40 training images is brighter than 16 of 255"
    ] * count
