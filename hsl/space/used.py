"""Overrides that a command does not use: they are refused, because it would do something else than was asked for."""

from collections.abc import Iterable, Iterator, Sequence

from hsl.errors import Problem, SpaceError
from hsl.results.dense import is_sparsification
from hsl.space.axes import known_axes
from hsl.space.objective import default_regime
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS
from hsl.training.configuration import READ_BY, Configuration, Training
from hsl.training.read_settings import reads

DATA = frozenset({"dataset", "split"})
"""Keys of a space that determine its samples."""

SCORING = DATA | {"model", "training"}
"""Those that determine difficulty scores; the scoring models are trained with the training of the space."""

REGIMES = SCORING | {"regimes", "regime", "seed"}
"""Those that determine what a regime makes of the samples."""

TRAINING = REGIMES | {"method", "distribution", "sparsity", "init", "layers", "ratios"}
"""Those that determine one trained network."""


def check_used(overrides: Iterable[str], used: Iterable[str], does: str) -> None:
    """Refuse overrides of keys that a command does not use.

    Args:
        overrides: ``key=value``, which the space has taken; a key of ``factors`` or ``search`` stands for its axis.
        used: First parts of the keys that the command uses.
        does: What the command does, as a sentence goes on from "hsl".

    Raises:
        SpaceError: With all of them.
    """
    known = frozenset(used)
    _refuse(
        Problem(key, f"hsl {does} does not use it; leave it out. It uses {', '.join(sorted(known))}")
        for key in _keys(overrides)
        if _axis(key).partition(".")[0] not in known
    )


def check_pinned(
    overrides: Iterable[str], space: SearchSpace, chosen: Configuration, regime: str | None
) -> None:
    """Refuse overrides that the chosen configuration of a space has no place for.

    Args:
        overrides: ``key=value``, which the space has taken.
        space: The space.
        chosen: Its only configuration.
        regime: Name of the regime that is trained; None for that of the space.

    Raises:
        SpaceError: With all of them.
    """
    method = METHODS[chosen.method]
    takes = [f"method.{parameter.name}" for parameter in method.hyperparameters]
    trained = regime or default_regime(space.regime, space.regimes)

    def problems() -> Iterator[Problem]:
        for key in _keys(overrides):
            axis = _axis(key)
            if axis.startswith("method.") and axis in known_axes() and axis not in takes:
                listed = f"it has {', '.join(takes)}" if takes else "it has none"
                yield Problem(key, f"{chosen.method} has no such hyperparameter; {listed}")
            elif not method.distributions and axis != "method" and is_sparsification(axis):
                yield Problem(
                    key, f"{chosen.method} prunes nothing and has none; leave it out, or choose a method"
                )
            elif message := _unread_of_training(chosen.training, axis) or _unread_ratio(chosen, axis):
                yield Problem(key, message)
            elif axis.startswith("regimes.") and axis.split(".")[1] != trained:
                yield Problem(
                    key, f"regime {trained} is trained; leave it out, or add regime={axis.split('.')[1]}"
                )

    _refuse(problems())


def _unread_of_training(training: Training, axis: str) -> str | None:
    """What keeps a field of the training from having an effect, or None."""
    field = axis.removeprefix("training.")
    if not axis.startswith("training.") or reads(training, field):
        return None
    owner, readers = READ_BY[field]
    others = " or ".join(sorted(readers))
    return f"{owner} {getattr(training, owner)} does not read it; leave it out, or set {owner} to {others}"


def _unread_ratio(chosen: Configuration, axis: str) -> str | None:
    """What keeps a hyperparameter of the method whose scores give the distribution from having an effect, or None."""
    section, _, name = axis.partition(".")
    if section != "ratios" or (chosen.all_ratios and name in {"", *chosen.all_ratios}):
        return None
    has = f"it has {', '.join(chosen.all_ratios)}" if chosen.all_ratios else "it has none"
    return f"distribution {chosen.distribution} has no such ratio; {has}"


def check_scoring(overrides: Iterable[str], space: SearchSpace) -> None:
    """Refuse overrides of the training of scoring models where the space compares or tunes it.

    Raises:
        SpaceError: With all of them.
    """
    _refuse(
        Problem(
            key,
            "the space compares it; scoring models have the training of the space: take it out of factors",
        )
        for key in _keys(overrides)
        if _axis(key).startswith("training.") and _axis(key) in space.factors
    )


def _keys(overrides: Iterable[str]) -> Iterator[str]:
    return (text.partition("=")[0] for text in overrides)


def _axis(key: str) -> str:
    """A key without the section that makes it a compared or a tuned axis."""
    section, _, rest = key.partition(".")
    return rest if section in {"factors", "search"} and rest else key


def _refuse(problems: Iterable[Problem]) -> None:
    found: Sequence[Problem] = list(problems)
    if found:
        raise SpaceError("overrides", found)
