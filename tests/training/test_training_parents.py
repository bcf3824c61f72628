"""Parents of omp and lth, and difficulty scores: made once, used by many."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from training_small import score_file, small, train, trained_parent, trainer_of, with_method

from hsl.errors import DataError, DivergedError, HslError, MethodError
from hsl.hardness.scores.logits import el2n
from hsl.training import checkpoint
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.data.loaded import load_data
from hsl.training.data.score_files import read_scores
from hsl.training.measuring.evaluation import all_logits
from hsl.training.models import Normalized
from hsl.training.scoring import score_samples
from hsl.training.trainer import Trainer

LAYERS = ("network.hidden1", "network.output")


def kept_weights(trainer: Trainer, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask and weights of a layer."""
    module = trainer.model.get_submodule(layer)
    mask = next(buffer for name, buffer in module.named_buffers() if "mask" in name)
    return mask, module.weight.detach()


@pytest.mark.parametrize("seed", [0, 5])
def test_omp_starts_from_the_trained_weights(seed: int, tmp_path: Path) -> None:
    child = with_method("omp")
    uri = trained_parent(child, tmp_path, seed)
    trained = checkpoint.read(uri)["model"]
    trainer = build_trainer(child, seed, parent=uri)
    for layer in LAYERS:
        mask, weight = kept_weights(trainer, layer)
        assert torch.equal(weight, trained[f"{layer}.weight"] * mask)
        assert torch.equal(trainer.model.state_dict()[f"{layer}.bias"], trained[f"{layer}.bias"])


@pytest.mark.parametrize("seed", [0, 5])
def test_lth_starts_from_the_initial_weights_of_its_seed(seed: int, tmp_path: Path) -> None:
    child = with_method("lth")
    trainer = build_trainer(child, seed, parent=trained_parent(child, tmp_path, seed))
    fresh = build_trainer(small(), seed).model.state_dict()
    for layer in LAYERS:
        mask, weight = kept_weights(trainer, layer)
        assert torch.equal(weight, fresh[f"{layer}.weight"] * mask)


@pytest.mark.parametrize("fraction", [0.25, 0.4, 1.0])
def test_lth_rewinds_to_the_step_it_is_told(fraction: float, tmp_path: Path) -> None:
    child = with_method("lth", hyperparameters={"rewind": fraction})
    trainer = build_trainer(child, 0, parent=trained_parent(child, tmp_path))
    dense = build_trainer(small(), 0)
    dense.train_steps(round(fraction * dense.total_steps))
    for layer in LAYERS:
        mask, weight = kept_weights(trainer, layer)
        assert torch.equal(weight, dense.model.state_dict()[f"{layer}.weight"] * mask)


@pytest.mark.parametrize("method", ["omp", "lth"])
def test_the_largest_trained_weights_are_kept(method: str, tmp_path: Path) -> None:
    child = with_method(method, distribution="global")
    uri = trained_parent(child, tmp_path)
    trained = checkpoint.read(uri)["model"]
    trainer = build_trainer(child, 0, parent=uri)
    masks = {layer: kept_weights(trainer, layer)[0].bool() for layer in LAYERS}
    magnitudes = {layer: trained[f"{layer}.weight"].abs() for layer in LAYERS}
    lowest_kept = min(magnitudes[layer][masks[layer]].min() for layer in LAYERS)
    highest_pruned = max(magnitudes[layer][~masks[layer]].max() for layer in LAYERS)
    assert highest_pruned <= lowest_kept


def test_the_trained_parent_is_the_dense_training_of_its_seed(tmp_path: Path) -> None:
    child = with_method("omp")
    trained = checkpoint.read(trained_parent(child, tmp_path, 2))
    dense = train(build_trainer(small(), 2)).model.state_dict()
    assert all(torch.equal(trained["model"][name], value) for name, value in dense.items())
    assert Configuration.model_validate(trained["configuration"]) == small()
    assert trained["seed"] == 2


