import inspect

import pytest

from hsl.hardness import ATTACKS, CORRUPTIONS, LABEL_NOISES, ROBUST, SCORES, SELECTIONS
from hsl.hardness.schema.keep import OPTIONS
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


@pytest.mark.parametrize("name", SCORES)
def test_every_score_takes_what_it_says(name):
    parameters, facts = inspect.signature(SCORES[name]).parameters, SCORES.facts(name)
    positional = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert tuple(positional) == facts.arguments
    assert parameters.keys() >= set(facts.options)


def test_every_quantity_of_a_trajectory_can_be_recorded():
    facts = [SCORES.facts(name) for name in SCORES]
    recorded = {needs.arguments for needs in facts if needs.recorded == "trajectory"}
    assert recorded == {(name,) for name in trajectories.QUANTITIES}


@pytest.mark.parametrize("name", SELECTIONS)
def test_every_selection_takes_its_options_and_their_defaults(name):
    parameters = inspect.signature(SELECTIONS[name]).parameters
    for option, default in SELECTIONS.facts(name).options.items():
        assert option in OPTIONS
        assert default is None or parameters[option].default in (default, inspect.Parameter.empty)


def test_the_one_step_of_fgsm_rs_is_the_published_one():
    """10/255 in a ball of 8/255: Wong, Rice & Kolter, Fast is better than free, ICLR 2020, arXiv 2001.03994."""
    assert ATTACKS.facts("fgsm_rs").step_over_eps * 8 == 10
