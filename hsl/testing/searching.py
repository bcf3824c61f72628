"""What holds for every sampler and every kind of early stopping."""

import json
import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from hsl.planning.plan import make_plan
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.space.load import make_space
from hsl.space.schema import SearchSpace
from hsl.stopping.rule import Decision, StoppingRule
from hsl.stopping.settings import make_rule
from hsl.store.outcomes import Status

TRIALS, EPOCHS = 12, 9
SPACE: dict[str, Any] = {
    "name": "testing",
    "dataset": "digits",
    "model": "mlp",
    "training": {"epochs": EPOCHS},
    "factors": {"sparsity": [0.9]},
    "method": "set",
    "search": {
        "training.lr": {"loguniform": [0.001, 1.0], "steps": 8},
        "training.momentum": {"uniform": [0.0, 0.9], "steps": 6},
    },
    "baseline": None,
    "budget": {"configurations_per_cell": TRIALS},
}


def check_sampler(settings: str | Mapping[str, Any]) -> None:
    """A sampler proposes what the domain allows, never the same twice, and the same again after a restart.

    A configuration that was proposed before is refused; after some refused draws one is proposed at random, and the
    check says so if that is the half of all.

    Args:
        settings: As a space's ``sampler``: a name, or a mapping with its arguments.
    """
    space = make_space({**SPACE, "sampler": dict(settings) if isinstance(settings, Mapping) else settings})
    one, other = _study(space), _study(space)
    proposals = _all_of(one)
    assert len(proposals) == TRIALS, f"{settings} proposes {len(proposals)} of {TRIALS} configurations"
    ids = [proposal.configuration.id for proposal in proposals]
    assert len(set(ids)) == len(ids), f"{settings} proposes a configuration twice"
    drawn = [proposal.source for proposal in proposals if proposal.source != "random"]
    assert len(drawn) >= TRIALS // 2 or space.sampler.name == "random", (
        f"{settings} drew only {len(drawn)} of {TRIALS} proposals; its other draws were all proposed before"
    )
    assert all(0.001 <= proposal.values["training.lr"] <= 1.0 for proposal in proposals)
    assert [p.values for p in _all_of(other)] == [p.values for p in proposals], (
        f"{settings}: not the same again for the same seeds; draw from the seed that build is given and from the "
        "known trials alone: build is called for each draw, so nothing else may be kept"
    )
    lost = _study(space)
    for proposal in proposals[: TRIALS // 2]:
        values = json.loads(json.dumps(proposal.values))
        lost.remember(values, proposal.configuration.id, proposal.number)
        lost.tell(proposal.configuration.id, _outcome(proposal))
    following = lost.ask()
    expected = proposals[TRIALS // 2]
    assert following, f"{settings} proposes nothing after a restart"
    assert following.values == expected.values, (
        f"{settings} proposes {following.values} after a restart and would have proposed {expected.values}: what it "
        "counts must be in its trials; refused draws are failed trials, so trial.number is not that of a proposal"
    )


def _study(space: SearchSpace) -> CellStudy:
    (cell,) = make_plan(space).cells
    return CellStudy(space, cell)


def _all_of(study: CellStudy) -> list[Proposal]:
    found = []
    while proposal := study.ask():
        found.append(proposal)
        study.tell(proposal.configuration.id, _outcome(proposal))
    return found


def _outcome(proposal: Proposal) -> Outcome:
    """Some smooth function of the tuned values."""
    rate, momentum = proposal.values["training.lr"], proposal.values["training.momentum"]
    accuracy = 0.9 - 0.1 * (math.log10(rate) + 1) ** 2 - 0.2 * (momentum - 0.8) ** 2
    return Outcome(Status.COMPLETED, EPOCHS, accuracy)


def check_early_stopping(settings: str | Mapping[str, Any]) -> None:
    """A kind of early stopping answers the same to what is reported again, keeps cells apart, and stops NaN.

    Args:
        settings: As a space's ``early_stopping``: a name, or a mapping with its arguments.
    """
    given = dict(settings) if isinstance(settings, Mapping) else settings
    kind = make_space({**SPACE, "early_stopping": given}).early_stopping
    assert kind is not None, f"{settings} is no early stopping"
    milestones = kind.milestones(EPOCHS)
    assert list(milestones) == sorted(set(milestones)), f"{settings}: milestones {milestones} do not ascend"
    assert all(0 < milestone < EPOCHS for milestone in milestones), f"{settings}: milestones {milestones}"
    once, other = make_rule(kind, EPOCHS, 0), make_rule(kind, EPOCHS, 0)
    assert once.milestones == milestones, f"{settings}: settings and rule have other milestones"
    assert once.progress == kind.progress, f"{settings}: settings and rule count other things"
    assert once.can_pause == kind.can_pause, f"{settings}: settings and rule disagree on pauses"
    alone, again = _reported(once, ("a",))
    assert alone == again, f"{settings}: what is reported again gets another answer"
    beside = {key: found for key, found in _reported(other, ("a", "b"))[0].items() if key in alone}
    assert beside == alone, f"{settings}: another cell plays a part"
    assert kind.can_pause or Decision.PAUSE not in alone.values(), f"{settings} pauses; say can_pause"
    row = {"epoch": 1, "epochs_at_target": 1, "val": math.nan}
    assert once.report("c", "nan", row, "val").decision is Decision.STOP, f"{settings} does not stop NaN"


Decisions = dict[tuple[str, int], Decision]
"""Trial and epoch to the answer."""


def _reported(rule: StoppingRule, cells: tuple[str, ...]) -> tuple[Decisions, Decisions]:
    """Answers to trials that report epoch by epoch in turn until they leave, and to each report once more."""
    values = np.random.default_rng(0).random((TRIALS, EPOCHS))
    first: Decisions = {}
    again: Decisions = {}
    left: set[str] = set()
    for epoch, number, cell in product(range(1, EPOCHS), range(TRIALS), cells):
        trial = f"{cell}{number}"
        if trial not in left:
            row = {"epoch": epoch, "epochs_at_target": epoch, "val": float(values[number, epoch])}
            first[trial, epoch] = rule.report(cell, trial, row, "val").decision
            again[trial, epoch] = rule.report(cell, trial, row, "val").decision
            if first[trial, epoch] is not Decision.CONTINUE:
                left.add(trial)
    return first, again
