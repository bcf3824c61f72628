"""The command line: messages, exit codes, formats, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from command_line import command
from PIL import Image

from hsl import cli
from hsl.sparsity import METHODS

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "search_spaces" / "digits.yaml"

Hsl = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hsl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hsl:
    """Runs one command in a folder of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> tuple[int, str, str]:
        done = command(*arguments)
        return done.returncode, done.stdout, done.stderr

    return run


def space(tmp_path: Path, **changes: Any) -> Path:
    file = tmp_path / "space.yaml"
    content = {
        "name": "mine",
        "dataset": "digits",
        "model": {"name": "mlp", "widths": [32]},
        "factors": {"sparsity": [0.9]},
        "method": "static",
    }
    file.write_text(yaml.safe_dump(content | changes))
    return file


INVALID = {
    "unknown method": ({"method": "rigll"}, "did you mean 'rigl'?"),
    "sparsity of one": ({"factors": {"sparsity": [1.0]}}, "1.0: sparsity is the fraction of zeros"),
    "negative sparsity": ({"factors": {"sparsity": [-0.1]}}, "-0.1: sparsity is the fraction of zeros"),
    "percentage": ({"factors": {"sparsity": ["90%"]}}, "for 90 % write 0.9"),
    "severity 6": (
        {"regimes": {"noisy": {"corruption": {"name": "gaussian_noise", "severity": 6}}}},
        "severity",
    ),
    "empty factor": ({"factors": {"sparsity": []}}, "factors.sparsity: empty; give at least one"),
    "unknown key": ({"trainig": {}}, "did you mean 'training'?"),
    "too many seeds": ({"confirm": {"seeds": 1000}}, "less than or equal to 30"),
    "unknown regime": ({"factors": {"regime": ["clear"], "sparsity": [0.5]}}, "did you mean 'clean'?"),
    "tuned sparsity": ({"factors": {}, "search": {"sparsity": {"uniform": [0.1, 0.9]}}}, "never tuned"),
    "no sparsity": ({"factors": {}}, "add sparsity to factors"),
    "unknown data set": ({"dataset": "digit"}, "did you mean 'digits'?"),
    "parquet without path": ({"dataset": "parquet"}, "needs a path"),
    "infeasible distribution": (
        {"factors": {"sparsity": [0.99]}, "distribution": "uniform_plus"},
        "must be below",
    ),
    "glob without a layer": ({"layers": {"exclude": ["hiden*"]}}, "'hiden*' matches no prunable layer"),
    "everything excluded": ({"layers": {"exclude": ["*"]}}, "no prunable layer is left of 2"),
    "too much kept dense": ({"layers": {"first_dense": True}}, "must be below"),
    "structure of a method that has none": (
        {"method": "rigl", "factors": {"sparsity": [0.5]}, "layers": {"structure": "2:4"}},
        "'rigl' takes no structure",
    ),
    "structure of another sparsity": ({"layers": {"structure": "2:4"}}, "have sparsity 0.5, not 0.9"),
    "structure without quotes": ({"layers": {"structure": 124}}, 'write it in quotes: "2:4"'),
    "unknown model option": ({"model": {"name": "mlp", "width": 3}}, "unexpected keyword argument 'width'"),
    "corruption of tiny images": (
        {
            "regimes": {"foggy": {"corruption": {"name": "fog", "severity": 3}}},
            "factors": {"regime": ["foggy"], "sparsity": [0.5]},
        },
        "fog",
    ),
    "missing data": ({"dataset": "parquet:nowhere.parquet"}, "no Parquet file at 'nowhere.parquet'"),
}


@pytest.mark.parametrize("case", INVALID, ids=str)
def test_an_invalid_space_is_refused_before_anything_runs(case: str, hsl: Hsl, tmp_path: Path) -> None:
    changes, message = INVALID[case]
    code, out, err = hsl("sweep", space(tmp_path, **changes), "--store", tmp_path / "store")
    assert code == 2
    assert message in err
    assert out == ""
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 24
    assert not (tmp_path / "store").exists()


def test_all_problems_are_reported_at_once_with_their_lines(hsl: Hsl, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "name: mine\ndataset: digits\nmodel: mpl\ntraining: {epoch: 3}\nfactors:\n  sparsity: [2]\n  method: [sett]\n"
    )
    code, _, err = hsl("plan", file)
    assert code == 2
    for expected in (
        "line 3: model",
        "line 4: training.epoch",
        "line 6: factors.sparsity",
        "line 7: factors.method",
    ):
        assert expected in err


