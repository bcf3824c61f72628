"""Measures of a network against numpy and scikit-learn, on all samples and never on selected ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, log_loss, recall_score
from training_small import score_file, small, train, trainer_of, with_method

from hsl.hardness.attacks.robustness import still_right
from hsl.hardness.corruptions.corrupt import corrupt
from hsl.hardness.registries import CORRUPTIONS, ROBUST
from hsl.store.packed import unpacked
from hsl.training.build import build_bench
from hsl.training.measuring import measures
from hsl.training.measuring.evaluation import all_logits
from hsl.training.measuring.evaluation_settings import CIFAR_C, Evaluation
from hsl.training.measuring.kept import evaluate_kept, kept_networks
from hsl.training.measuring.measures import Bench, Item, deciles, items

CLASSES = range(10)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A trained network, and the scores of the samples."""
    folder = tmp_path_factory.mktemp("bench")
    configuration = with_method("static", training={"epochs": 12, "lr": 0.2})
    trainer = train(trainer_of(configuration, folder))
    difficulty = score_file(folder, "el2n", small(), epochs=2)
    made = build_bench(configuration, 0, trainer.model.state_dict(), difficulty=difficulty)
    assert made.sets.measure(made.model) == trainer.sets.measure(trainer.model)
    return made


@pytest.fixture(scope="module")
def logits(bench: Bench) -> np.ndarray:
    return all_logits(bench.model, bench.sets.test_clean).double().numpy()


@pytest.fixture(scope="module")
def labels(bench: Bench) -> np.ndarray:
    return bench.sets.test_clean.labels.numpy()


def by_detail(rows: list[dict[str, Any]], measure: str) -> dict[str, dict[str, Any]]:
    found = {row["detail"]: row for row in rows if row["measure"] == measure}
    assert len(found) == sum(row["measure"] == measure for row in rows)
    return found


def losses_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]


def test_clean_is_scikit_learns(bench: Bench, logits: np.ndarray, labels: np.ndarray) -> None:
    (row,) = bench.measure(Item("clean", "test"))
    assert row["accuracy"] == accuracy_score(labels, logits.argmax(1))
    assert row["loss"] == pytest.approx(
        log_loss(labels, np.exp(log_softmax(logits, 1)), labels=CLASSES), 1e-5
    )
    assert (row["samples"], row["split"], row["detail"]) == (len(labels), "test", "")


def test_samples_are_those_that_numpy_finds_correct(
    bench: Bench, logits: np.ndarray, labels: np.ndarray
) -> None:
    clean, matched = bench.measure(Item("sample", "test"))
    ids, correct = unpacked(clean["correct"])
    order = np.argsort(bench.sets.test_clean.ids.numpy())
    assert ids.tolist() == bench.sets.test_clean.ids.numpy()[order].tolist()
    assert correct.tolist() == (logits.argmax(1) == labels)[order].tolist()
    assert clean["accuracy"] == correct.mean() == bench.measure(Item("clean", "test"))[0]["accuracy"]
    assert (matched["detail"], matched["correct"]) == ("matched", clean["correct"]), "of the clean regime"


def test_classes_are_scikit_learns(bench: Bench, logits: np.ndarray, labels: np.ndarray) -> None:
    rows = bench.measure(Item("class", "test"))
    recalls = recall_score(labels, logits.argmax(1), average=None, labels=CLASSES)
    classes = by_detail(rows, "class")
    assert [classes[str(c)]["accuracy"] for c in CLASSES] == recalls.tolist()
    assert [classes[str(c)]["samples"] for c in CLASSES] == np.bincount(labels).tolist()
    losses = losses_of(logits, labels)
    for c in CLASSES:
        assert classes[str(c)]["loss"] == pytest.approx(losses[labels == c].mean(), 1e-5)
    worst = by_detail(rows, "worst_class")[""]
    assert worst["accuracy"] == recalls.min() == bench.sets.measure(bench.model)["test_worst_class_accuracy"]
    assert worst["samples"] == np.bincount(labels)[recalls.argmin()]


