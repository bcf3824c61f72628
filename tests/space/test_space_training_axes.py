"""Fields of the training that nothing reads are refused exactly where every optimizer or schedule ignores them."""

from __future__ import annotations

from typing import Any

import pytest

from hsl.errors import SpaceError
from hsl.space.load import make_space
from hsl.training.configuration import READ_BY, Training
from hsl.training.optimizers import learning_rate, make_optimizer

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp"}
LEVELS: dict[str, list[Any]] = {
    "momentum": [0.5, 0.9],
    "nesterov": [True, False],
    "gamma": [0.1, 0.5],
    "milestones": [[0.2], [0.6]],
    "weight_decay": [0.0, 0.1],
    "warmup": [0.1, 0.2],
}
OPTIONS = {name: Training.model_fields[name].annotation.__args__ for name in ("optimizer", "schedule")}


def trains_differently(field: str, **fixed: str) -> bool:
    """Whether the two levels of a field make another optimizer or other learning rates."""
    import torch  # noqa: PLC0415

    made = [Training.model_validate({field: level, **fixed}) for level in LEVELS[field]]
    rates = [[learning_rate(each, step, 50) for step in range(50)] for each in made]
    optimizers = [make_optimizer(each, [torch.nn.Parameter(torch.zeros(1))]) for each in made]
    defaults = [(type(each), each.defaults) for each in optimizers]
    return rates[0] != rates[1] or defaults[0] != defaults[1]


@pytest.mark.parametrize("field", LEVELS)
@pytest.mark.parametrize("owner", OPTIONS)
def test_a_level_is_refused_exactly_where_it_trains_the_same(field: str, owner: str) -> None:
    for name in OPTIONS[owner] if READ_BY.get(field, (owner,))[0] == owner else ():
        space = {**BASE, "training": {owner: name}, "factors": {f"training.{field}": LEVELS[field]}}
        if trains_differently(field, **{owner: name}):
            make_space(space)
        else:
            with pytest.raises(SpaceError, match=rf"factors.training.{field}: {field} belongs to {owner} "):
                make_space(space)


@pytest.mark.parametrize(
    ("training", "axes", "place"),
    [
        ({"nesterov": True, "momentum": 0}, {}, "training.momentum: Nesterov"),
        (
            {"nesterov": True},
            {"search": {"training.momentum": {"uniform": [0, 0.9]}}},
            "search.training.momentum: Nest",
        ),
        ({"momentum": 0}, {"factors": {"training.nesterov": [True, False]}}, "training.momentum: Nesterov"),
        (
            {"schedule": "one_cycle", "warmup": 0},
            {},
            "training.warmup: 0 means the default of schedule one_cycle",
        ),
        (
            {"schedule": "one_cycle"},
            {"factors": {"training.warmup": [0, 0.2]}},
            "factors.training.warmup: 0 means",
        ),
    ],
)
def test_values_that_mean_something_else_are_refused(
    training: dict[str, Any], axes: dict[str, Any], place: str
) -> None:
    with pytest.raises(SpaceError) as caught:
        make_space({**BASE, "training": training, **axes})
    assert place in str(caught.value)
    make_space({**BASE, "training": training, **axes}, is_stored=True)


@pytest.mark.parametrize(
    ("training", "axes"),
    [
        ({"nesterov": True}, {}),
        ({"nesterov": True, "momentum": 0, "optimizer": "adamw"}, {}),
        ({"schedule": "one_cycle"}, {}),
        ({"schedule": "cosine", "warmup": 0}, {}),
        ({"schedule": "cosine"}, {"factors": {"training.gamma": [0.5]}}),
        ({}, {"factors": {"training.optimizer": ["sgd", "adamw"], "training.momentum": [0.5, 0.9]}}),
        (
            {},
            {
                "search": {
                    "training.schedule": {"choice": ["step", "cosine"]},
                    "training.gamma": {"uniform": [0.1, 0.5]},
                }
            },
        ),
    ],
)
def test_what_some_network_reads_is_taken(training: dict[str, Any], axes: dict[str, Any]) -> None:
    make_space({**BASE, "training": training, **axes})


@pytest.mark.parametrize(
    ("training", "axes", "message"),
    [
        (
            {"schedule": "step"},
            {"factors": {"training.milestones": [[0.5, 0.6], [0.5, 0.9]]}},
            r"factors.training.milestones: \[0.5, 0.6\] and \[0.5, 0.9\] give the same .* with schedule step",
        ),
        (
            {"schedule": "multistep"},
            {"search": {"training.milestones": {"choice": [[0.5, 0.6], [0.6, 0.5]]}}},
            "search.training.milestones: .* with schedule multistep; keep one",
        ),
        (
            {"warmup": 0.1},
            {"factors": {"training.schedule": ["cosine", "one_cycle"]}},
            "cosine and one_cycle give the same learning rates; keep one",
        ),
    ],
)
def test_levels_with_the_same_rates_are_refused(
    training: dict[str, Any], axes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space({**BASE, "training": training, **axes})
    make_space({**BASE, "training": training, **axes}, is_stored=True)
