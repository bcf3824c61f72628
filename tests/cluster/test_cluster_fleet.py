"""What a cluster can grow to: by hand, by trying every way to fill it, and through the commands."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hsl.cli import app
from hsl.cluster.fleet import Fleet, find_fleet, fitting, fleet_of
from hsl.cluster.launcher import NodeType, read_cluster
from hsl.cluster.prices import price_of
from hsl.driver.tune.ray import on_fleet, slots
from hsl.errors import HslError, SpaceError
from hsl.planning.cluster_cost import offers_of
from hsl.planning.cost import Cost
from hsl.space.checks import check_priced
from hsl.space.load import load_space, make_space
from hsl.space.schema import Resources

ROOT = Path(__file__).parents[2]
FILE = ROOT / "cluster.yaml"
SPACE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.9, "method": "set"}
COSTS = [
    Cost("parents", 2, 2, 1.0, 36_000.0),
    Cost("search", 40, 40, 1.0, 240 * 3600.0),
    Cost("confirm", 10, 10, 1.0, 110 * 3600.0),
]


def shipped() -> Fleet:
    return fleet_of(read_cluster(FILE), "cluster.yaml")


def node(name: str, cpus: float, gpus: float, most: int, price: float | None = None) -> NodeType:
    return NodeType(name, f"machine-{name}", cpus, gpus, most, True, price)


@pytest.mark.parametrize(
    ("cpus", "gpus", "cpu", "gpu", "expected"),
    [
        (4, 1, 2, 0.5, 2),
        (4, 1, 1, 0.25, 4),
        (4, 1, 2, 0.25, 2),
        (4, 1, 0.1, 0.1, 10),
        (4, 1, 1, 1 / 3, 3),
        (16, 2, 1, 0.4, 4),  # two on each GPU, 0.2 of each are left over
        (16, 4, 1, 2, 2),
        (16, 0, 1, 0.5, 0),
        (16, 0, 3, 0, 5),
    ],
)
def test_trials_fit_on_a_node(cpus: float, gpus: float, cpu: float, gpu: float, expected: int) -> None:
    assert fitting(cpus, gpus, cpu, gpu) == expected


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=3),
    st.integers(0, 6),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0, 0.5, 1]),
)
def test_capacity_is_that_of_the_best_choice_of_nodes(
    types: list[tuple[int, int, int]], most: int, cpu: float, gpu: float
) -> None:
    fleet = Fleet("x", tuple(node(str(n), *given) for n, given in enumerate(types)), most)
    choices = itertools.product(*(range(limit + 1) for _, _, limit in types))
    best = max(
        sum(
            count * fitting(cpus, gpus, cpu, gpu) for count, (cpus, gpus, _) in zip(taken, types, strict=True)
        )
        for taken in choices
        if sum(taken) <= most
    )
    if best:
        assert fleet.capacity(cpu, gpu) == best
    else:
        with pytest.raises(HslError, match="lower resources, or add a type of node"):
            fleet.capacity(cpu, gpu)


@pytest.mark.parametrize("file", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_space_runs_on_the_shipped_cluster_with_nothing_else(file: Path) -> None:
    """16 nodes of four CPUs and a GPU; a trial of a paper's file takes half of a node, or all of it."""
    space = load_space(file)
    there = on_fleet(space, shipped())
    per_node = min(int(4 / space.resources.cpu), int(1 / space.resources.gpu) if space.resources.gpu else 99)
    assert slots(there.resources) == 16 * per_node >= 16
    assert there.prices == {"t4-spot": 0.21, "a10-spot": 0.40}
    assert on_fleet(space, None) is space
    if file.stem.startswith("paper-"):
        assert space.resources.gpu > 0, "a paper's file asks for a share of a GPU by itself"


def test_what_a_space_says_itself_comes_first() -> None:
    space = make_space({**SPACE, "resources": {"concurrent": 5}, "prices": {"default": 3.0}})
    there = on_fleet(space, shipped())
    assert (there.resources.concurrent, there.prices) == (5, {"default": 3.0})
    assert space.resources == Resources(concurrent=5), "the space itself is what is stored"


def test_the_head_finds_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_fleet(None, "auto") is None
    cluster = read_cluster(FILE)
    for each in cluster["available_node_types"].values():
        each["node_config"]["KeyName"] = "added by Ray"
        each["node_config"]["Unknown"] = "added by Ray"
    (tmp_path / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(cluster, sort_keys=False))
    found = find_fleet(None, "auto")
    assert found is not None
    assert found.workers == shipped().workers
    assert find_fleet(None, None) is None, "a sweep of this machine alone"
    with pytest.raises(SpaceError, match="unknown key"):
        find_fleet(str(tmp_path / "ray_bootstrap_config.yaml"), None)


def test_a_type_without_a_limit_has_that_of_the_cluster() -> None:
    cluster = read_cluster(FILE)
    del cluster["available_node_types"]["t4-spot"]["max_workers"]
    assert fleet_of(cluster, "x").workers[0].most == 16