def test_deciles_are_numpys(bench: Bench, logits: np.ndarray, labels: np.ndarray) -> None:
    rows = by_detail(bench.measure(Item("decile", "test", {"by": "el2n"})), "decile")
    assert bench.difficulty is not None
    ids = bench.sets.test_clean.ids.numpy()
    scores = bench.difficulty.numpy()[ids]
    order = np.lexsort((ids, scores))
    assert len(np.unique(scores)) == len(scores)
    size = len(ids) / 10
    right, losses = logits.argmax(1) == labels, losses_of(logits, labels)
    for number in range(10):
        part = order[int(np.ceil(number * size)) : int(np.ceil((number + 1) * size))]
        row = rows[str(number)]
        assert row["samples"] == len(part)
        assert row["accuracy"] == right[part].mean()
        assert row["loss"] == pytest.approx(losses[part].mean(), 1e-5)
        assert row["parameters"] == {"by": "el2n"}
    assert rows["9"]["accuracy"] < rows["0"]["accuracy"]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=60), st.randoms())
def test_tenths_are_even_and_in_order(scores: list[float], random: Any) -> None:
    ids = list(range(100, 100 + len(scores)))
    random.shuffle(ids)
    given = torch.tensor(scores), torch.tensor(ids)
    for ties in ("keyed", "id"):
        tenth = deciles(*given, ties).numpy()
        sizes = np.bincount(tenth, minlength=10)
        assert sizes.max() - sizes.min() <= 1
        order = np.lexsort((ids if ties == "id" else tenth, scores))
        assert tenth[order].tolist() == sorted(tenth.tolist())


def test_deciles_of_version_0_1_keep_their_parameters() -> None:
    former = {"by": "el2n", "ties": "id", "precision": "single"}
    for asked, stored in (
        (former, {"by": "el2n"}),
        ("el2n", {"by": "el2n", "ties": "keyed", "precision": "double"}),
    ):
        (item,) = [item for item in items(Evaluation(deciles=asked)) if item.measure == "decile"]
        assert dict(item.parameters) == stored


def test_corruptions_are_those_of_matched_samples(bench: Bench, tmp_path: Path) -> None:
    """The same draws as a regime of this corruption is judged by; the mean is over kinds and severities."""
    names, severities = ("contrast", "gaussian_noise"), (2, 5)
    wanted = Item("corruption", "test", {"names": list(names), "severities": list(severities)})
    rows = bench.measure(wanted)
    found = by_detail(rows, "corruption")
    assert list(found) == ["contrast 2", "contrast 5", "gaussian_noise 2", "gaussian_noise 5"]
    for name in names:
        for severity in severities:
            regime = {"corruption": {"name": name, "severity": severity}}
            sets = trainer_of(small(regime=regime), tmp_path).sets
            expected = sets.measure(bench.model)
            row = found[f"{name} {severity}"]
            assert (row["accuracy"], row["loss"]) == (
                expected["test_matched_accuracy"],
                expected["test_matched_loss"],
            )
    mean = by_detail(rows, "corruption_mean")[""]
    assert mean["accuracy"] == pytest.approx(np.mean([row["accuracy"] for row in found.values()]))
    assert mean["loss"] == pytest.approx(np.mean([row["loss"] for row in found.values()]))
    assert mean["samples"] == 4 * len(bench.sets.test_clean)


def test_the_parts_of_a_data_set_are_damaged_differently(bench: Bench) -> None:
    """Draws are keyed by the part: a sample of both would not look the same in both."""
    samples = bench.sets.val_clean
    val, test = (measures._damaged(samples, "gaussian_noise", 3, split).images for split in ("val", "test"))
    assert (val != test).float().mean() > 0.3


@pytest.mark.parametrize("name", [name for name in ROBUST if name in {"fgsm", "pgd20"}])
def test_robust_accuracy_is_the_share_that_stays_right(name: str, bench: Bench) -> None:
    for norm, eps, shown in (("linf", 16 / 255, "linf 16/255"), ("l2", 0.5, "l2 0.5")):
        (row,) = bench.measure(Item(name, "test", {"norm": norm, "eps": eps}))
        samples = bench.sets.test_clean
        right = still_right(
            name, bench.model, samples.images, samples.labels, samples.ids, eps=eps, norm=norm
        )
        clean = bench.measure(Item("clean", "test"))[0]["accuracy"]
        assert row["accuracy"] == right.double().mean().item() < clean
        assert (row["detail"], row["loss"], row["samples"]) == (shown, None, len(samples))


