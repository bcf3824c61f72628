import inspect

import pytest

from hsl.hardness import ATTACKS, CORRUPTIONS, LABEL_NOISES, ROBUST, SCORES, SELECTIONS
from hsl.hardness.registries import DETERMINISTIC_CORRUPTIONS, SCORE_INPUTS, SIGNED_SCORES
from hsl.hardness.scores import trajectories

EVERY_ENTRY = [
    (registry, name)
    for registry in (ATTACKS, CORRUPTIONS, LABEL_NOISES, ROBUST, SCORES, SELECTIONS)
    for name in registry
]


@pytest.mark.parametrize(("registry", "name"), EVERY_ENTRY)
def test_every_entry_is_a_documented_function(registry, name):
    entry = registry[name]
    assert inspect.isfunction(entry)
    assert entry.__doc__


def test_deterministic_corruptions_are_corruptions():
    assert set(CORRUPTIONS) >= DETERMINISTIC_CORRUPTIONS


@pytest.mark.parametrize("name", SCORES)
def test_every_score_takes_what_it_says(name):
    positional = [
        parameter.name
        for parameter in inspect.signature(SCORES[name]).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    assert tuple(positional) == SCORE_INPUTS[name].arguments


def test_every_score_says_what_it_takes_and_every_quantity_can_be_recorded():
    assert set(SCORE_INPUTS) == set(SCORES) >= SIGNED_SCORES
    recorded = {needs.arguments for needs in SCORE_INPUTS.values() if needs.kind == "trajectory"}
    assert recorded == {(name,) for name in trajectories.QUANTITIES}
