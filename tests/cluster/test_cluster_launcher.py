"""cluster.yaml and its variants: by Ray's own check, by ours, and typos which Ray lets pass."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from typer.testing import CliRunner

from hsl.cli import app
from hsl.cluster.launcher import check_cluster, read_cluster, variant
from hsl.errors import SpaceError

ROOT = Path(__file__).parents[2]
FILE = ROOT / "cluster.yaml"


def of(provider: str) -> dict[str, Any]:
    cluster = read_cluster(FILE)
    return cluster if provider == "aws" else variant(cluster, provider)


@pytest.mark.parametrize("provider", ["aws", "gcp", "azure"])
def test_ray_accepts_it(provider: str) -> None:
    made = of(provider)
    validate_config(prepare_config(copy.deepcopy(made)))
    assert made["provider"]["type"] == provider
    assert not any("$replace" in str(value) for value in made.values())


@pytest.mark.parametrize("provider", ["aws", "gcp", "azure"])
def test_workers_are_spot_machines_with_a_gpu_from_none_up_and_the_head_trains_nothing(provider: str) -> None:
    cluster = of(provider)
    head, *workers = check_cluster(cluster, provider)
    assert (head.cpus, head.gpus, head.is_spot) == (0, 0, False)
    assert len(workers) == 2
    for worker in workers:
        assert worker.is_spot
        assert worker.gpus == 1
        assert 0 < worker.most <= cluster["max_workers"]
        assert worker.price is not None
        assert worker.on_demand_price is not None
        assert 0.1 < worker.price < worker.on_demand_price < 10
        assert worker.priced_on is not None
        assert cluster["available_node_types"][worker.name]["min_workers"] == 0
    assert f"preemption {provider}" in cluster["worker_start_ray_commands"][-1]


def test_nothing_is_public_and_every_node_asks_for_the_token() -> None:
    cluster = read_cluster(FILE)
    starts = [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if line != "ray stop")
    assert "--dashboard-host=127.0.0.1" in " ".join(cluster["head_start_ray_commands"])
    assert cluster["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    kube = yaml.safe_load((ROOT / "hsl/cluster/variants/kuberay.yaml").read_text())
    assert kube["spec"]["authOptions"] == {"mode": "token"}


def test_nodes_install_a_commit_of_this_history() -> None:
    line = next(line for line in read_cluster(FILE)["setup_commands"] if "checkout" in line)
    commit = line.split()[-1]
    assert len(commit) == 40, "a whole hash, which nothing can move"
    if not (ROOT / ".git").exists():
        pytest.skip("no history here")
    subprocess.run(["git", "-C", str(ROOT), "merge-base", "--is-ancestor", commit, "HEAD"], check=True)


def set_at(content: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = re.split(r"(?<!\\)/", path)
    for key in parents:
        content = content[key]
    content[last.replace("\\/", "/")] = value


TYPOS = [
    ("provider/regoin", "us-west-2", r"provider.regoin: unknown key \(did you mean 'region'\?\)"),
    ("available_node_types/t4-spot/node_config/InstanceTyp", "g5", r"did you mean 'InstanceType'"),
    ("available_node_types/t4-spot/node_config/InstanceType", "", "no InstanceType; say which machine"),
    ("available_node_types/t4-spot/max_worker", 3, r"max_worker: unknown key \(did you mean 'max_workers'"),
    ("available_node_types/t4-spot/max_workers", 99, "99 is above max_workers of the cluster, 16"),
    ("available_node_types/t4-spot/min_workers", 13, "13 is above max_workers, 12"),
    ("available_node_types/t4-spot/resources", {}, "t4-spot.resources: missing"),
    ("available_node_types/t4-spot/labels", {"hsl/price-per-hour": "cheap"}, "give dollars per hour"),
    (
        "available_node_types/t4-spot/labels",
        {"hsl/spot-price-per-hour": 0.2},
        "give dollars per hour in quotes",
    ),
    ("available_node_types/t4-spot/labels", {"hsl/price-per-hour": "inf"}, "give dollars per hour"),
    ("available_node_types/t4-spot/labels/hsl\\/price-per-hou", "1", r"did you mean 'hsl/price-per-hour'"),
    ("available_node_types/t4-spot/labels/hsl\\/priced-on", "yesterday", "give the date of the prices"),
    ("available_node_types/t4-spot/labels", {"hsl/price-per-hour": "1"}, "prices without hsl/priced-on"),
    ("available_node_types/head/labels/hsl\\/spot-price-per-hour", "1", "asks for no spot machine"),
    ("available_node_types/head/resources/CPU", 4, "needs CPU: 0"),
    ("head_node_type", "haed", r"no node type is called 'haed' \(did you mean 'head'\?\)"),
    ("idle_timeout_minutes", 1, "give at least 5"),
    ("provider/type", "awz", "'awz' is not known; known: aws, gcp, azure"),
]


@pytest.mark.parametrize(("path", "value", "message"), TYPOS)
def test_a_typo_is_found(path: str, value: Any, message: str) -> None:
    cluster = read_cluster(FILE)
    set_at(cluster, path, value)
    with pytest.raises(SpaceError, match=message):
        check_cluster(cluster, "cluster.yaml")


def test_all_typos_are_told_at_once(tmp_path: Path) -> None:
    cluster = read_cluster(FILE)
    for path, value, _ in TYPOS[:8]:
        set_at(cluster, path, value)
    with pytest.raises(SpaceError) as caught:
        check_cluster(cluster, "cluster.yaml")
    assert len(caught.value.problems) >= 7


def test_known_words_of_aws_are_those_of_its_own_model() -> None:
    session = pytest.importorskip("botocore.session")
    model = session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    ours = set(yaml.safe_load((ROOT / "hsl/cluster/keys.yaml").read_text())["aws"]["node_config"])
    assert ours - set(model.members) == {"SubnetIds"}, "Ray chooses one of several subnets"


def test_the_command_prints_a_file_that_passes(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["cluster", str(FILE), "--provider", "azure"])
    assert made.exit_code == 0
    (tmp_path / "azure.yaml").write_text(made.output)
    shown = CliRunner().invoke(app, ["cluster", str(tmp_path / "azure.yaml"), "--format", "json"])
    assert shown.exit_code == 0
    assert '"machine": "Standard_NC4as_T4_v3"' in shown.output.replace('":"', '": "')