def test_a_limit_takes_the_same_samples_for_every_network(bench: Bench, tmp_path: Path) -> None:
    item = Item("pgd20", "test", {"norm": "linf", "eps": 0.1, "samples": 40})
    other = build_bench(small(), 3, trainer_of(small(), tmp_path, 3).model.state_dict())
    ids = bench.subset(item).ids
    assert len(ids) == 40
    assert torch.equal(ids, other.subset(item).ids)
    assert bool(torch.isin(ids, bench.sets.test_clean.ids).all())
    (row,) = bench.measure(item)
    assert row["samples"] == 40
    more = Item("pgd20", "test", {"samples": 10_000})
    assert bench.subset(more) is bench.sets.test_clean


@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_only_matched_samples_are_selected(tmp_path: Path) -> None:
    """In a regime of the hardest half everything but ``matched`` is measured on all test samples."""
    uri = score_file(tmp_path, "el2n", small(), epochs=2)
    noise = {"name": "gaussian_noise", "severity": 4}
    configuration = small(regime={"keep": {"fraction": 0.5, "by": "el2n"}, "corruption": noise})
    trainer = train(trainer_of(configuration, tmp_path, scores=uri))
    bench = build_bench(configuration, 0, trainer.model.state_dict(), scores=uri, difficulty=uri)
    plain = build_bench(small(), 0, trainer.model.state_dict(), difficulty=uri)
    total = len(bench.sets.test_clean)
    for item in items(Evaluation(deciles={"by": "el2n"}, corruptions={"names": ["contrast"]})):
        rows, expected = bench.measure(item), plain.measure(item)
        if item.measure == "matched":
            assert rows[0]["samples"] == len(bench.sets.test_matched) < total
            assert rows[0]["accuracy"] == trainer.history[-1]["test_matched_accuracy"]
        else:
            assert timeless(rows) == timeless(expected)


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_what_is_asked_for_is_listed() -> None:
    asked = Evaluation(
        splits=("test", "val"), deciles="el2n", corruptions=["fog"], attacks=["pgd20", "fgsm"], samples=9
    )
    listed = [(item.split, item.measure) for item in items(asked)]
    free = ("clean", "matched", "class", "decile")
    costly = ("corruption", "pgd20", "fgsm")
    assert listed == [(s, m) for names in (free, costly) for s in ("test", "val") for m in names]
    by_measure = {item.measure: dict(item.parameters) for item in items(asked)}
    assert by_measure["pgd20"] == {"norm": "linf", "eps": 8 / 255, "samples": 9}
    assert by_measure["corruption"] == {"names": ["fog"], "severities": [1, 2, 3, 4, 5], "samples": 9}
    assert by_measure["clean"] == by_measure["class"] == {}
    assert [item.measure for item in items(Evaluation())] == ["clean", "matched", "class"]
    assert [item.measure for item in items(Evaluation(per_class=False))] == ["clean", "matched"]


@pytest.mark.parametrize("measure", ["clean", "class", "sample", "decile", "corruption", "pgd20"])
def test_the_sign_of_an_item_is_one_of_its_rows(measure: str, bench: Bench) -> None:
    asked = Evaluation(
        per_sample=True, deciles="el2n", corruptions=["contrast"], attacks=["pgd20"], samples=20
    )
    (item,) = [item for item in items(asked) if item.measure == measure]
    rows = bench.measure(item)
    assert [(row["measure"], row["detail"]) for row in rows].count(item.sign) == 1
    assert all(row["parameters"] == item.parameters for row in rows)


