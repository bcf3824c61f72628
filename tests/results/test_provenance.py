import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import hsl
from hsl import provenance


@pytest.fixture(autouse=True)
def fresh():
    provenance._collect.cache_clear()
    yield
    provenance._collect.cache_clear()


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_record_is_json_and_says_what_ran():
    record = provenance.provenance()
    assert json.loads(json.dumps(record)) == record
    assert record["versions"]["hsl"] == hsl.__version__
    assert record["versions"]["numpy"] == version("numpy")
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"platform", "hostname", "cpu_count", "command"} <= record.keys()


def test_callers_cannot_change_each_others_record():
    provenance.provenance()["versions"]["numpy"] = "0"
    assert provenance.provenance()["versions"]["numpy"] == version("numpy")


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert provenance.provenance()["versions"] == {"hsl": hsl.__version__, "no-such-package": None}


def test_commit_and_dirty_flag(checkout):
    package = checkout / "package"
    sha = git(checkout, "rev-parse", "HEAD")
    (package / "notes.txt").write_text("untracked")
    assert provenance._git(package) == {"git_sha": sha, "git_dirty": False}
    (package / "module.py").write_text("x = 2\n")
    assert provenance._git(package) == {"git_sha": sha, "git_dirty": True}


def test_commit_of_another_project_is_not_ours(checkout):
    installed = checkout / "venv" / "hsl"
    installed.mkdir(parents=True)
    (installed / "module.py").write_text("")
    assert provenance._git(installed) == {}


def test_no_checkout_and_no_git(tmp_path, monkeypatch):
    assert provenance._git(tmp_path) == {}
    monkeypatch.setenv("PATH", "")
    assert provenance._git(tmp_path) == {}


@pytest.mark.parametrize(
    "argument",
    [
        "s3://key:hunter2@bucket/path",
        "--wandb-api-key=hunter2",
        "--token hunter2",
        "PASSWORD=hunter2",
        "s3://bucket?secret_key=hunter2&region=eu",
        "aws_secret_access_key=hunter2",
    ],
)
def test_secrets_are_taken_out(argument):
    text = provenance.redact(f"hsl sweep {argument} --store runs")
    assert "hunter2" not in text
    assert text.startswith("hsl sweep ")
    assert text.endswith("--store runs")


def test_environment_is_not_recorded(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hunter2")
    monkeypatch.setattr(sys, "argv", ["hsl", "sweep", "space.yaml", "training.lr=0.1"])
    record = provenance.provenance()
    assert "hunter2" not in json.dumps(record)
    assert record["command"] == "hsl sweep space.yaml training.lr=0.1"