def test_yaml_syntax_errors_name_the_line(hsl: Hsl, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("name: mine\nfactors: [1, 2\nmodel: mlp\n")
    code, _, err = hsl("sweep", file)
    assert code == 2
    assert "line 3" in err
    assert "not valid YAML" in err


def test_a_missing_file_is_named(hsl: Hsl) -> None:
    code, _, err = hsl("plan", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in err
    assert "No such file" in err


def parquet_of(tmp_path: Path, images: list[bytes]) -> str:
    image = pa.array(
        [{"bytes": content, "path": None} for content in images],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": image, "label": pa.array(range(len(images)), pa.int64())})
    pq.write_table(table, tmp_path / "data.parquet")
    return f"parquet:{tmp_path / 'data.parquet'}"


@pytest.mark.parametrize(
    ("images", "message"), [([b"no image"], "row 0: not a readable image"), ([], "is empty")]
)
def test_unfit_data_is_refused(images: list[bytes], message: str, hsl: Hsl, tmp_path: Path) -> None:
    code, _, err = hsl(
        "sweep", space(tmp_path, dataset=parquet_of(tmp_path, images)), "--store", tmp_path / "store"
    )
    assert code == 2
    assert message in err
    assert not (tmp_path / "store").exists()


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["hsl", "--debug", "plan", str(tmp_path / "nowhere.yaml")])
    with pytest.raises(cli.HslError):
        cli.main()


def test_plan_as_json(hsl: Hsl) -> None:
    code, out, _ = hsl("plan", DIGITS, "--format", "json")
    plan = json.loads(out)
    assert code == 0
    assert len(plan["cells"]) == 4 * 3 + 4
    assert {stage["stage"] for stage in plan["stages"]} == {"parents", "search", "confirm"}
    assert len(plan["parents"]) == 4
    assert [scores["score"] for scores in plan["scores"]] == ["el2n"]
    assert {omission["combination"] for omission in plan["left_out"]} >= {"static x global", "set x global"}
    assert all(stage["core_seconds"] > 0 for stage in plan["stages"])


def test_plan_for_people(hsl: Hsl) -> None:
    code, out, _ = hsl("plan", DIGITS)
    assert code == 0
    assert "16 cells, 128 configurations to search" in out
    assert "left out: static x global" in out


@pytest.mark.parametrize("arguments", [["--help"], ["plan", str(DIGITS)], ["list"]], ids=" ".join)
def test_light_commands_import_neither_torch_nor_ray(arguments: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\nfrom hsl import cli\nsys.argv = ['hsl', *sys.argv[1:]]\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'ray'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stderr.strip().endswith("[]")


def test_the_package_runs_as_a_module(hsl: Hsl) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hsl", "list", "methods", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == hsl("list", "methods", "--format", "json")[1]


def test_list_names_every_method(hsl: Hsl) -> None:
    code, out, _ = hsl("list", "methods", "--format", "json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list(METHODS)


@pytest.mark.parametrize(
    "kind", ["methods", "distributions", "datasets", "models", "corruptions", "scores", "attacks"]
)
def test_list_describes_every_entry(kind: str, hsl: Hsl) -> None:
    rows = json.loads(hsl("list", kind, "--format", "json")[1])
    assert rows
    assert all(len(row["details"]) > 10 for row in rows)


def test_list_of_an_unknown_kind(hsl: Hsl) -> None:
    code, _, err = hsl("list", "method")
    assert code == 2
    assert "did you mean 'methods'?" in err


def test_train_one_configuration(hsl: Hsl, tmp_path: Path) -> None:
    pinned = ("regime=clean", "sparsity=0.9", "method=rigl", "distribution=erk", "training.epochs=3")
    code, out, err = hsl("train", DIGITS, *pinned, "--format", "json", "--out", tmp_path / "net.safetensors")
    rows = json.loads(out)
    assert code == 0, err
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["sparsity"] == pytest.approx(0.9, abs=1e-5)
    assert rows[-1]["test_clean_accuracy"] > 0.5
    assert (tmp_path / "net.safetensors").exists()
    again = json.loads(hsl("train", DIGITS, *pinned, "--format", "json")[1])
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in again] == timeless


def test_train_asks_for_what_is_not_pinned(hsl: Hsl) -> None:
    code, _, err = hsl("train", DIGITS, "sparsity=0.9")
    assert code == 2
    assert "regime: has 4 values" in err
    assert "method: has 7 values" in err


def score_arguments(tmp_path: Path, *more: object) -> tuple[object, ...]:
    cheap = ("training.epochs=3", "split.limit=200", "--models", 2, "--store", tmp_path / "store")
    return ("score", space(tmp_path), *cheap, *more)


@pytest.mark.parametrize("by", ["el2n", "forgetting", "grand"])
def test_score_lists_the_hardest_and_the_easiest(by: str, hsl: Hsl, tmp_path: Path) -> None:
    out, sheet = tmp_path / "scores.parquet", tmp_path / "new" / "sheet.png"
    arguments = score_arguments(
        tmp_path, "--by", by, "--top", 4, "--out", out, "--sheet", sheet, "-f", "json"
    )
    code, printed, err = hsl(*arguments)
    assert code == 0, err
    assert f"{by} scores of model 2 of 2" in err
    rows = json.loads(printed)
    assert [row["end"] for row in rows] == ["hardest"] * 4 + ["easiest"] * 4
    scores = [row["score"] for row in rows]
    assert scores[:4] == sorted(scores[:4], reverse=True)
    assert scores[4:] == sorted(scores[4:])
    table = pq.read_table(out)
    trained_on = [row for row in table.to_pylist() if row["split"] == "train"]
    assert len(trained_on) == 200
    assert max(row["score"] for row in trained_on) == pytest.approx(scores[0])
    assert min(row["score"] for row in trained_on) == pytest.approx(scores[4])
    about = json.loads(table.schema.metadata[b"hsl"])
    assert (about["score"], about["models"]) == (by, 2)
    assert about["provenance"]["versions"]["hsl"]
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG"
        assert len(set(drawn.convert("L").tobytes())) > 4
    again = hsl(*arguments)
    assert again[1] == printed
    assert "of model" not in again[2]


def test_score_tells_how_well_wrong_labels_are_found(hsl: Hsl, tmp_path: Path) -> None:
    noise = ("regimes.clean.label_noise.rate=0.2", "--label-noise", "clean", "-f", "json")
    code, out, err = hsl(*score_arguments(tmp_path, *noise))
    assert code == 0, err
    assert all(row["is_wrong"] in (True, False) for row in json.loads(out))
    (found,) = (line for line in err.splitlines() if line.startswith("AUROC of "))
    assert "wrong labels among 200 training samples: 0." in found
    assert "AUROC" not in hsl(*score_arguments(tmp_path))[2]


def test_score_lists_a_part_of_the_data_set(hsl: Hsl, tmp_path: Path) -> None:
    shown = {
        split: json.loads(hsl(*score_arguments(tmp_path, "--split", split, "-f", "json"))[1])
        for split in ("train", "val", "test")
    }
    ids = [{row["id"] for row in rows} for rows in shown.values()]
    assert all(len(some) == 20 for some in ids)
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "el2m"), "did you mean 'el2n'?"),
        (("--epoch", "2"), "less than or equal to 1"),
        (("--by", "forgetting", "--epoch", "0.1"), "forgetting compares at least 2 epochs"),
    ],
)
def test_score_refuses_what_means_nothing(
    arguments: tuple[str, ...], message: str, hsl: Hsl, tmp_path: Path
) -> None:
    code, out, err = hsl(*score_arguments(tmp_path, *arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "store").exists()


def test_score_does_not_use_scores_of_other_labels(hsl: Hsl, tmp_path: Path) -> None:
    hsl(*score_arguments(tmp_path))
    (file,) = (tmp_path / "store" / "scores").glob("*.parquet")
    table = pq.read_table(file)
    labels = pa.array([0] * len(table), pa.int64())
    pq.write_table(table.set_column(table.column_names.index("label"), "label", labels), file)
    code, _, err = hsl(*score_arguments(tmp_path))
    assert code == 2
    assert "are of other labels" in err
    assert "delete the folder" in err


def test_no_store_is_a_message(hsl: Hsl, tmp_path: Path) -> None:
    code, _, err = hsl("best", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in err


def test_version(hsl: Hsl) -> None:
    code, out, _ = hsl("--version")
    assert code == 0
    assert out.startswith("hsl 0.")
