"""The search spaces beside the package: each is valid, plans to the cells of its figure, and can be trained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hsl.hardness.registries import LABEL_NOISES
from hsl.planning.plan import Plan, make_plan
from hsl.registry import Entry
from hsl.results.best import METRICS
from hsl.results.ranking import OBJECTIVES
from hsl.space.axes import configuration
from hsl.space.load import load_space, make_space
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS
from hsl.training import available
from hsl.training.configuration import Configuration
from hsl.training.data.arrays import Arrays
from hsl.trial.alone import train_once

FOLDER = Path(__file__).parents[2] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))
PAPER = [file.stem for file in FILES if file.stem.startswith("paper-")]
TENTHS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def plan_of(name: str) -> Plan:
    return make_plan(load_space(FOLDER / f"{name}.yaml"))


# What the paper compares, from its text (arXiv 2409.09196): sections 4 and 4.2, appendices A and B.
METHODS_OF_THE_PAPER = ["GMP", "LTH", "OMP", "SNIP", "SET"]
HARDEST = ["top 50 %", "top 30 %"]  # figure 2
SHARES = TENTHS  # figure 3, of SET alone
VOLUMES = ["data ratio 1.0", "data ratio 0.3"]  # figures 4 and 5, at severity 5
SEVERITIES = [2, 4, 6]  # figure 9, at data ratio 0.3
ATTACKED = ["data ratio 1.0", "data ratio 0.5"]  # figures 6 and 10
ATTACKED_SPARSITIES = [0.9, 0.8]  # figure 6, figure 10


def grid(*axes: list[Any]) -> int:
    """Points of a figure."""
    return len(list(product(*axes)))


CELLS = {
    # sparse cells, and a dense one per regime (and model)
    "paper-el2n-cifar100": (grid(HARDEST, METHODS_OF_THE_PAPER, TENTHS), len(HARDEST)),
    "paper-el2n-grid": (grid(SHARES, TENTHS), len(SHARES)),
    "paper-el2n-tinyimagenet": (grid(HARDEST, METHODS_OF_THE_PAPER, TENTHS), len(HARDEST)),
    "paper-corruption-cifar100": (
        grid(["ResNet18", "VGG19"], VOLUMES, METHODS_OF_THE_PAPER, TENTHS),
        grid(["ResNet18", "VGG19"], VOLUMES),
    ),
    "paper-corruption-severities": (grid(SEVERITIES, METHODS_OF_THE_PAPER, TENTHS), len(SEVERITIES)),
    "paper-corruption-tinyimagenet": (grid(VOLUMES, METHODS_OF_THE_PAPER, TENTHS), len(VOLUMES)),
    "paper-adversarial-cifar10": (grid(ATTACKED, METHODS_OF_THE_PAPER, ATTACKED_SPARSITIES), len(ATTACKED)),
    "paper-adversarial-cifar100": (grid(ATTACKED, METHODS_OF_THE_PAPER, ATTACKED_SPARSITIES), len(ATTACKED)),
    # six methods with three distributions, but set and static take no global one
    "paper-layerwise": (2 * (6 * 3 - 2) * 2, 2),
    "beyond": (22 * 5, 22),
    "cifar10-small": (3 * 5 * 2, 3),
    "digits": (4 * 3, 4),
}


def test_every_file_is_counted() -> None:
    assert {file.stem for file in FILES} == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_a_space_plans_to_the_cells_of_its_figure(name: str) -> None:
    plan = plan_of(name)
    sparse, dense = CELLS[name]
    assert sum(not cell.baseline for cell in plan.cells) == sparse
    assert sum(cell.baseline for cell in plan.cells) == dense
    assert plan.space.name == name


FIGURES = {
    "paper-el2n-cifar100": {2},
    "paper-el2n-grid": {3},
    "paper-el2n-tinyimagenet": {2},
    "paper-corruption-cifar100": {4, 5},
    "paper-corruption-severities": {9},
    "paper-corruption-tinyimagenet": {4, 5},
    "paper-adversarial-cifar10": {6, 10},
    "paper-adversarial-cifar100": {6, 10},
    "paper-layerwise": {7, 8},
}
"""The figures of the paper that a file has the cells of."""


@pytest.mark.parametrize("name", PAPER)
def test_a_file_of_the_paper_names_its_figures(name: str) -> None:
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0].rpartition("figure")[2]
    without_percentages = re.sub(r"\(.*?\)", "", first)
    assert {int(number) for number in re.findall(r"\d+", without_percentages)} == FIGURES[name]


@pytest.mark.parametrize("name", CELLS)
def test_a_command_in_a_comment_asks_for_what_there_is(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    assert {word for pair in re.findall(r"--pareto (\w+) (\w+)", text) for word in pair} <= set(OBJECTIVES)
    assert set(re.findall(r"--metric (\w+)", text)) <= set(METRICS)


@pytest.mark.parametrize("name", CELLS)
def test_a_space_describes_no_regime_that_it_does_not_use(name: str) -> None:
    space = plan_of(name).space
    assert set(space.regimes) == set(space.factors.get("regime", [space.regime]))


@pytest.mark.parametrize("name", PAPER)
def test_a_file_of_the_paper_says_which_figure_and_what_was_left_open(name: str) -> None:
    comment = re.split(r"^name:", (FOLDER / f"{name}.yaml").read_text(), flags=re.MULTILINE)[0]
    assert re.search(r"figures? \d", comment)
    assert "2409.09196" in comment
    assert "eft open" in comment
    assert re.search(r"claims? C\d", comment)


@pytest.mark.parametrize("name", PAPER)
def test_the_training_is_the_papers(name: str) -> None:
    """Appendix A.2: 200 epochs of SGD, batches of 128, 0.1 divided by ten at epochs 100 and 150, three seeds."""
    space = plan_of(name).space
    training = space.training
    assert (training.epochs, training.batch_size, training.optimizer) == (200, 128, "sgd")
    assert (training.lr, training.momentum, training.weight_decay) == (0.1, 0.9, 5e-4)
    assert training.schedule == "multistep"
    assert [milestone * 200 for milestone in training.milestones] == [100, 150]
    assert training.gamma == 0.1
    assert (space.confirm.seeds, space.early_stopping, space.init) == (3, None, "dense")


@pytest.mark.parametrize("name", PAPER)
def test_nothing_of_the_paper_is_tuned(name: str) -> None:
    assert {cell.configurations for cell in plan_of(name).cells} == {1}


def trained(name: str) -> list[Configuration]:
    """What the search of a space without tuning trains."""
    plan = plan_of(name)
    chosen = []
    for cell in plan.cells:
        (method, distributions), *_ = cell.distributions.items()
        pinned = {axis: domain.choice[0] for axis, domain in cell.domains.items() if domain.choice}
        values = {**pinned, **cell.levels, "method": method, "distribution": distributions[0]}
        chosen.append(configuration(plan.space, values))
    return chosen


@pytest.mark.parametrize(
    "name", [name for name in PAPER if name not in {"paper-layerwise", "paper-el2n-grid"}]
)
def test_the_methods_are_those_of_the_paper(name: str) -> None:
    sparse = [c for c in trained(name) if c.method != "dense"]
    methods = {(c.method, c.distribution) for c in sparse}
    assert methods == {
        ("gmp", "global"), ("lth", "global"), ("omp", "global"), ("snip", "global"), ("set", "erk")
    }  # fmt: skip
    expected = [0.8, 0.9] if "adversarial" in name else TENTHS
    assert sorted({c.sparsity for c in sparse}) == expected
    assert {c.hyperparameters.get("drop_fraction") for c in sparse if c.method == "set"} == {0.2}
    gmp = {h.name: h.default for h in METHODS["gmp"].hyperparameters}
    assert (gmp["start"], gmp["end"], gmp["interval"] * 200) == (0.1, 0.8, 4)
    assert next(h.default for h in METHODS["set"].hyperparameters if h.name == "interval") * 200 == 4


MODELS = {
    "paper-el2n-cifar100": {"resnet18"},
    "paper-el2n-grid": {"resnet18"},
    "paper-el2n-tinyimagenet": {"resnet34"},
    "paper-corruption-cifar100": {"resnet18", "vgg19"},
    "paper-corruption-severities": {"resnet18"},
    "paper-corruption-tinyimagenet": {"resnet34"},
    "paper-adversarial-cifar10": {"vgg16"},
    "paper-adversarial-cifar100": {"resnet18"},
    "paper-layerwise": {"resnet18"},
}
DATASETS = {"cifar100": "cifar100", "tinyimagenet": "tiny-imagenet", "cifar10": "cifar10"}


@pytest.mark.parametrize("name", PAPER)
def test_models_and_data_are_those_of_the_figure(name: str) -> None:
    found = trained(name)
    assert {c.model.name for c in found} == MODELS[name]
    assert {c.dataset for c in found} == {DATASETS.get(name.rsplit("-", 1)[-1], "cifar100")}


def test_figure_2_is_about_the_hardest_half_and_30_percent() -> None:
    for name in ("paper-el2n-cifar100", "paper-el2n-tinyimagenet"):
        keeps = [regime.keep for regime in plan_of(name).space.regimes.values()]
        assert [(k.fraction, k.by, k.which, k.models) for k in keeps if k] == [
            (0.5, "el2n", "hardest", 1),
            (0.3, "el2n", "hardest", 1),
        ]
        assert len(plan_of(name).scores) == 1, "one model scores for both"
        assert plan_of(name).scores[0].epochs == 20


def test_figure_3_crosses_nine_shares_with_nine_sparsities_of_set() -> None:
    found = trained("paper-el2n-grid")
    cells = {(c.regime.keep.fraction, c.sparsity) for c in found if c.method == "set" and c.regime.keep}
    assert cells == {(share, sparsity) for share in TENTHS for sparsity in TENTHS}


def test_corruptions_are_equally_severe_in_training_and_test() -> None:
    severities = {
        "paper-corruption-cifar100": {(5, 1.0), (5, 0.3)},
        "paper-corruption-tinyimagenet": {(5, 1.0), (5, 0.3)},
        "paper-corruption-severities": {(2, 0.3), (4, 0.3), (6, 0.3)},
    }
    for name, expected in severities.items():
        regimes = [c.regime for c in trained(name)]
        assert {
            (r.corruption.severity, r.keep.fraction if r.keep else 1.0) for r in regimes if r.corruption
        } == expected
        for corruption in (r.corruption for r in regimes if r.corruption):
            assert set(corruption.names) == {"gaussian_noise", "impulse_noise", "defocus_blur"}
            assert (corruption.where, corruption.matched_severity) == ("both", corruption.severity)


def test_attacks_are_those_of_the_paper() -> None:
    for name in ("paper-adversarial-cifar10", "paper-adversarial-cifar100"):
        regimes = [c.regime for c in trained(name)]
        assert {r.keep.fraction if r.keep else 1.0 for r in regimes} == {1.0, 0.5}
        for attack in (r.attack for r in regimes):
            assert attack is not None
            assert (attack.name, attack.norm, attack.steps, attack.eval_steps) == ("pgd", "linf", 10, 20)
            assert isclose(attack.eps * 255, 8)
            assert isclose(attack.step * 255, 2)
            assert (attack.random_start, attack.bn_mode) == (True, "train")


def test_the_layerwise_variants_of_the_paper_are_there() -> None:
    found = {(c.method, c.distribution) for c in trained("paper-layerwise")}
    assert {
        ("omp", "global"),
        ("omp", "erk"),
        ("static", "erk"),
        ("static", "uniform"),
        ("set", "erk"),
    } <= found
    assert {c.sparsity for c in trained("paper-layerwise")} == {0.0, 0.7, 0.8}


def test_beyond_has_every_method_and_every_kind_of_hardness() -> None:
    space = plan_of("beyond").space
    methods = set(space.search["method"].choice or ())
    assert methods <= set(METHODS) - {"dense", "imp", "imp_ratios"}
    assert len(methods) >= 19
    regimes = list(space.regimes.values())
    attacks = {r.attack.name for r in regimes if r.attack}
    assert attacks >= {"pgd", "fgsm_rs", "free", "mart", "trades"}
    assert {r.label_noise.kind for r in regimes if r.label_noise} <= set(LABEL_NOISES)
    assert {r.keep.which for r in regimes if r.keep} == {"hardest", "window", "stratified", "random"}
    assert space.against == ("training_flops",)


def random_images(_: str) -> Arrays:
    """120 images of noise, 32x32, of ten classes that differ in brightness."""
    labels = np.arange(120) % 10
    images = np.random.default_rng(0).integers(0, 96, (120, 3, 32, 32)) + 16 * labels[:, None, None, None]
    return Arrays(images.astype(np.uint8), labels.astype(np.int64), np.arange(120) >= 100)


def tiny(name: str) -> SearchSpace:
    """The space on random images: two batches of a training are one epoch each, in float32, which CPUs are built for.

    A tenth of 40 could all be of one class, which is refused.
    """
    raw: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    raw |= {
        "dataset": "random-images",
        "split": {"validation": 0.2, "limit": 400 if name == "paper-el2n-grid" else 40},
    }
    raw["training"] |= {"epochs": 2, "batch_size": 64, "evaluate_every": 2, "amp": False}
    if name == "beyond":  # its methods and scores are many, its network is that of others
        raw["model"] = "resnet8"
    for regime in raw["regimes"].values():
        if "by" in regime.get("keep", {}):
            regime["keep"] |= {"models": 1, "epoch": 1.0}
    return make_space(raw)


def kinds(space: SearchSpace) -> Iterator[Configuration]:
    """So many configurations that every level of every factor, every method and distribution occurs."""
    seen: set[tuple[str, str]] = set()
    for cell in make_plan(space).cells:
        for method, distributions in cell.distributions.items():
            for distribution in distributions:
                values = {**cell.levels, "method": method, "distribution": distribution}
                new = {(axis, repr(value)) for axis, value in values.items() if axis != "sparsity"} - seen
                if new:
                    seen |= new
                    yield configuration(space, values)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CELLS if name != "digits"])
def test_two_batches_of_every_kind_of_cell(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    monkeypatch.setitem(
        available.DATASETS._entries, "random-images", Entry(random_images, available.DatasetFacts())
    )
    space = tiny(name)
    for chosen in kinds(space):
        rows: list[Any] = []
        trainer = train_once(space, chosen, 0, "cpu", rows.append)
        assert len(rows) == 2
        assert np.isfinite(rows[-1]["test_matched_loss"]), chosen
        assert abs(trainer.sparsifier.sparsity() - chosen.sparsity) < 1e-3 or chosen.method == "topkast", (
            chosen
        )
