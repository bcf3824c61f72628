"""Digests of the code of plug-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hsl.errors import HslError
from hsl.plugin_code import code_digest
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.measuring.evaluation_settings import Evaluation
from hsl.training.measuring.measures import items

REWORDED = '''"""A network."""
from .parts import widths  # how wide
from helper import grow

def net():
    """Make it."""
    return grow(widths.WIDTH)
'''
SCRIPT = (
    "import sys; from hsl.plugin_code import code_digest; print([code_digest(name) for name in sys.argv[1:]])"
)


def digests(folder: Path, *names: str) -> list[str | None]:
    """Digests in a process of its own, which imports nothing twice."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return list(eval(done.stdout))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose module `net` leads to `parts.widths`, and a module that nothing leads to."""
    files = {
        "own/__init__.py": "",
        "own/net.py": "from .parts import widths\nfrom helper import grow\ndef net(): return grow(widths.WIDTH)\n",
        "own/parts/__init__.py": "",
        "own/parts/widths.py": "WIDTH = 8\n",
        "own/unrelated.py": "OTHER = 1\n",
        "helper.py": "def grow(width):\n    return 2 * width\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "is_same"),
    [
        (
            "own/net.py",
            REWORDED,
            True,
        ),
        ("own/unrelated.py", "OTHER = 2\n", True),
        (
            "own/net.py",
            "from .parts import widths\nfrom helper import grow\ndef net(): return grow(widths.WIDTH + 1)\n",
            False,
        ),
        ("own/parts/widths.py", "WIDTH = 9\n", False),
        ("helper.py", "def grow(width):\n    return 3 * width\n", False),
    ],
)
def test_what_is_computed_counts_and_not_how_it_is_written(
    package: Path, file: str, text: str, is_same: bool
) -> None:
    before = digests(package, "own.net:net")
    (package / file).write_text(text)
    assert (digests(package, "own.net:net") == before) is is_same
    assert before != [None]


def test_installed_code_has_a_version_and_no_digest(package: Path) -> None:
    names = (
        "optuna.samplers:QMCSampler",
        "json:dumps",
        "hsl.training.models.mlp:mlp",
        "gone:attr",
        "from:snip",
        "2:4",
    )
    assert digests(package, *names) == [None] * len(names)


def test_code_that_cannot_be_imported_has_no_digest(package: Path) -> None:
    (package / "own" / "net.py").write_text("raise SystemExit(3)")
    (package / "helper.py").write_text("1 / 0")
    assert digests(package, "own.net:net", "helper:grow") == [None, None]


LATE = "def net():\n    from own import unrelated\n    return unrelated.OTHER\n"


def test_what_is_imported_later_counts_whether_it_has_run_or_not(package: Path) -> None:
    """A worker that has trained a network already knows more modules than one that begins."""
    (package / "own" / "net.py").write_text(LATE)
    before = digests(package, "own.net:net")
    script = f"import own.net; own.net.net(); {SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-c", script, "own.net:net"], cwd=package, capture_output=True, text=True, check=True
    )
    assert eval(done.stdout) == before
    (package / "own" / "unrelated.py").write_text("OTHER = 2\n")
    assert digests(package, "own.net:net") != before


NETWORK = """
from torch import nn

def net(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, classes))

def attack(*_, **__):
    ...
"""


def test_a_machine_with_another_version_of_a_plug_in_does_not_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "elsewhere_net.py").write_text(f"WIDTH = 8\n{NETWORK}")
    name = "elsewhere_net:net"
    digest = code_digest(name)
    assert digest is not None
    same, other = (
        Configuration.model_validate({"dataset": "digits", "model": {"name": name}, "code": {name: code}})
        for code in (digest, "0123456789abcdef")
    )
    assert build_trainer(same, seed=0).total_steps > 0
    with pytest.raises(HslError, match=rf"the code of {name} \({digest}\) is another on this machine"):
        build_trainer(other, seed=0)
    (tmp_path / "elsewhere_net.py").write_text(f"WIDTH = 9\n{NETWORK}")
    assert code_digest(name) == digest, "what this process has imported is still what it runs"


def test_final_evaluations_know_the_code_of_their_plug_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "elsewhere_attack.py").write_text(f"WIDTH = 8\n{NETWORK}")
    asked = {"attacks": {"names": ["elsewhere_attack:attack", "fgsm"]}, "corruptions": {"names": ["fog"]}}
    found = {item.measure: item.parameters for item in items(Evaluation.model_validate(asked))}
    code = code_digest("elsewhere_attack:attack")
    assert found["elsewhere_attack:attack"]["code"] == {"elsewhere_attack:attack": code}
    assert not any("code" in found[name] for name in ("fgsm", "corruption", "clean"))
