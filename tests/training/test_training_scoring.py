"""Scores of every kind, from training to file, against what the networks and a second implementation say."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from training_small import score_file, small, train, trainer_of

from hsl.errors import DataError
from hsl.hardness import SCORES
from hsl.hardness.apply import Samples
from hsl.hardness.label_noise import detection_auroc
from hsl.hardness.schema.regimes import LabelNoise
from hsl.hardness.scores.gradients import grand
from hsl.planning.scores import Scores
from hsl.prepare.parents import ModelScoresTask, ScoresTask
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.data.loaded import Data, load_data
from hsl.training.data.score_files import all_samples, labels_as_trained, read_scores, write_mean
from hsl.training.data.score_tables import read_table
from hsl.training.measuring.evaluation import all_logits, to_float
from hsl.training.models import mlp
from hsl.training.scoring import score_samples

EPOCHS = 3


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data("digits", small().split, "cpu")


@pytest.fixture(scope="module")
def samples(data: Data) -> Samples:
    return all_samples(data)


def scored(name: str, samples: Samples, epochs: int = EPOCHS, **changes: Any) -> np.ndarray:
    return score_samples(name, build_trainer(small(**changes), 0), samples, epochs).numpy()


@pytest.fixture(scope="module")
def looks(samples: Samples) -> np.ndarray:
    """Probabilities of all classes after every epoch, [T, N, C], of an ordinary training."""
    trainer = build_trainer(small(), 0)
    after = [all_logits(train(trainer, 1).model, samples) for _ in range(EPOCHS)]
    return torch.stack(after).double().softmax(2).numpy()


@pytest.mark.parametrize("name", SCORES)
def test_every_score_has_a_finite_value_for_every_sample(name: str, samples: Samples) -> None:
    values = scored(name, samples)
    assert values.shape == (len(samples),)
    assert np.isfinite(values).all()
    assert len(np.unique(values)) > 1


def test_trajectories_are_those_of_an_undisturbed_training(samples: Samples, looks: np.ndarray) -> None:
    labels, positions = samples.labels.numpy(), np.arange(len(samples))
    of_label = looks[:, positions, labels]
    np.testing.assert_allclose(scored("datamap_confidence", samples), 1 - of_label.mean(0), atol=1e-5)
    np.testing.assert_allclose(scored("datamap_variability", samples), of_label.std(0), atol=1e-5)
    right = looks.argmax(2) == labels
    np.testing.assert_allclose(scored("learning_speed", samples), 1 - right.mean(0), atol=1e-6)
    forgotten = [
        EPOCHS if not path.any() else sum(a and not b for a, b in pairwise(path)) for path in right.T
    ]
    assert scored("forgetting", samples).tolist() == forgotten
    others = looks.copy()
    others[:, positions, labels] = 0
    margins = np.log(of_label) - np.log(others.max(2))
    np.testing.assert_allclose(scored("aum", samples), -margins.mean(0), atol=1e-3)


def test_a_score_of_logits_is_that_of_the_epoch_it_is_asked_at(samples: Samples, looks: np.ndarray) -> None:
    for epoch in (1, EPOCHS):
        error = looks[epoch - 1] - np.eye(10)[samples.labels.numpy()]
        np.testing.assert_allclose(scored("el2n", samples, epoch), np.linalg.norm(error, axis=1), atol=1e-5)


@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_features_are_what_the_last_layer_reads(model: str, samples: Samples) -> None:
    """The closed form of the last layer's gradient is the gradient that autograd finds."""
    few = samples.where(torch.arange(len(samples)) < 12)
    trainer = build_trainer(small(model={"name": model}), 0)
    closed = score_samples("grand_last", trainer, few, 1)
    for name, parameter in trainer.model.named_parameters():
        parameter.requires_grad_("output" in name)
    expected = grand(trainer.model, to_float(few.images), few.labels)
    np.testing.assert_allclose(closed, expected, rtol=1e-4)


