"""One configuration of a space: what must be pinned, and that it is trained with all it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hsl.errors import SpaceError
from hsl.space.load import load_space, make_space
from hsl.trial.alone import only_configuration, train_once

DIGITS = Path(__file__).parents[2] / "search_spaces" / "digits.yaml"
SMALL: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [16]},
    "split": {"limit": 120},
    "training": {"epochs": 3},
}


def messages(space: Any) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        only_configuration(space)
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_is_not_pinned_is_listed() -> None:
    assert messages(load_space(DIGITS)) == [
        "regime: has 4 values (clean, noisy-quarter, hardest-half, pgd); choose one, for example regime=clean",
        "sparsity: has 3 values (0.8, 0.9, 0.95); choose one, for example sparsity=0.8",
        "method: has 7 values (static, snip, set, rigl, gmp, omp, lth); choose one, for example method=static",
    ]


def test_a_pinned_space_is_its_configuration() -> None:
    space = load_space(DIGITS, ["regime=pgd", "sparsity=0.9", "method=rigl", "training.lr=0.07"])
    made = only_configuration(space)
    assert (made.method, made.sparsity, made.training.lr, made.training.epochs) == ("rigl", 0.9, 0.07, 30)
    assert made.regime == space.regimes["pgd"].hardness
    assert made.distribution == "erk"
    assert made.hyperparameters == {}


def test_distribution_and_hyperparameters_are_pinned_too() -> None:
    pins = ["regime=clean", "sparsity=0.8", "method=set", "distribution=uniform", "method.drop_fraction=0.2"]
    made = only_configuration(load_space(DIGITS, pins))
    assert (made.distribution, made.hyperparameters) == ("uniform", {"drop_fraction": 0.2})


def test_dense_needs_no_sparsity() -> None:
    made = only_configuration(make_space({**SMALL}))
    assert (made.method, made.sparsity) == ("dense", 0.0)


def test_a_compared_setting_of_the_training_must_be_pinned() -> None:
    space = make_space({**SMALL, "factors": {"training.epochs": [2, 5]}})
    assert messages(space) == [
        "training.epochs: has 2 values (2, 5); choose one, for example training.epochs=2"
    ]


RANGE = {"search": {"sparsity": {"uniform": [0.5, 0.98]}}, "against": ["sparsity"]}


def test_a_compared_range_is_to_be_pinned() -> None:
    space = make_space({**SMALL, "method": "set", **RANGE})
    with pytest.raises(
        SpaceError, match=r"sparsity: has a range of values; choose one, for example sparsity=0\.5"
    ):
        only_configuration(space)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"method": "static", "distribution": "global", "sparsity": 0.5},
            "static does not take distribution global",
        ),
        ({"method": "static"}, "static at sparsity 0 is dense training; use method dense"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(content: dict[str, Any], message: str) -> None:
    (found,) = messages(make_space({**SMALL, **content}))
    assert found.startswith(message)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    return tmp_path


def train(space: Any, seed: int = 0) -> tuple[Any, list[Any]]:
    rows: list[Any] = []
    trainer = train_once(space, only_configuration(space), seed, "cpu", rows.append)
    return trainer, rows


def test_every_epoch_is_reported(cache: Path) -> None:
    trainer, rows = train(make_space({**SMALL, "method": "set", "sparsity": 0.8}))
    assert trainer.is_done
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert not (cache / "prerequisites").exists()


def test_parent_and_scores_are_made_once_and_kept(cache: Path) -> None:
    hard = {"hard": {"keep": {"fraction": 0.5, "by": "el2n", "models": 2, "class_balanced": True}}}
    space = make_space({**SMALL, "regimes": hard, "method": "omp", "sparsity": 0.8})
    first, rows = train(space)
    assert len(first.train_samples) == 60
    made = sorted((cache / "prerequisites").rglob("*.*"))
    assert [file.parent.name for file in made] == ["parents", "scores", "models", "models"]
    times = [file.stat().st_mtime_ns for file in made]
    _, again = train(space)
    assert [file.stat().st_mtime_ns for file in made] == times
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in run] for run in (rows, again)]
    assert timeless[0] == timeless[1]
