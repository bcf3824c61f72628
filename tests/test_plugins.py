"""Code that a file names: refused unless allowed, named before it runs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hsl.driver.tune.trackers import TRACKERS, check_trackers
from hsl.errors import HslError, PluginError, SpaceError, UnknownNameError
from hsl.hardness.registries import (
    ATTACKS,
    CORRUPTIONS,
    LABEL_NOISES,
    ROBUST,
    SCORES,
    SELECTIONS,
    TRAININGS,
)
from hsl.planning.plan import make_plan
from hsl.prepare.preflight import preflight
from hsl.registry import PLUGINS, Entry, Registry, Wanted
from hsl.space.load import make_space
from hsl.space.samplers import SAMPLERS
from hsl.sparsity import DISTRIBUTIONS, METHODS
from hsl.stopping.settings import EARLY_STOPPING
from hsl.training.available import DATASETS, MODELS

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


STRANGE = """
from hsl.hardness.registries import CorruptionFacts
from hsl.registry import Entry
from hsl.sparsity.methods.moments import Never

def x(seed): return None
def shaped(shapes, sparsity): return {}
class Mine: pass
number = 3
moment = Never()
mixed = Entry(x, CorruptionFacts())
"""
IN_PLACE = {
    "score": lambda name: {"regimes": {"hard": {"keep": {"fraction": 0.5, "by": name}}}},
    "selection": lambda name: {"regimes": {"hard": {"keep": {"fraction": 0.5, "by": "el2n", "which": name}}}},
    "corruption": lambda name: {"regimes": {"hard": {"corruption": {"name": name, "severity": 1}}}},
    "label noise": lambda name: {"regimes": {"hard": {"label_noise": {"kind": name, "rate": 0.5}}}},
    "attack": lambda name: {"regimes": {"hard": {"attack": {"name": name}}}},
    "robustness measure": lambda name: {"evaluation": {"attacks": name}},
    "data set": lambda name: {"dataset": name},
    "model": lambda name: {"model": name},
}
SEED = r"takes \(seed\), it must accept "
WRONG = [
    *(
        ("method", name, said)
        for name, said in (
            ("moment", "is an object of Never, it must be a hsl.sparsity.methods.Method"),
            ("number", "is an object of int, it must be a hsl.sparsity.methods.Method"),
            ("Mine", "is the class Mine, it must be a hsl.sparsity.methods.Method"),
        )
    ),
    ("early_stopping", "x", "is the function x, it must be a subclass of hsl.stopping.settings.Kind"),
    ("early_stopping", "Mine", "is the class Mine, it must be a subclass"),
    ("sampler", "x", "makes None, which is no optuna.samplers.BaseSampler"),
    ("sampler", "number", "is an object of int, it must be a subclass of hsl.space.samplers.SamplerSettings"),
    (
        "distribution",
        "shaped",
        r"takes \(shapes, sparsity\), it must accept \(shapes, sparsity, \*, keep_dense\)",
    ),
    *((key, "number", "is an object of int, it must be a function") for key in IN_PLACE),
    *((key, "x", SEED) for key in IN_PLACE if key not in {"data set", "model"}),
    ("score", "mixed", "has an object of CorruptionFacts for its facts, they must be ScoreFacts"),
]


@pytest.mark.parametrize(("key", "name", "message"), WRONG, ids=str)
def test_a_plug_in_of_the_wrong_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, name: str, message: str
) -> None:
    """Before anything is started; the message names the plug-in and what it must be."""
    (tmp_path / "strange_two.py").write_text(STRANGE)
    monkeypatch.syspath_prepend(tmp_path)
    content = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.5, "method": "static"}
    tuned = {"search": {"training.lr": {"loguniform": [0.01, 1.0]}}, "budget": {"configurations_per_cell": 2}}
    given = IN_PLACE.get(key, lambda named: {key: named})(f"strange_two:{name}")
    with pytest.raises(HslError, match=f"'strange_two:{name}' {message}"):
        preflight(make_plan(make_space({**content, **tuned, **given})))


def test_a_tracker_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(HslError, match="tracker 'math:pi' is an object of float, it must be the class of"):
        check_trackers(["math:pi"])


def test_the_gate_is_asked_before_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("thing", {"one": "math:pi"}, wanted=Wanted(lambda found: found))
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


REGISTRIES = [
    *(ATTACKS, CORRUPTIONS, LABEL_NOISES, ROBUST, SCORES, SELECTIONS, TRAININGS),
    *(DATASETS, DISTRIBUTIONS, EARLY_STOPPING, METHODS, MODELS, SAMPLERS, TRACKERS),
]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_what_is_asked_of_plug_ins_holds_for_the_entries_of_the_package(registry: Registry[Any, Any]) -> None:
    problems = {name: registry.problem(Entry(registry[name], registry.facts(name))) for name in registry}
    assert set(problems.values()) == {None}, problems