@pytest.mark.parametrize(("precision", "kind"), [("double", "double"), ("single", "float")])
def test_scores_are_stored_in_the_precision_in_which_they_are_computed(
    precision: str, kind: str, data: Data, tmp_path: Path
) -> None:
    """Single is what version 0.1.0 stored; both are read without loss."""
    uri = score_file(tmp_path, "loss", small(), epochs=2, models=2, precision=precision)
    about = json.loads(pq.read_schema(uri).metadata[b"hsl"])
    assert about["precision"] == precision
    for file in (uri, str(tmp_path / "scores-0.parquet")):
        column = read_table(file).column("score")
        assert str(column.type) == kind
        read = read_scores(file, data)
        assert read.dtype == torch.float64
        ids = torch.tensor(read_table(file).column("id").to_pylist())
        assert read[ids].tolist() == column.to_pylist()


@pytest.mark.parametrize("name", SCORES)
def test_single_and_double_precision_differ_by_rounding_alone(name: str, samples: Samples) -> None:
    few = samples.where(torch.arange(len(samples)) < 50)
    both = [score_samples(name, build_trainer(small(), 0), few, 2, kind) for kind in ("single", "double")]
    assert [values.dtype for values in both] == [torch.float32, torch.float64]
    np.testing.assert_allclose(both[0].numpy(), both[1].numpy(), rtol=1e-3, atol=1e-5)


def test_scores_of_version_0_1_keep_their_names_and_others_get_another() -> None:
    """The names are those that version 0.1.0 gave (commit 4ef07ef)."""
    configuration = Configuration.model_validate({"dataset": "digits", "model": {"name": "mlp"}})
    former, present = (Scores("el2n", 10, 3, configuration, kind) for kind in ("single", "double"))
    assert (former.id, former.model_id) == ("491b85ef06", "9aa970ba8f")
    assert len({former.id, former.model_id, present.id, present.model_id}) == 4
    assert Scores("el2n", 10, 3, configuration) == present


def test_a_last_layer_without_bias_has_no_gradient_of_one(samples: Samples) -> None:
    few = samples.where(torch.arange(len(samples)) < 12)
    trainer = build_trainer(small(model={"name": f"{__name__}:without_bias"}), 0)
    np.testing.assert_allclose(
        score_samples("grand_last", trainer, few, 1),
        grand(trainer.model, to_float(few.images), few.labels),
        rtol=1e-4,
    )


def without_bias(shape: tuple[int, int, int], classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[1] * shape[2], classes, bias=False))


def no_last_layer(shape: tuple[int, int, int], classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(mlp(shape, classes), torch.nn.Softplus())


@pytest.mark.parametrize("score", ["grand_last", "prototypicality"])
def test_a_network_without_features_is_refused(score: str, samples: Samples) -> None:
    with pytest.raises(DataError, match="not the output of its last linear layer"):
        scored(score, samples, model={"name": f"{__name__}:no_last_layer"})


def test_a_network_that_diverges_is_no_judge(samples: Samples) -> None:
    with pytest.raises(DataError, match="the scoring model has diverged, lower its lr"):
        scored("el2n", samples, training={"lr": 1e30})


def test_the_mean_does_not_depend_on_who_made_which_part_first(tmp_path: Path) -> None:
    first = score_file(tmp_path, "loss", small(), epochs=2, models=3)
    other = tmp_path / "other"
    scores = Scores("loss", 3, 2, small())
    parts = tuple(ModelScoresTask(scores, seed, str(other / f"{seed}.parquet")) for seed in range(3))
    for part in (parts[2], parts[0]):
        part.run("cpu")
    made = {part.target: Path(part.target).stat().st_mtime_ns for part in (parts[2], parts[0])}
    ScoresTask(scores, str(other / "mean.parquet"), parts).run("cpu")
    one, two = pq.read_table(first), pq.read_table(other / "mean.parquet")
    assert one.equals(two)
    assert all(Path(target).stat().st_mtime_ns == at for target, at in made.items())
    by_model = [pq.read_table(part.target).column("score").to_numpy() for part in parts]
    np.testing.assert_allclose(one.column("score").to_numpy(), np.mean(by_model, axis=0), rtol=1e-6)
    assert not np.array_equal(by_model[0], by_model[1])


def test_a_file_says_which_sample_is_in_which_part(data: Data, tmp_path: Path) -> None:
    table = pq.read_table(score_file(tmp_path, "el2n", small(), epochs=1)).to_pydict()
    for split in ("train", "val", "test"):
        part = getattr(data, split)
        rows = [i for i, name in enumerate(table["split"]) if name == split]
        assert [table["id"][i] for i in rows] == sorted(part.ids.tolist())
        assert [table["label"][i] for i in rows] == part.labels[part.ids.argsort()].tolist()


def changed(uri: str, column: str, values: Any) -> str:
    table = pq.read_table(uri)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, [values(table.column(column).to_pylist())]), uri)
    return uri


