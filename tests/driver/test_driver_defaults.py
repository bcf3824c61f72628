"""A store of version 0.1.0, continued by a version in which a default that determines results is another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from sweeps import TINY

import hsl
from hsl.store.store import Store
from hsl.training.configuration import Training

HERE = Path(__file__).parent
SCRIPT = """
import json, sys
from pathlib import Path
import pytest
from in_process import without_ray
from test_driver_halting import swept

with pytest.MonkeyPatch.context() as patch:
    without_ray(patch, Path(sys.argv[2]) / "cache")
    report = swept(Path(sys.argv[2]) / "old", json.loads(sys.argv[1]))
print(report.trained, report.failed, report.left)
"""


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """A copy of the package in which the momentum is another by default."""
    package = Path(shutil.copytree(Path(hsl.__file__).parent, tmp_path / "later" / "hsl"))
    schema = package / "training" / "configuration.py"
    changed = schema.read_text().replace(f" = {Training().momentum}\n    nesterov", " = 0.5\n    nesterov")
    assert changed != schema.read_text()
    schema.write_text(changed)
    names = package / "training" / "identity.py"
    begin = "FIRST: dict[str, Any] = {"
    assert begin in names.read_text()
    names.write_text(names.read_text().replace(begin, f'{begin}"training.momentum": {Training().momentum}, '))
    return package.parent


def run(later: Path, folder: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(later), str(HERE), str(HERE.parent / "support")])
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps({**TINY, **changes}), str(folder)],
        cwd=folder,  # or it would import the package as it is
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
def test_a_changed_default_mixes_no_results(later: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(HERE / "store_0_1_0.zip") as archive:
        archive.extractall(tmp_path / "old")
    before = {row["trial_id"]: row for row in Store(tmp_path / "old").read("trials").to_pylist()}
    refused = run(later, tmp_path, training={**TINY.get("training", {}), "momentum": 0.5})
    assert refused.returncode != 0
    assert "training.momentum" in refused.stderr
    done = run(later, tmp_path)
    assert done.returncode == 0, done.stderr
    after = {row["trial_id"]: row for row in Store(tmp_path / "old").read("trials").to_pylist()}
    assert {name: after[name] for name in before} == before
    assert all(
        json.loads(row["configuration"]).get("training", {}).get("momentum") is None for row in after.values()
    )
