"""Evaluation of the confirmed networks of a store, after the sweep: without Ray, and nothing twice."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import yaml
from pydantic import ValidationError

from hsl.errors import HslError, NothingMatchedError, Problem, SpaceError, StoreError, close_match
from hsl.filesystems import absolute
from hsl.planning.plan import make_plan
from hsl.planning.scores import all_scores
from hsl.prepare.inputs import Prerequisites
from hsl.prepare.parents import make_here, missing, scores_task
from hsl.prepare.preflight import unmeasurable
from hsl.results.sequential import asked_levels
from hsl.results.stats import CONFIDENCE, SHARE, mean_interval
from hsl.space.load import make_space, override
from hsl.space.schema import SearchSpace
from hsl.space.stored import space_text, stored_space
from hsl.store import checkpoints
from hsl.store.layout import Library
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.training import checkpoint
from hsl.training.available import named_content
from hsl.training.build import build_bench
from hsl.training.configuration import Configuration, digest
from hsl.training.data.arrays import cache_folder
from hsl.training.data.datasets import load_divided
from hsl.training.measuring.evaluation_settings import Attacks, Evaluation
from hsl.training.measuring.kept import Kept, evaluate_kept, kept_networks
from hsl.training.measuring.measures import Item, items
from hsl.wording import and_more, count

Row = Mapping[str, Any]
Say = Callable[[str], None]

KEY = ("trial_id", "checkpoint", "split", "measure", "detail")
"""Columns that identify a row of the table of evaluations."""

GROUP = ("cell", "configuration_id", *KEY[1:])
"""Columns that identify a row of their summary."""

SUMMED_UP = frozenset({"class", "sample", "corruption"})
"""Measures whose accuracies other rows summarise, or repeat."""


@dataclass(frozen=True)
class Network:
    """A confirmed trial, its row of the table of trials, and those requested checkpoints that the store has."""

    row: Row
    configuration: Configuration
    checkpoints: tuple[str, ...]


class StoredEvaluation:
    """Evaluates confirmed networks of a store; rows that it has are skipped, new ones are durable at once.

    Args:
        uri: Path or URI of the store.
        cells: Names of cells; all if there are none.
        overrides: Pairs ``evaluation.KEY=VALUE``, or ``evaluation=VALUE`` for all of it, in YAML; they change the
            section of the store's space.
        device: Torch device.
        say: Receives a line about each step.

    Raises:
        NothingMatchedError: If there is no such cell, or nothing is confirmed in them.
        StoreError: If the store or networks are missing, or this version cannot read them.
        SpaceError: If an override has an unknown key, or an impossible value.
        HslError: If something is not defined on these images, or lacks a package.
    """

    def __init__(
        self, uri: str, cells: Sequence[str], overrides: Sequence[str], device: str, say: Say
    ) -> None:
        self._store = Store(uri)
        self._device, self._say = device, say
        rows = _confirmed(self._store, cells)
        space = stored_space(self._store, "its regimes are unknown; restore it")
        self._evaluation = _overridden(space, overrides)
        self._space = space.model_copy(update={"evaluation": self._evaluation})
        self._library = Library(absolute(uri))
        self._inputs = Prerequisites(make_plan(self._space), self._library)
        arrays, _ = load_divided(space.dataset, space.split, space.content)
        if problems := list(unmeasurable(self._evaluation, arrays.shape)):
            raise HslError("\n".join(problems))
        self._networks = self._found(rows)
        stored = self._store.read("evaluations").to_pylist()
        self._there = {tuple(row[name] for name in KEY): _measured_with(row["parameters"]) for row in stored}

    def _found(self, rows: Sequence[Row]) -> list[Network]:
        """The networks of some trials; a message lists all that are missing."""
        networks, gone = [], []
        read = [(row, self._configuration(row)) for row in rows]
        own = [(row, made) for row, made in read if named_content(made.dataset) is None]
        if other := len(read) - len(own):
            self._say(f"left out: {count(other, 'network')} of other data than {self._space.dataset} now has")
        for row, configuration in own:
            there = self._kept(row, checkpoints.read_json(self._library.checkpoint(row["trial_id"])))
            networks.append(Network(row, configuration, tuple(kept.checkpoint for kept in there)))
            missed = [name for name in self._evaluation.checkpoints if name not in networks[-1].checkpoints]
            gone += [f"{row['trial_id']} ({name})" for name in missed]
        if gone and len(gone) == len(own) * len(self._evaluation.checkpoints):
            raise StoreError(f"none of the networks is there: {_gone(gone, self._store)}")
        if gone:
            self._say(f"left out, as they are not there: {_gone(gone, self._store)}")
        return networks

    def _configuration(self, row: Row) -> Configuration:
        """The configuration of a trial, with the place of its data if these are still the data of the store."""
        try:
            configuration = Configuration.from_stored(row["configuration"])
        except ValidationError as error:
            raise StoreError(
                f"configuration {row['configuration_id']} cannot be read by this version: {error}"
            ) from error
        return configuration.located(self._space.dataset, self._space.content)

    def _kept(self, row: Row, state: Mapping[str, Any] | None) -> list[Kept]:
        """The networks in the checkpoint of a trial, if it is the final one."""
        if state is None or state["trainer"]["epoch"] != row["epochs"]:
            return []
        return kept_networks(state["trainer"], self._evaluation.checkpoints)

    def summary(self, rows: pa.Table, is_brief: bool) -> pa.Table:
        """Means over the networks of each configuration, see `summed_up`."""
        ids = {network.row["trial_id"]: network.row["configuration_id"] for network in self._networks}
        return summed_up(rows, ids, asked_levels(self._store.read("cells")), is_brief)

    def run(self) -> pa.Table:
        """Evaluate what is not there yet; the requested rows, as the table of evaluations has them."""
        for number, network in enumerate(self._networks, 1):
            head = f"{number} of {len(self._networks)}, {network.row['cell']} seed {network.row['seed']}"
            for rows in filter(None, self._evaluated(network)):
                self._store.append("evaluations", rows)
                first, last = rows[0], rows[-1]
                self._say(
                    f"{head}: {first['checkpoint']} {last['measure']} {last['detail']}".rstrip()
                    + f" {100 * last['accuracy']:.1f} % in {last['seconds']:.1f} s"
                )
        return self._answer()

    def _evaluated(self, network: Network) -> Iterator[list[dict[str, Any]]]:
        trial_id, configuration, seed = network.row["trial_id"], network.configuration, network.row["seed"]
        wanted = list(items(self._evaluation))
        if all(self._is_done(trial_id, name, item) for name in network.checkpoints for item in wanted):
            return
        state = checkpoints.read(self._library.checkpoint(trial_id), checkpoint.from_bytes)
        tasks = [scores_task(scores, self._library) for scores in all_scores(configuration, self._space)]
        make_here(missing(tasks), self._device)
        bench_of = partial(
            build_bench,
            configuration,
            seed,
            scores=self._inputs.scores(configuration),
            difficulty=self._inputs.deciles(configuration),
            device=self._device,
        )
        states = cache_folder() / "evaluations" / digest([self._library.root, trial_id])
        is_done = partial(self._is_done, trial_id)
        for rows in evaluate_kept(self._kept(network.row, state), wanted, bench_of, is_done, states):
            yield [{"trial_id": trial_id, "cell": network.row["cell"], **row} for row in rows]

    def _is_done(self, trial_id: str, checkpoint: str, item: Item) -> bool:
        key = (trial_id, checkpoint, item.split, *item.sign)
        known, wanted = self._there.get(key), _measured_with(item.parameters)
        return known is not None and known.parameters == wanted.parameters and known.samples >= wanted.samples

    def _answer(self) -> pa.Table:
        """The requested rows of the store: network by network, in the order of the request."""
        stored = self._store.read("evaluations")
        trials = {network.row["trial_id"]: place for place, network in enumerate(self._networks)}
        checkpoints = {name: place for place, name in enumerate(self._evaluation.checkpoints)}
        measures = {
            (item.split, name, _measured_with(item.parameters).parameters): place
            for place, item in enumerate(items(self._evaluation))
            for name in item.rows
        }
        placed = []
        for number, row in enumerate(stored.to_pylist()):
            parameters = _measured_with(row["parameters"]).parameters
            measure = measures.get((row["split"], row["measure"], parameters))
            if row["trial_id"] in trials and row["checkpoint"] in checkpoints and measure is not None:
                place = (trials[row["trial_id"]], checkpoints[row["checkpoint"]], measure)
                placed.append((*place, number))
        return stored.take(pa.array([number for *_, number in sorted(placed)], pa.int64()))


def _overridden(space: SearchSpace, overrides: Sequence[str]) -> Evaluation:
    raw = yaml.safe_load(space_text(space))
    attacks = space.evaluation.attacks
    if attacks and attacks == Attacks.model_validate({"names": attacks.names, "norm": attacks.norm}):
        del raw["evaluation"]["attacks"]["eps"]  # the default radius depends on the norm
    for text in overrides:
        _check_key(text)
        override(raw, text)
    source = f"space {space.name} with {' '.join(overrides)}"
    return make_space(raw, source, is_stored=True).evaluation


def _check_key(text: str) -> None:
    known = [f"evaluation.{name}" for name in Evaluation.model_fields if name != "stages"]
    key = text.partition("=")[0]
    if key == "evaluation.stages":
        raise SpaceError(text, [Problem(key, "is about sweeps; here confirmed networks are evaluated")])
    if key.split(".")[0] != "evaluation":
        likely = close_match(f"evaluation.{key}", known)
        raise SpaceError(text, [Problem(key, f"unknown key{likely}; known: {', '.join(known)}")])


class _With(NamedTuple):
    """Settings of a measurement as text, and the number of its samples: infinity for all.

    One on more samples is never replaced by one on fewer, which would mix test sets.
    """

    parameters: str
    samples: float


def _measured_with(given: Mapping[str, Any] | str | None) -> _With:
    """Parameters, given or as JSON of a stored row, so that equal ones are equal."""
    values = dict((json.loads(given) if isinstance(given, str) else given) or {})
    samples = values.pop("samples", math.inf)
    return _With(json.dumps(values, sort_keys=True), samples)


def _gone(names: Sequence[str], store: Store) -> str:
    return (
        f"{and_more(names, 5)}; {store.uri}/checkpoints has the networks of confirmed trials, the best of a "
        "training only if the space said so when it was trained: copy them there, or sweep into a new store"
    )


def _confirmed(store: Store, cells: Sequence[str]) -> list[dict[str, Any]]:
    known = store.read("cells", ["cell"])["cell"].to_pylist()
    if unknown := [cell for cell in cells if cell not in known]:
        raise NothingMatchedError(
            f"no cell is called {', '.join(unknown)}; cells: {', '.join(sorted(known))}"
            f"{'; what can be set here begins with evaluation.' if '=' in ''.join(unknown) else ''}"
        )
    rows = [
        row
        for row in store.read("trials").to_pylist()
        if (row["stage"], row["status"]) == ("confirm", Status.COMPLETED)
        and (not cells or row["cell"] in cells)
    ]
    if not rows:
        raise NothingMatchedError(
            f"{store.uri} has no confirmed network there; sweep with confirm.seeds above 0 first"
        )
    return sorted(rows, key=lambda row: (known.index(row["cell"]), row["configuration_id"], row["seed"]))


def summed_up(
    rows: pa.Table, configurations: Mapping[str, str], levels: Mapping[str, float], is_brief: bool
) -> pa.Table:
    """Means over the networks of each configuration: of the winner of a cell apart from its runners-up.

    Args:
        rows: Of the table of evaluations.
        configurations: Id of the configuration of each trial.
        levels: Of confidence, by cell, where it is not 95 % (`hsl.results.sequential`).
        is_brief: Leave out single classes and corruptions, which other rows summarise.

    Returns:
        Columns cell, configuration_id, checkpoint, split, measure, detail, networks, samples (of each), mean_accuracy,
        and low_accuracy and high_accuracy, a 95 % interval over networks (null below three, or if they do not vary).
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows.to_pylist():
        if not (is_brief and row["measure"] in SUMMED_UP):
            own = {**row, "configuration_id": configurations[row["trial_id"]]}
            groups.setdefault(tuple(own[name] for name in GROUP), []).append(row)
    summary = []
    for key, group in groups.items():
        level = levels.get(group[0]["cell"], CONFIDENCE)
        mean, low, high, _ = mean_interval([row["accuracy"] for row in group], level, SHARE)
        interval = {"mean_accuracy": mean, "low_accuracy": low, "high_accuracy": high}
        counts = {"networks": len(group), "samples": group[0]["samples"]}
        summary.append({**dict(zip(GROUP, key, strict=True)), **counts, **interval})
    return pa.Table.from_pylist(summary, schema=_SUMMARY)


_SUMMARY = pa.schema(
    [
        *((name, pa.string()) for name in GROUP),
        *((name, pa.int64()) for name in ("networks", "samples")),
        *((f"{name}_accuracy", pa.float64()) for name in ("mean", "low", "high")),
    ]
)
