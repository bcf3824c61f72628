import inspect

import pytest

from hsl.hardness import ATTACKS, CORRUPTIONS, LABEL_NOISES, SCORES, SELECTIONS
from hsl.hardness.registries import DETERMINISTIC_CORRUPTIONS

EVERY_ENTRY = [
    (registry, name)
    for registry in (ATTACKS, CORRUPTIONS, LABEL_NOISES, SCORES, SELECTIONS)
    for name in registry
]


@pytest.mark.parametrize(("registry", "name"), EVERY_ENTRY)
def test_every_entry_is_a_documented_function(registry, name):
    entry = registry[name]
    assert inspect.isfunction(entry)
    assert entry.__doc__


def test_deterministic_corruptions_are_corruptions():
    assert set(CORRUPTIONS) >= DETERMINISTIC_CORRUPTIONS
