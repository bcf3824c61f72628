"""Code that a file names: refused unless allowed, named before it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsl.driver.tune.trackers import check_trackers
from hsl.errors import HslError, PluginError, SpaceError, UnknownNameError
from hsl.planning.plan import make_plan
from hsl.prepare.preflight import check_samplers
from hsl.registry import PLUGINS, Registry
from hsl.space.load import make_space

SPACE = """
name: plugged
dataset: digits
model: {model}
training: {{epochs: 1}}
method: static
sparsity: 0.5
"""
MODULE = """
from pathlib import Path
from torch import nn
Path(__file__).with_name("was-imported").touch()
def network(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 8), nn.ReLU(), nn.Linear(8, classes))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "strange.py").write_text(MODULE)
    (tmp_path / "space.yaml").write_text(SPACE.format(model="strange:network"))
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
    return subprocess.run(
        [sys.executable, "-m", "hsl.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("command", ["plan", "train", "sweep"])
def test_a_space_cannot_run_code(folder: Path, command: str) -> None:
    done = run(folder, command, "space.yaml")
    assert done.returncode == 2
    assert "'strange:network' is code outside hsl" in done.stderr
    assert "--allow-plugins" in done.stderr
    assert not (folder / "was-imported").exists()


def test_allowed_code_is_named_and_runs(folder: Path) -> None:
    done = run(folder, "train", "space.yaml", "--allow-plugins")
    assert done.returncode == 0, done.stderr
    assert done.stderr.index("importing model 'strange:network'") < done.stderr.index("epoch 1")
    assert (folder / "was-imported").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: "),
        ("", "has no attribute 'x'"),
    ],
)
@pytest.mark.parametrize("key", ["sampler", "early_stopping", "method"])
def test_a_plug_in_that_cannot_be_imported_is_a_problem_of_the_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, code: str, message: str
) -> None:
    (tmp_path / "strange_one.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "strange_one", raising=False)
    content = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.5, "method": "static"}
    with pytest.raises(SpaceError, match=message):
        make_space({**content, key: "strange_one:x"})


@pytest.mark.parametrize(
    ("key", "message"), [("sampler", "no optuna.samplers.BaseSampler"), ("early_stopping", "no subclass of")]
)
def test_a_plug_in_of_the_wrong_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, message: str
) -> None:
    (tmp_path / "strange_two.py").write_text("def x(seed): return None")
    monkeypatch.syspath_prepend(tmp_path)
    content = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.5, "method": "static"}
    tuned = {"search": {"training.lr": {"loguniform": [0.01, 1.0]}}, "budget": {"configurations_per_cell": 2}}
    with pytest.raises(HslError, match=message):
        check_samplers(make_plan(make_space({**content, **tuned, key: "strange_two:x"})))
    with pytest.raises(HslError, match="no class of a LoggerCallback"):
        check_trackers(["math:pi"])


def test_the_gate_is_asked_before_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("thing", {"one": "math:pi"})
    monkeypatch.setenv(PLUGINS, "off")
    assert registry["one"] == pytest.approx(3.14159, abs=1e-5), (
        "the registry's own references are no plug-ins"
    )
    with pytest.raises(PluginError, match="thing 'math:tau' is code outside hsl"):
        registry["math:tau"]
    with pytest.raises(UnknownNameError):
        registry.check("two")
    monkeypatch.setenv(PLUGINS, "on")
    assert registry["math:tau"] == pytest.approx(6.28318, abs=1e-5)
