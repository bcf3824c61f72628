"""The studies of a sweep in a persistent Optuna storage, so that optuna-dashboard and others can open them.

Nothing is ever read back from it: the store is the truth, and every start writes the studies again from it. There is
one study for each cell, named ``SPACE/CELL``.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hsl.errors import HslError
from hsl.filesystems import without_options
from hsl.provenance import redact
from hsl.search.study import CellStudy
from hsl.space.schema import SearchSpace

LOG = logging.getLogger(__name__)

MARK = "hsl_store"
"""Attribute of a study that says which store it mirrors; a study without it is not of this package."""


class Mirror:
    """Copies the proposals of studies and their ends.

    Args:
        url: Optuna storage, for example ``sqlite:///studies.db``.
        space: The search space; its name begins the names of the studies.
        store: URI of the result store.

    Raises:
        HslError: If the storage cannot be opened.
    """

    def __init__(self, url: str, space: SearchSpace, store: str) -> None:
        try:
            self._storage = optuna.storages.get_storage(url)
            optuna.get_all_study_names(self._storage)
        except Exception as error:  # every database driver has errors of its own
            raise HslError(
                f"cannot open the Optuna storage {redact(url)}: {redact(str(error))}; "
                f"give a URL of SQLAlchemy, for example sqlite:///studies.db"
            ) from error
        self._space = space
        self._mark = redact(without_options(store))
        self._studies: dict[str, optuna.Study] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._is_whole = True

    def rebuild(self, studies: Iterable[CellStudy]) -> None:
        """Write all studies again.

        Raises:
            HslError: If one of the names is taken by a study that is not of this store; nothing is changed then.
        """
        named = {f"{self._space.name}/{study.cell.name}": study for study in studies}
        there = {study.study_name: study for study in optuna.get_all_study_summaries(self._storage)}
        present = [name for name in named if name in there]
        foreign = [name for name in present if there[name].user_attrs.get(MARK) != self._mark]
        if foreign:
            raise HslError(
                f"the Optuna storage has other studies named {', '.join(foreign)}; "
                f"delete them there, use another storage, or give the space another name"
            )
        for name in present:
            optuna.delete_study(study_name=name, storage=self._storage)
        self._numbers.clear()
        for name, study in named.items():
            self._rebuild(name, study)

    def _rebuild(self, name: str, study: CellStudy) -> None:
        made = optuna.create_study(study_name=name, storage=self._storage, directions=study.directions)
        made.set_metric_names([self._space.objective, *self._space.against])
        made.set_user_attr(MARK, self._mark)
        made.set_user_attr("sampler", study.sampler.model_dump(mode="json"))
        self._studies[study.cell.name] = made
        for configuration_id, trial in study.frozen().items():
            self._add(study, configuration_id, trial)

    def proposed(self, study: CellStudy, configuration_id: str) -> None:
        """Copy a configuration that a study has proposed."""
        with self._harmless():
            if self._is_whole and (trial := study.frozen_trial(configuration_id)):
                self._add(study, configuration_id, trial)

    def ended(self, study: CellStudy, configuration_id: str) -> None:
        """Copy the end of a configuration, which its study has received."""
        with self._harmless():
            if self._is_whole:
                self._end(study, configuration_id)

    def _end(self, study: CellStudy, configuration_id: str) -> None:
        trial = study.frozen_trial(configuration_id)
        number = self._numbers.get((study.cell.name, configuration_id))
        if trial is None or number is None or not trial.state.is_finished():
            return
        mirrored = self._studies[study.cell.name]
        if trial.state == TrialState.PRUNED:
            running = mirrored.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            (own,) = [other for other in running if other.number == number]
            for step, value in trial.intermediate_values.items():
                self._storage.set_trial_intermediate_value(own._trial_id, step, value)
        values = trial.values if trial.state == TrialState.COMPLETE else None
        mirrored.tell(number, values, state=trial.state)

    def _add(self, study: CellStudy, configuration_id: str, trial: FrozenTrial) -> None:
        mirrored = self._studies[study.cell.name]
        self._numbers[study.cell.name, configuration_id] = len(mirrored.get_trials(deepcopy=False))
        mirrored.add_trial(_copy(trial, {"configuration": configuration_id}))

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Log the first error of the copy, which must not end the sweep; the next start mends it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  every database driver has errors of its own
            self._is_whole = False
            LOG.warning("the Optuna storage is not kept up to date any more: %s", redact(str(error)))


def _copy(trial: FrozenTrial, attributes: dict[str, Any]) -> FrozenTrial:
    copied = optuna.trial.create_trial(
        state=trial.state,
        values=trial.values if trial.state == TrialState.COMPLETE else None,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=trial.intermediate_values,
        user_attrs=attributes,
    )
    copied.datetime_start = trial.datetime_start
    if trial.state.is_finished():
        copied.datetime_complete = trial.datetime_complete
    return copied