def test_the_usual_corruptions_are_the_fifteen_of_the_published_test_set() -> None:
    assert len(CIFAR_C) == 15
    extra = {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert set(CORRUPTIONS) == set(CIFAR_C) | extra


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "measure": ({"attacks": ["pgd2"]}, "did you mean 'pgd20'"),
    "corruption": ({"corruptions": ["foggy"]}, "did you mean 'fog'"),
    "score": ({"deciles": "el2"}, "did you mean 'el2n'"),
    "severity": ({"corruptions": {"severities": [6]}}, "less than or equal to 5"),
    "no unit": ({"attacks": {"names": ["pgd20"], "eps": 8}}, "in pixel units, for example 8/255"),
    "twice": ({"attacks": ["fgsm", "fgsm"]}, "listed twice"),
    "idle samples": ({"samples": 5}, "add corruptions or attacks, or leave samples out"),
    "stage": ({"stages": ["parents"]}, "'search' or 'confirm'"),
    "key": ({"decile": "el2n"}, "Extra inputs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nonsense_is_refused(case: str) -> None:
    given_, message = REFUSED[case]
    with pytest.raises(ValidationError, match=message):
        Evaluation.model_validate(given_)


def test_the_best_network_that_is_the_final_one_is_measured_once(bench: Bench) -> None:
    state = bench.model.state_dict()
    trained = {"epoch": 4, "model": state, "best": {"epoch": 4, "value": 1.0, "network": state}}
    made: list[int] = []

    def bench_of(_: Any) -> Bench:
        made.append(1)
        return bench

    kept = kept_networks(trained, ("final", "best"))
    rows = [row for found in evaluate_kept(kept, items(Evaluation()), bench_of) for row in found]
    assert len(made) == 1
    final, best = ([row for row in rows if row["checkpoint"] == name] for name in ("final", "best"))
    assert [{**row, "checkpoint": "best"} for row in final] == best
    assert {row["epoch"] for row in rows} == {4}
    earlier = {**trained, "best": {"epoch": 2, "value": 1.0, "network": state}}
    made.clear()
    list(evaluate_kept(kept_networks(earlier, ("final", "best")), items(Evaluation()), bench_of))
    assert len(made) == 2


def test_a_training_without_a_best_network_has_the_final_one() -> None:
    for best in ({}, {"epoch": 1, "value": 0.5, "network": None}):
        kept = kept_networks({"epoch": 3, "model": {}, "best": best}, ("final", "best"))
        assert [(network.checkpoint, network.epoch) for network in kept] == [("final", 3)]


def test_pruned_weights_of_a_bench_are_zero(tmp_path: Path) -> None:
    """Also of methods that keep weights in reserve: what is measured is what the sparse network does."""
    for method in ("rigl", "topkast", "gmp"):
        trainer = train(trainer_of(with_method(method), tmp_path))
        made = build_bench(with_method(method), 0, trainer.model.state_dict())
        zeros = sum(int((p == 0).sum()) for p in made.model.parameters() if p.ndim > 1)
        total = sum(p.numel() for p in made.model.parameters() if p.ndim > 1)
        assert zeros >= round(0.8 * total), method
        assert (
            made.measure(Item("clean", "test"))[0]["accuracy"] == trainer.history[-1]["test_clean_accuracy"]
        )


def test_scores_of_a_file_make_the_deciles(tmp_path: Path) -> None:
    uri = score_file(tmp_path, "el2n", small(), epochs=2)
    state = trainer_of(small(), tmp_path).model.state_dict()
    made = build_bench(small(), 0, state, difficulty=uri)
    table = pq.read_table(uri)
    assert made.difficulty is not None
    assert made.difficulty[torch.tensor(table["id"].to_pylist())].tolist() == table["score"].to_pylist()


def test_damage_is_that_of_the_published_kind(bench: Bench) -> None:
    samples = bench.sets.test_clean
    damaged = measures._damaged(samples, "contrast", 4, "test")
    assert torch.equal(damaged.images, corrupt(samples.images, samples.ids, "contrast", 4, 0))
    assert torch.equal(damaged.labels, samples.labels)


def test_an_interrupted_attack_goes_on_and_leaves_nothing_behind(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after its first two blocks it attacks only the third, and finds what it would have found."""
    attacked: list[int] = []
    evaluator = ROBUST["fgsm"]

    def counted(model: Any, images: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        attacked.append(len(images))
        return evaluator(model, images, *args, **options)

    monkeypatch.setattr(type(ROBUST), "__getitem__", lambda registry, name: counted)
    item = Item("fgsm", "test", {"norm": "linf", "eps": 8 / 255})
    expected = bench.measure(item)
    assert attacked == [128, 128, 104]
    kept = kept_networks({"epoch": 4, "model": bench.model.state_dict()}, ("final",))

    def run() -> Any:
        return evaluate_kept(kept, [item], lambda _: bench, states=tmp_path)

    started = run()
    assert [next(started), next(started)] == [[], []]
    attacked.clear()
    (rows,) = filter(None, run())
    assert attacked == [104]
    final = {"checkpoint": "final", "epoch": 4}
    assert timeless(rows) == [{**final, **row} for row in timeless(expected)]
    assert not list(tmp_path.rglob("*.json"))