def other_label(labels: list[int]) -> list[int]:
    return [(labels[0] + 1) % 10, *labels[1:]]


def selecting(**changes: Any) -> Configuration:
    return small(regime={"keep": {"fraction": 0.5, "by": "el2n"}}, **changes)


@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_scores_of_other_data_are_refused(tmp_path: Path) -> None:
    uri = score_file(tmp_path, "el2n", small(), epochs=1)
    trainer_of(selecting(), tmp_path, scores=uri)
    for split, what in (({"limit": 130}, "other samples"), ({"seed": 1, "limit": 120}, "other samples")):
        with pytest.raises(DataError, match=f"are of {what}.* delete the folder"):
            trainer_of(selecting(split=split), tmp_path, scores=uri)
    full = score_file(tmp_path, "el2n", small(split={}), epochs=1, name="full")
    with pytest.raises(DataError, match="are of another division"):
        trainer_of(selecting(split={"seed": 3}), tmp_path, scores=full)
    relabelled = changed(score_file(tmp_path, "el2n", small(), 1, name="again"), "label", other_label)
    with pytest.raises(DataError, match="are of other labels"):
        trainer_of(selecting(), tmp_path, scores=relabelled)


def test_parts_of_different_data_have_no_mean(tmp_path: Path) -> None:
    one = score_file(tmp_path, "el2n", small(), epochs=1, name="one")
    two = score_file(tmp_path, "el2n", small(split={"limit": 130}), epochs=1, name="two")
    with pytest.raises(DataError, match="other samples"):
        write_mean(str(tmp_path / "mean.parquet"), [one, two], {})


MEASURED: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [128]},
    "split": {},
    "training": {"epochs": 10, "batch_size": 64, "lr": 0.05, "nesterov": True, "schedule": "constant"},
}


@pytest.mark.parametrize("name", ["el2n", "loss", "margin", "aum", "forgetting"])
def test_wrong_labels_are_hard(name: str) -> None:
    """The area under the ROC curve is at least 0.97 with 10 % of wrong labels on digits."""
    trainer = build_trainer(small(**MEASURED, regime={"label_noise": {"rate": 0.1}}), 0)
    noisy = trainer.train_samples.at(1)
    right = load_data("digits", small(**MEASURED).split, "cpu").train
    assert noisy.ids.equal(right.ids)
    wrong = (noisy.labels != right.labels).numpy()
    assert 0.05 < wrong.mean() < 0.15
    assert roc_auc_score(wrong, score_samples(name, trainer, noisy, 10)) >= 0.97


