"""An override that a command would not use is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import command

from hsl.errors import SpaceError
from hsl.space.load import load_space
from hsl.space.schema import SearchSpace
from hsl.space.used import DATA, REGIMES, SCORING, TRAINING, check_pinned, check_scoring, check_used
from hsl.trial.alone import only_configuration, only_regime

DIGITS = Path(__file__).parents[2] / "search_spaces" / "digits.yaml"


@pytest.mark.parametrize("used", [DATA, SCORING, REGIMES, TRAINING])
@pytest.mark.parametrize("key", [*SearchSpace.model_fields])
def test_every_key_of_a_space_is_used_or_refused(used: frozenset[str], key: str) -> None:
    assert used <= SearchSpace.model_fields.keys()
    if key in used:
        check_used([f"{key}=1", f"{key}.part=1"], used, "train")
    else:
        with pytest.raises(SpaceError, match=rf"{key}: hsl train does not use it") as caught:
            check_used([f"{key}=1", f"{key}.part=1"], used, "train")
        assert len(caught.value.problems) == 2


def test_a_section_of_axes_stands_for_its_axis() -> None:
    check_used(["factors.training.lr=[0.1]", "search.method.choice=[set]"], TRAINING, "train")
    with pytest.raises(SpaceError, match=r"search\.method"):
        check_used(["search.method.choice=[set]"], SCORING, "score")


def pinned(*overrides: str) -> Callable[[], Any]:
    def check() -> Any:
        space = load_space(DIGITS, overrides)
        chosen = only_configuration(space)
        check_pinned(overrides, space, chosen, only_regime(space))
        return chosen

    return check


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("method=static", "sparsity=0.9", "method.drop_fraction=0.3"),
            "static has no such hyperparameter; it has none",
        ),
        (
            ("method=set", "sparsity=0.9", "method.start=0.3"),
            "set has no such hyperparameter; it has method.drop",
        ),
        (("method=dense", "sparsity=0.9"), "sparsity: dense prunes nothing and has none"),
        (("method=dense", "distribution=erk"), "distribution: dense prunes nothing"),
        (
            ("method=set", "sparsity=0.9", "regimes.pgd.attack.steps=3"),
            "regime clean is trained; leave it out, or add regime=pgd",
        ),
        (
            ("method=dense", "training.gamma=0.3"),
            "schedule cosine does not read it; leave it out, or set schedule to multistep or step",
        ),
        (
            ("method=dense", "training.optimizer=adamw", "training.momentum=0.5"),
            "optimizer adamw does not read it; leave it out, or set optimizer to sgd",
        ),
        (
            ("method=snip", "sparsity=0.9", "distribution=erk", "ratios.batch=3"),
            "ratios.batch: distribution erk has no such ratio; it has none",
        ),
        (
            ("method=static", "sparsity=0.9", "distribution=from:grasp", "ratios.batch=3"),
            "ratios.batch: distribution from:grasp has no such ratio; it has",
        ),
    ],
)
def test_what_the_configuration_has_no_place_for_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(message)):
        pinned("regime=clean", *overrides)()


def test_dense_needs_no_sparsity() -> None:
    found = pinned("regime=pgd", "method=dense", "regimes.pgd.attack.steps=3", "training.lr=0.2")()
    assert (found.method, found.sparsity, found.training.lr, found.regime.attack.steps) == (
        "dense",
        0.0,
        0.2,
        3,
    )
    found = pinned("regime=clean", "method=set", "sparsity=0.9", "method.drop_fraction=0.4")()
    assert found.hyperparameters == {"drop_fraction": 0.4}


def test_scoring_models_have_the_training_of_the_space(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("name: a\ndataset: digits\nmodel: mlp\nfactors: {training.epochs: [1, 2]}\n")
    with pytest.raises(SpaceError, match=r"training\.epochs: the space compares it"):
        check_scoring(["training.epochs=3"], load_space(file, ["training.epochs=3"]))
    check_scoring(["training.lr=0.3"], load_space(file, ["training.lr=0.3"]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "regime=clean", "method=dense", "confirm.seeds=3"),
        ("train", "regime=clean", "method=dense", "seed=1", "--seed", 2),
        ("score", "sparsity=0.9"),
        ("score", "regimes.pgd.attack.steps=3"),
        ("preview", "sparsity=0.9"),
        ("preview", "--corruptions", "training.lr=0.1"),
        ("preview", "--severity", 3),
    ],
)
def test_commands_refuse_what_they_do_not_use(arguments: tuple[object, ...]) -> None:
    name, *rest = arguments
    done = command(name, DIGITS, *rest)
    assert done.returncode == 2
    assert "does not use it" in done.stderr or "only with --corruptions" in done.stderr
    assert done.stdout == ""


def test_the_seed_of_the_space_is_that_of_its_training() -> None:
    """seed=1 was taken, and seed 0 trained."""
    fixed = ("regime=clean", "method=dense", "training.epochs=1", "split.limit=60", "--format", "json")
    rows = [command("train", DIGITS, *fixed, *more).stdout for more in (["seed=1"], ["--seed", 1], [])]
    losses = [re.search(r'"train_loss": ([^,]+)', row)[1] for row in rows]  # type: ignore[index]
    assert losses[0] == losses[1] != losses[2]


def test_what_is_read_is_taken() -> None:
    pinned("method=dense", "regime=clean", "training.schedule=step", "training.gamma=0.3")()
    grasp = ("method=static", "sparsity=0.9", "distribution=from:grasp")
    assert pinned("regime=clean", *grasp, "ratios.samples_per_class=3")().ratios == {"samples_per_class": 3}
