"""What `hsl preview` shows are the samples that trials train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from hsl.cli import app
from hsl.hardness import CORRUPTIONS
from hsl.planning.plan import make_plan
from hsl.prepare.parents import ScoresTask, scores_task
from hsl.prepare.preview import corruptions, regimes
from hsl.registry import PLUGINS
from hsl.space.axes import configuration
from hsl.space.load import make_space
from hsl.store.layout import Library
from hsl.training.build import build_trainer
from hsl.training.data.loaded import load_data

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [8]},
    "split": {"limit": 100},
    "training": {"epochs": 2},
    "regimes": {
        "clean": {},
        "noisy": {
            "keep": {"fraction": 0.5},
            "label_noise": {"rate": 0.4},
            "corruption": {"name": "contrast", "severity": 5},
        },
        "hard": {"keep": {"fraction": 0.3, "by": "el2n", "models": 1}},
        "attacked": {"attack": {"name": "trades"}},
    },
    "factors": {"regime": ["clean", "noisy", "hard", "attacked"]},
    "method": "static",
    "sparsity": 0.5,
}


def test_regimes_show_the_samples_of_their_trials(tmp_path: Path) -> None:
    space = make_space(SPACE)
    made = regimes(space, Library(str(tmp_path)), 20)
    rows = {row["regime"]: row for row in made.rows}
    assert list(rows) == ["clean", "noisy", "hard", "attacked"]
    assert "hsl score --by el2n --models 1 --precision double" in rows["hard"]["note"]
    assert "samples" not in rows["hard"]
    assert "trades is not shown" in rows["attacked"]["note"]
    assert rows["clean"]["note"] is None
    assert (rows["clean"]["samples"], rows["clean"]["wrong_labels"], rows["clean"]["change"]) == (100, 0, 0)
    example = next(c for c in make_plan(space).cells if c.name.startswith("noisy"))
    trained = build_trainer(configuration(space, {**example.levels, "method": "dense", "sparsity": 0.0}), 0)
    samples = trained.train_samples.at(1)
    right = load_data("digits", space.split, "cpu").train
    of = dict(zip(right.ids.tolist(), right.labels.tolist(), strict=True))
    pairs = zip(samples.ids.tolist(), samples.labels.tolist(), strict=True)
    wrong = np.mean([of[i] != label for i, label in pairs])
    assert rows["noisy"]["wrong_labels"] == pytest.approx(wrong)
    assert rows["noisy"]["samples"] == 50
    shown = [tile.image.tobytes() for tile in made.tiles["noisy"]]
    assert len(shown) == 20
    assert set(shown) <= {image.numpy().tobytes() for image in samples.images}
    assert {tile.caption for tile in made.tiles["noisy"]} <= {
        str(of[i]) if of[i] == label else f"{of[i]} -> {label}"
        for i, label in zip(samples.ids.tolist(), samples.labels.tolist(), strict=True)
    }
    assert any("->" in tile.caption for tile in made.tiles["noisy"])


@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_scored_regimes_are_shown_once_there_are_scores(tmp_path: Path) -> None:
    space = make_space(SPACE)
    task = scores_task(make_plan(space).scores[0], Library(str(tmp_path)))
    assert isinstance(task, ScoresTask)
    task.run("cpu")
    row = next(row for row in regimes(space, Library(str(tmp_path)), 8).rows if row["regime"] == "hard")
    assert (row["samples"], row["note"]) == (30, None)
    assert row["val"] < 100
    assert row["test"] == round(0.3 * 360)


def test_corruptions_are_of_the_same_images_or_say_why_not() -> None:
    made = corruptions(make_space(SPACE), 3, 10)
    rows = {row["corruption"]: row for row in made.rows}
    assert set(rows) == set(CORRUPTIONS)
    assert rows["contrast"]["change"] > 0.01
    assert rows["contrast"]["note"] is None
    assert rows["fog"]["change"] is None
    assert "not defined on images of 8 x 8" in rows["fog"]["note"]
    assert sorted(tile.caption for tile in made.tiles["as it is"]) == [str(label) for label in range(10)]
    assert set(made.tiles) == {"as it is"} | {f"{n} 3" for n, row in rows.items() if row["note"] is None}


@pytest.mark.parametrize("arguments", [(), ("--corruptions", "--severity", "2")])
def test_the_command_writes_a_table_and_a_sheet(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLUGINS, "on")  # which the command sets for its process
    file, sheet = tmp_path / "space.yaml", tmp_path / "new" / "sheet.png"
    file.write_text(yaml.safe_dump(SPACE))
    given = ["preview", str(file), "--sheet", str(sheet), "--store", str(tmp_path), "-f", "json", *arguments]
    result = CliRunner().invoke(app, given, catch_exceptions=False)
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)) == (len(CORRUPTIONS) if arguments else 4)
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG"
        assert drawn.height > 200