def test_a_cluster_of_kuberay_says_so_as_well(tmp_path: Path) -> None:
    shipped_file = ROOT / "hsl" / "cluster" / "variants" / "kuberay.yaml"
    fleet = find_fleet(str(shipped_file), None)
    assert fleet is not None
    assert fleet.capacity(2, 0.5) == 32
    assert fleet.capacity(4, 1) == 16
    content = yaml.safe_load(shipped_file.read_text())
    group = content["spec"]["workerGroupSpecs"][0]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    limits["cpu"] = "3500m"
    group["labels"] = {"hsl/price-per-hour": "0.5"}
    assert fleet_of(content, "x").capacity(1, 0) == 3 * 16
    assert fleet_of(content, "x").prices == {"gpu-spot": 0.5}
    del group["maxReplicas"]
    with pytest.raises(HslError, match=r"a worker group without 'maxReplicas'; each needs groupName"):
        fleet_of(content, "x")


def test_offers_by_hand() -> None:
    """360 hours of trials, two on a node: 180 hours of nodes."""
    made = offers_of(shipped(), Resources(cpu=2, gpu=0.5), COSTS)
    assert (made.trials, made.most) == (32, 16)
    assert made.seconds == pytest.approx(360 * 3600 / 32)
    t4, a10 = made.of_types
    assert (t4.nodes, t4.trials, t4.trials_per_node) == (12, 24, 2)
    assert (a10.nodes, a10.trials) == (8, 16)
    assert t4.seconds == pytest.approx(15 * 3600)
    assert (t4.cost, t4.on_demand_cost) == (pytest.approx(180 * 0.21), pytest.approx(180 * 0.526))
    assert made.cost == a10.cost == pytest.approx(180 * 0.40)


def test_few_trials_need_few_nodes() -> None:
    costs = [Cost("search", 5, 5, 1.0, 3600.0), Cost("confirm", 3, 3, 1.0, None)]
    made = offers_of(shipped(), Resources(cpu=2, gpu=0.5), costs)
    assert (made.trials, [offer.nodes for offer in made.of_types]) == (5, [3, 3])
    assert (made.seconds, made.cost) == (None, None)


def test_prices_of_the_space_take_the_place_of_the_clusters() -> None:
    made = offers_of(shipped(), Resources(cpu=2, gpu=0.5), COSTS, {"a10-spot": 1.0, "default": 0.5})
    assert [offer.cost for offer in made.of_types] == pytest.approx([90.0, 180.0])


def test_a_living_node_costs_what_its_labels_say_unless_the_space_does() -> None:
    labels = {"hsl/price-per-hour": "1.5", "ray.io/node-group": "a"}
    spot = {**labels, "hsl/spot-price-per-hour": "0.5", "hsl/priced-on": "2026-01-31"}
    nodes = [{"Labels": labels, "Resources": {}}, {"Labels": spot, "Resources": {}}]
    assert price_of(nodes, {}) == (2.0, set())
    assert price_of(nodes, {"a": 7.0}) == (14.0, set())
    assert price_of([{"Labels": {"hsl/price-per-hour": "?"}, "Resources": {}}], {}) == (0.0, {"default"})


def test_a_budget_of_money_needs_a_price_from_somewhere() -> None:
    space = make_space({**SPACE, "budget": {"cost": 5.0}})
    with pytest.raises(SpaceError, match=r"budget\.cost: needs to know .*--cluster cluster\.yaml"):
        check_priced(space, None)
    check_priced(space, shipped())
    check_priced(make_space({**SPACE, "budget": {"cost": 5.0}, "prices": {"default": 1.0}}), None)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["plan", *arguments])


def test_the_plan_says_what_the_cluster_makes_of_it(tmp_path: Path) -> None:
    paper = str(ROOT / "search_spaces" / "paper-el2n-cifar100.yaml")
    done = run(
        paper, "--cluster", str(FILE), "--storage", str(tmp_path), "--format", "json", "budget.cost=50"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    cluster, budgets = found["cluster"], {budget["budget"]: budget for budget in found["budgets"]}
    hours = sum(stage["core_seconds"] for stage in found["stages"]) / 3600
    assert cluster["trials"] == 32
    assert budgets["wall_time"]["needed"] == pytest.approx(hours * 3600 / 32)
    assert budgets["cost"]["needed"] == pytest.approx(hours / 2 * 0.40)
    assert budgets["cost"]["limit"] == 50
    shown = run(paper, "--cluster", str(FILE), "--storage", str(tmp_path))
    assert "32 trials at once on at most 16 nodes" in shown.stdout
    assert "of 2025-01-01" in shown.stdout


def test_a_trial_that_fits_nowhere_is_refused_before_anything(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({**SPACE, "resources": {"cpu": 8, "gpu": 1}}))
    options = [str(space), "--cluster", str(FILE), "--storage", str(tmp_path / "stores")]
    for command in (["plan"], ["sweep", "--address", "127.0.0.1:1"]):
        done = CliRunner().invoke(app, [*command, *options])
        assert "asks for 8 CPU and 1 GPU" in str(done.exception)
    alone = CliRunner().invoke(app, ["sweep", *options], env={"RAY_ADDRESS": ""})
    assert "give its --address" in str(alone.exception)
    assert not (tmp_path / "stores").exists()