def test_nothing_is_evaluated_for_parents_and_scoring_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward computations in eval mode: none for a parent, one look at every sample for scores."""
    judged: list[int] = []
    forward = Normalized.forward

    def counted(model: Normalized, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 1:  # one sample is that on which the operations of the layers are counted
            judged.append(0 if model.training else len(images))
        return forward(model, images)

    monkeypatch.setattr(Normalized, "forward", counted)
    steps = 4 * 4  # epochs; 120 samples in batches of 32
    uri = trained_parent(with_method("omp"), tmp_path)
    assert (len(judged), sum(judged)) == (steps, 0)
    judged.clear()
    build_trainer(with_method("lth", hyperparameters={"rewind": 0.5}), 0, parent=uri)
    assert (len(judged), sum(judged)) == (steps // 2, 0)
    judged.clear()
    scored(tmp_path, models=1)
    data = load_data("digits", small().split, "cpu")
    assert sum(judged) == len(data.train) + len(data.val) + len(data.test)
    judged.clear()
    train(trainer_of(small(), tmp_path))
    assert sum(judged) == 4 * (len(data.val) + len(data.test))


def test_a_parent_that_diverges_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"training loss is .* in epoch 1; try a smaller training\.lr"):
        trained_parent(with_method("omp", training={"lr": 1e20, "schedule": "constant"}), tmp_path)


def test_a_parent_that_is_gone_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HslError, match="cannot be used: gone; the same command makes it again"):
        build_trainer(with_method("omp"), 0, parent=str(tmp_path / "gone.safetensors"))


def test_a_method_with_a_parent_needs_one() -> None:
    with pytest.raises(MethodError, match="starts from a trained dense network"):
        build_trainer(with_method("omp"), 0)


def scored(folder: Path, models: int = 2) -> tuple[dict[int, float], str]:
    uri = score_file(folder, "el2n", small({"epochs": 6}), epochs=6, models=models)
    table = pq.read_table(uri)
    return dict(zip(table.column("id").to_pylist(), table.column("score").to_pylist(), strict=True)), uri


def test_scores_are_the_mean_over_the_models_for_every_sample(tmp_path: Path) -> None:
    values, _ = scored(tmp_path)
    data = load_data("digits", small().split, "cpu")
    models = [train(build_trainer(small({"epochs": 6}), seed)).model for seed in range(2)]
    for part in (data.train, data.val, data.test):
        by_model = [el2n(all_logits(model, part), part.labels) for model in models]
        expected = torch.stack(by_model).mean(0)
        found = torch.tensor([values[i] for i in part.ids.tolist()], dtype=torch.float64)
        assert torch.allclose(found, expected, atol=1e-6)
    assert len(values) == len(data.train) + len(data.val) + len(data.test)


def test_a_sample_of_the_wrong_class_is_harder(tmp_path: Path) -> None:
    """EL2N of a misclassified sample is higher than that of any sample that is surely right."""
    configuration = small({"epochs": 20, "lr": 0.2}, split={})
    trainer = build_trainer(configuration, 0)
    test = load_data("digits", configuration.split, "cpu").test
    scores = score_samples("el2n", trainer, test, epochs=20)
    wrong = all_logits(trainer.model, test).argmax(1) != test.labels
    assert 0 < wrong.sum() < len(test)
    assert scores[wrong].min() > 0.5
    assert scores[wrong].mean() > 5 * scores[~wrong].mean()


def test_a_file_of_scores_is_aligned_by_sample_id(tmp_path: Path) -> None:
    values, uri = scored(tmp_path, models=1)
    by_id = read_scores(uri, load_data("digits", small().split, "cpu"))
    assert all(by_id[i].item() == pytest.approx(score, rel=1e-6) for i, score in values.items())
    missing = set(range(len(by_id))) - set(values)
    assert all(by_id[i].isnan() for i in missing)
    table = pq.read_table(uri)
    assert table.column("id").to_pylist() == sorted(values)
    about = json.loads(table.schema.metadata[b"hsl"])
    assert (about["score"], about["models"], about["epochs"]) == ("el2n", 1, 6)
    assert about["configuration"] == small({"epochs": 6}).stored()


@pytest.mark.filterwarnings("ignore:keep.fraction")
@pytest.mark.parametrize("which", ["hardest", "easiest"])
def test_a_regime_keeps_the_samples_that_the_scores_say(which: str, tmp_path: Path) -> None:
    values, uri = scored(tmp_path, models=1)
    regime = {"keep": {"fraction": 0.4, "by": "el2n", "which": which}}
    trainer = trainer_of(small(regime=regime), tmp_path, scores=uri)
    data = load_data("digits", small().split, "cpu")
    for kept, whole in (
        (trainer.train_samples.at(1), data.train),
        (trainer.sets.val_matched, data.val),
        (trainer.sets.test_matched, data.test),
    ):
        ordered = sorted(whole.ids.tolist(), key=lambda i: values[i], reverse=which == "hardest")
        assert set(kept.ids.tolist()) == set(ordered[: round(0.4 * len(whole))])
    assert len(trainer.sets.val_clean) == len(data.val)


def test_a_regime_that_needs_scores_is_refused_without_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs a difficulty score"):
        trainer_of(small(regime={"keep": {"fraction": 0.5, "by": "el2n"}}), tmp_path)


@pytest.mark.parametrize("kept", [0, 100], ids=["emptied", "cut"])
def test_a_damaged_parent_is_named_with_what_to_do(kept: int, tmp_path: Path) -> None:
    child = with_method("omp")
    uri = trained_parent(child, tmp_path)
    Path(uri).write_bytes(Path(uri).read_bytes()[:kept])
    with pytest.raises(HslError, match=rf"{re.escape(uri)} cannot be used: .*damaged.*--retry-failed"):
        build_trainer(child, 0, parent=uri)


@pytest.mark.parametrize("damage", ["gone", "emptied", "flipped"])
def test_damaged_scores_are_named_with_what_to_do(damage: str, tmp_path: Path) -> None:
    """One bit of a score that is another one is found, too: pages have checksums."""
    hard = small(regime={"keep": {"fraction": 0.5, "by": "el2n"}})
    file = Path(score_file(tmp_path, "el2n", small(), epochs=1))
    content = file.read_bytes()
    file.unlink()
    if damage == "emptied":
        file.touch()
    elif damage == "flipped":
        middle = len(content) // 3
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(
        DataError, match=rf"the scores {re.escape(str(file))} cannot be used: .*--retry-failed"
    ):
        build_trainer(hard, 0, scores=str(file))