def test_models_that_are_given_wrong_labels_find_them(tmp_path: Path) -> None:
    """All of them are given the same; the file says which, and stays one of the samples as they are."""
    noise = LabelNoise(kind="pair", rate=0.1)
    made = small(**MEASURED, regime={"label_noise": noise})
    uri = score_file(tmp_path, "el2n", made, epochs=10, models=2)
    data = load_data("digits", made.split, "cpu")
    noisy, is_wrong = labels_as_trained(data, noise)
    trained = build_trainer(made, 0).train_samples.at(1)
    assert trained.labels.equal(noisy.train.labels)
    assert noisy.test is data.test
    table = read_table(uri).sort_by("id")
    ids = all_samples(data).ids
    listed = dict(zip(table["id"].to_pylist(), table["is_wrong"].to_pylist(), strict=True))
    assert [listed[i] for i in ids.tolist()] == is_wrong.tolist()
    assert torch.equal(is_wrong[: len(data.train)], noisy.train.labels != data.train.labels)
    assert not is_wrong[len(data.train) :].any()
    scores = read_scores(uri, data)[data.train.ids]
    assert detection_auroc(scores, is_wrong[: len(data.train)]) >= 0.97
    clean = score_file(tmp_path, "el2n", small(), epochs=1, name="clean")
    assert "is_wrong" not in read_table(clean).column_names


@pytest.fixture(scope="module")
def digits_scores() -> dict[tuple[str, int], torch.Tensor]:
    """Scores of three networks of the size and the rate at which the thresholds were measured."""
    made = small(**MEASURED)
    train_samples = load_data("digits", made.split, "cpu").train
    return {
        (name, seed): score_samples(name, build_trainer(made, seed), train_samples, epochs)
        for name, epochs in (("el2n", 5), ("aum", 10), ("forgetting", 10), ("grand_last", 5))
        for seed in range(3)
    }


def mean_of(scores: dict[tuple[str, int], torch.Tensor], name: str) -> np.ndarray:
    return np.mean([scores[name, seed].numpy() for seed in range(3)], axis=0)


def test_networks_agree_on_what_is_hard(digits_scores: dict[tuple[str, int], torch.Tensor]) -> None:
    """Pairwise rank correlation of EL2N on digits is at least 0.8 from the fifth epoch on."""
    by_model = [digits_scores["el2n", seed] for seed in range(3)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert min(spearmanr(by_model[a], by_model[b]).statistic for a, b in pairs) >= 0.8


@pytest.mark.parametrize("name", ["aum", "grand_last", "forgetting"])
def test_other_scores_rank_like_el2n_but_not_the_same(
    name: str, digits_scores: dict[tuple[str, int], torch.Tensor]
) -> None:
    correlation = spearmanr(mean_of(digits_scores, "el2n"), mean_of(digits_scores, name)).statistic
    assert (0.3 if name == "forgetting" else 0.85) < correlation < 0.9999


def test_the_hardest_are_of_few_classes(digits_scores: dict[tuple[str, int], torch.Tensor]) -> None:
    labels = load_data("digits", small(split={}).split, "cpu").train.labels.numpy()
    hardest = np.argsort(-mean_of(digits_scores, "el2n"))[: round(0.3 * len(labels))]
    counts = np.bincount(labels[hardest], minlength=10)
    assert counts.max() >= 3 * counts.min()


@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_regimes_by_el2n_and_by_forgetting_train_on_different_samples(tmp_path: Path) -> None:
    kept = {}
    for by in ("el2n", "forgetting"):
        uri = score_file(tmp_path, by, small(), epochs=4, models=2, name=by)
        trainer = trainer_of(small(regime={"keep": {"fraction": 0.5, "by": by}}), tmp_path, scores=uri)
        kept[by] = set(trainer.train_samples.at(1).ids.tolist())
    assert len(kept["el2n"]) == len(kept["forgetting"]) == 60
    assert 20 < len(kept["el2n"] & kept["forgetting"]) < 60


def test_every_kind_of_input_is_supplied() -> None:
    recorded = {SCORES.facts(name).recorded for name in SCORES}
    assert recorded == {"logits", "trajectory", "features", "gradients"}
    assert SCORES.facts("my.package:score").recorded == "logits"
