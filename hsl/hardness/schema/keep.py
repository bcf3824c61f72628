"""The schema of the part of a regime that says which samples stay. Free of torch."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from hsl.hardness.registries import SCORES, SELECTIONS
from hsl.hardness.schema.fields import Count, Name, Part, ScoreName, Share, as_window, known, problem

Ties = Literal["keyed", "id"]
"""Choice between equally hard samples: at random, by a hash of the id; or the lower id first, as in version 0.1.0."""

Precision = Literal["double", "single"]
"""Floating point numbers in which scores are computed from logits and stored; single in version 0.1.0."""

OPTIONS = {
    "offset": "the share of the hardest samples to leave out",
    "mislabel_cut": "the share of the hardest samples to leave out as suspected mislabels",
    "power": "the power of the score that is the weight of the draw",
}
"""Keyword arguments of selections that a regime can give, and their meaning."""

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]

Pairs = Annotated[
    tuple[tuple[str, _Number], ...],
    BeforeValidator(lambda given: sorted(given.items()) if isinstance(given, dict) else given),
]
"""Names and numbers; a mapping is stored as pairs in the order of their names, so that a regime can be hashed."""

UNRANKED = "random"
"""The score, and the selection, that order samples at random."""

SCORING_MODELS = 10
SCORING_EPOCH = 0.1
"""Data Diet (Paul et al., NeurIPS 2021, arXiv 2107.07075): ten models, epoch 20 of 200."""

TRAJECTORY_EPOCH = 1.0
"""A trajectory is that of a whole training, as in the papers on forgetting, AUM and data maps."""


def usual_epoch(score: str) -> float:
    """Default epoch of scoring, as a share of the training epochs."""
    return TRAJECTORY_EPOCH if SCORES.facts(score).recorded == "trajectory" else SCORING_EPOCH


def _default_options(which: object) -> dict[str, float]:
    """Options of a selection that have defaults; empty for an unknown selection."""
    known = isinstance(which, str) and SELECTIONS.knows(which)
    taken = SELECTIONS.facts(str(which)).options if known else {}
    return {option: value for option, value in taken.items() if value is not None}


def _own_options(given: dict[str, Any]) -> dict[str, Any]:
    """The keys of a kept part, with those that only its selection knows, by its facts, gathered in `own`."""
    which, known = given.get("which"), given.get("own") or {}
    if (
        not isinstance(which, str)
        or not SELECTIONS.knows(which)
        or not isinstance(known, dict | list | tuple)
    ):
        return given
    names = [name for name in SELECTIONS.facts(which).options if name not in Keep.model_fields]
    found = {name: given[name] for name in names if name in given}
    rest = {name: value for name, value in given.items() if name not in found}
    return {**rest, "own": {**found, **dict(known)}} if found else given


class LongTail(Part):
    """Classes of ever fewer samples, from the first to the last.

    Attributes:
        imbalance: Size of the smallest class over that of the largest, in (0, 1).
        profile: ``exponential``, or ``step``: the first half of the classes large, the second small.
    """

    imbalance: Annotated[float, Field(gt=0, lt=1, strict=True)]
    profile: Literal["exponential", "step"] = "exponential"


class Keep(Part):
    """The part of the samples that is kept: a `fraction`, a `count`, `percentiles` or a `long_tail`.

    ``percentiles: [20, 80]`` keeps the samples from the 20th to the 80th percentile of difficulty; it is
    stored as the equivalent window, here `fraction` 0.6 and `offset` 0.2.

    Attributes:
        fraction: Share of the samples that stays, in (0, 1]; 1 where count or long_tail say how many stay.
        count: Number of training samples that stay, chosen at random.
        by: Difficulty score that orders the samples; ``random`` orders at random.
        which: Part of the order that stays. Always ``random`` where `by` is.
        offset: Share of the hardest samples that a ``window`` leaves out, in (0, 1).
        mislabel_cut: Share of the hardest samples that ``stratified`` leaves out as suspected mislabels, in
            [0, 1).
        power: Power of the score that is the weight of a ``probabilistic`` draw, above 0.
        own: Options of a selection from outside, whose facts name them; in a space they stand as keys of their own.
        long_tail: Sizes of the classes, chosen at random; matched samples keep all of theirs.
        class_balanced: Keep the same share of every class.
        models: Number of scoring models whose scores are averaged; None where nothing is scored.
        epoch: When to score, as a share of the training epochs in (0, 1]; a trajectory is recorded until
            then. None where nothing is scored.
        ties: Choice between equally hard samples: ``keyed``, at random, other ones for every seed; ``id``, the
            lower id first, which prefers the first classes of a data set that is stored class by class (version
            0.1.0). None where nothing is scored.
        precision: Of the scores: ``double``; or ``single``, in which those of confident networks are equal (version
            0.1.0), and weights of a ``probabilistic`` draw below 1e-308 are 0. None where nothing is scored.
        budget: What a training has in common with one on all samples. ``epochs``: fewer samples take fewer
            steps (as in the papers). ``steps``: fewer samples are seen more often; an epoch has as many steps
            as with all samples.
    """

    fraction: Share
    count: Count | None = None
    by: ScoreName = UNRANKED
    which: Annotated[Name, known(SELECTIONS)] = "hardest"
    offset: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None
    mislabel_cut: Annotated[float, Field(ge=0, lt=1, strict=True)] | None = None
    power: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)] | None = None
    own: Pairs | None = None
    long_tail: LongTail | None = None
    class_balanced: StrictBool = False
    models: Count | None = None
    epoch: Share | None = None
    ties: Ties | None = None
    precision: Precision | None = None
    budget: Literal["epochs", "steps"] = "epochs"

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: object) -> object:
        """Defaults that depend on other values, written out so that equal regimes are equal values."""
        if not isinstance(given, dict):
            return given
        if given.get("percentiles") is not None:
            given = as_window(given)
        if given.get("count") is not None or given.get("long_tail") is not None:
            given = {"fraction": 1.0} | given
        by = given.get("by", UNRANKED)
        if not isinstance(by, str) or not SCORES.knows(by):
            return given  # the field says what is wrong with it
        if not SCORES.facts(by).ranks:
            return {"which": UNRANKED} | given
        given = {name: value for name, value in given.items() if value is not None}
        given = _own_options(_default_options(given.get("which")) | given)
        scored = {"models": SCORING_MODELS, "epoch": usual_epoch(by), "ties": "keyed", "precision": "double"}
        return scored | given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.is_ranked and self.which != UNRANKED:
            message = f"which: {self.which} needs a score; add by, for example by: el2n, or leave which out"
            raise problem("keep", message)
        of_scores = (self.models, self.epoch, self.ties, self.precision)
        if not self.is_ranked and any(value is not None for value in of_scores):
            message = "models, epoch, ties and precision belong to a score; add by, for example by: el2n"
            raise problem("keep", message)
        if self.is_ranked and self.which == UNRANKED:
            raise problem("keep", f"which: random does not look at {self.by}; leave by and which out")
        return self

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if self.count is not None and self.is_ranked:
            message = f"a count by {self.by} does not say how many matched samples to keep; give a fraction"
            raise problem("keep", message)
        if self.long_tail is not None and (self.is_ranked or self.class_balanced):
            raise problem(
                "keep", "a long tail is drawn at random in every class; leave by and class_balanced out"
            )
        amounts = [self.fraction < 1, self.count is not None, self.long_tail is not None]
        if sum(amounts) > 1:
            raise problem("keep", "fraction, count and long_tail each say how much stays; give one of them")
        return self

    @model_validator(mode="after")
    def _options_of_the_selection(self) -> Self:
        taken = SELECTIONS.facts(self.which).options
        for option in OPTIONS:
            if getattr(self, option) is not None and option not in taken:
                which = " or ".join(name for name in SELECTIONS if option in SELECTIONS.facts(name).options)
                message = f"{option} belongs to which: {which}; leave it out, or set which: {which}"
                raise problem("keep", message)
        for option in dict(self.own or ()):
            if taken and option not in taken:
                raise problem("keep", f"{self.which} has no option {option}; it has {', '.join(taken)}")
        for option in taken:
            if option not in self.options:
                raise problem(
                    "keep", f"a {self.which} needs an {option}, {OPTIONS.get(option, 'which it takes')}"
                )
        left_out = (self.offset or 0) + (self.mislabel_cut or 0)
        if self.fraction + left_out > 1 + 1e-9:
            message = (
                f"{left_out} of the samples are left out, so no {self.fraction} can stay; lower one of them"
            )
            raise problem("keep", message)
        if SCORES.facts(self.by).is_signed and not SELECTIONS.facts(self.which).takes_signed:
            raise problem("keep", f"{self.which} needs a score of at least 0, {self.by} can be negative")
        return self

    @property
    def is_ranked(self) -> bool:
        """Whether a score orders the samples, rather than a random draw."""
        return SCORES.facts(self.by).ranks

    @property
    def keeps_all(self) -> bool:
        """Whether every sample stays."""
        return self.fraction == 1 and self.count is None and self.long_tail is None

    @property
    def options(self) -> dict[str, float]:
        """Keyword arguments of the selection."""
        given = {option: getattr(self, option) for option in OPTIONS}
        return {option: value for option, value in given.items() if value is not None} | dict(self.own or ())
