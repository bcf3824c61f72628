import copy

import foolbox
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hsl.errors import DataError, HslError
from hsl.hardness import ROBUST
from hsl.hardness.attacks import robustness
from hsl.hardness.attacks.robustness import is_right, still_right

EPS = {"linf": 16 / 255, "l2": 0.5}
QUICK = sorted(set(ROBUST) - {"autoattack"})


@pytest.fixture
def samples(digits):
    return digits[0][:150], digits[1][:150], torch.arange(150) * 3 + 7


def accuracy(right):
    return right.float().mean().item()


@pytest.mark.parametrize("measure", ROBUST)
@pytest.mark.parametrize("norm", EPS)
def test_in_a_ball_of_no_size_only_the_clean_image_counts(network, samples, measure, norm):
    images, labels, ids = (part[:20] for part in samples)
    with torch.no_grad():
        clean = network(images.float() / 255).argmax(dim=1) == labels
    assert torch.equal(still_right(measure, network, images, labels, ids, eps=0, norm=norm), clean)


@pytest.mark.parametrize("norm", EPS)
@settings(max_examples=6, deadline=None)
@given(st.floats(0.1, 1.5), st.integers(0, 100), st.integers(0, 40))
def test_the_stronger_the_attack_the_fewer_are_right(network, digits, norm, size, seed, first):
    part = slice(first * 40, first * 40 + 60)
    images, labels, ids = digits[0][part], digits[1][part], torch.arange(len(digits[1]))[part]
    right = {
        measure: still_right(
            measure, network, images, labels, ids, eps=size * EPS[norm], norm=norm, seed=seed
        )
        for measure in QUICK
    }
    clean = is_right(network, images.float() / 255, labels)
    assert not any(bool((found & ~clean).any()) for found in right.values())
    one = 1.01 / len(labels)
    assert accuracy(right["pgd50x10"]) <= accuracy(right["pgd20"]) + one
    assert accuracy(right["pgd20"]) <= accuracy(right["fgsm"]) + one
    assert accuracy(right["margin"]) <= accuracy(right["fgsm"]) + one


@pytest.mark.parametrize(
    ("norm", "attack"), [("linf", foolbox.attacks.LinfPGD), ("l2", foolbox.attacks.L2PGD)]
)
def test_pgd20_agrees_with_foolbox(network, digits, norm, attack):
    images, labels = digits[0][:600].float() / 255, digits[1][:600]
    theirs = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        run = attack(rel_stepsize=robustness.STEPS[norm], steps=20, random_start=True)
        _, _, is_fooled = run(theirs, images, labels, epsilons=EPS[norm])
    ours = still_right("pgd20", network, images, labels, torch.arange(600), eps=EPS[norm], norm=norm)
    assert accuracy(ours) == pytest.approx(1 - accuracy(is_fooled), abs=0.015)
    assert accuracy(ours) < accuracy(is_right(network, images, labels)) - 0.05


@pytest.mark.parametrize("measure", QUICK)
@pytest.mark.parametrize("norm", EPS)
def test_neither_batch_nor_order_matters(network, samples, measure, norm, monkeypatch):
    images, labels, ids = (part[:30] for part in samples)
    whole = still_right(measure, network, images, labels, ids, eps=EPS[norm], norm=norm)
    assert 0.3 < accuracy(whole) < 1
    monkeypatch.setattr(robustness, "BLOCK", 7)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    mixed = still_right(measure, network, images[order], labels[order], ids[order], eps=EPS[norm], norm=norm)
    assert torch.equal(mixed, whole[order])
    assert torch.equal(
        still_right(measure, network, images.float() / 255, labels, ids, eps=EPS[norm], norm=norm), whole
    )


class Interrupted(Exception):
    pass


calls = []


def interrupted(model, images, labels, ids, *, eps, norm, seed):
    """An evaluator that is interrupted in its third block, the first time."""
    calls.append(ids.tolist())
    if len(calls) == 3:
        raise Interrupted
    return ids % 3 == 0


def test_an_interrupted_evaluation_continues(network, samples, monkeypatch, tmp_path):
    images, labels, ids = samples
    monkeypatch.setattr(robustness, "BLOCK", 40)
    calls.clear()
    given_ = {"eps": 0.1, "state_path": tmp_path / "new" / "state.json"}
    measure = f"{__name__}:interrupted"
    with pytest.raises(Interrupted):
        still_right(measure, network, images, labels, ids, **given_)
    assert torch.equal(still_right(measure, network, images, labels, ids, **given_), ids % 3 == 0)
    assert [part[0] for part in calls] == [ids[0], ids[40], ids[80], ids[80], ids[120]]
    still_right(measure, network, images, labels, ids, **given_)
    assert len(calls) == 5
    other = copy.deepcopy(network)
    other[1].bias.data[0] += 1
    for changed in ({"eps": 0.2}, {"seed": 1}, {"norm": "l2"}):
        with pytest.raises(HslError, match="another model, other samples or other settings; delete it"):
            still_right(measure, network, images, labels, ids, **{**given_, **changed})
    for model, shown in ((other, labels), (network, labels.flip(0))):
        with pytest.raises(HslError, match="delete it, or give another path"):
            still_right(measure, model, images, shown, ids, **given_)


def test_autoattack_continues_to_the_same_result(network, samples, monkeypatch, tmp_path):
    images, labels, ids = (part[:12] for part in samples)
    monkeypatch.setattr(robustness, "BLOCK", 4)
    given_ = {"eps": 0.25}
    whole = still_right("autoattack", network, images, labels, ids, **given_)
    for n in (4, 8):  # the state of the first blocks, as a process that was killed leaves it behind
        path = tmp_path / f"{n}.json"
        state = robustness._State(path, network, labels, ids, ["autoattack", 0.25, "linf", 0, 4])
        state.save(whole[:n])
        assert torch.equal(
            still_right("autoattack", network, images, labels, ids, **given_, state_path=path), whole
        )


def test_wrong_input_is_refused(network, samples):
    images, labels, ids = samples
    with pytest.raises(HslError, match="pixel units, for example 8/255"):
        still_right("pgd20", network, *samples, eps=8)
    with pytest.raises(HslError, match="known: linf, l2"):
        still_right("pgd20", network, *samples, eps=0.1, norm="l1")
    with pytest.raises(HslError, match="did you mean 'pgd20'"):
        still_right("pgd2", network, *samples, eps=0.1)
    with pytest.raises(DataError, match=r"shapes \[150, 1, 8, 8\], \[150\], \[3\]"):
        still_right("pgd20", network, images, labels, ids[:3], eps=0.1)
    one_class = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with pytest.raises(DataError, match="needs at least 2 classes, there are 1"):
        still_right("autoattack", one_class, images[:3], labels[:3] * 0, ids[:3], eps=0.1)
    for measure in ROBUST:
        assert still_right(measure, network, images[:0], labels[:0], ids[:0], eps=0.1).shape == (0,)


def test_predictions_are_those_of_eval_mode_in_single_precision():
    """Dropout would change them; afterwards every module is in the mode that it was in."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.9), nn.Linear(32, 10))
    model[2].eval()
    model[3].train()
    images, labels = torch.rand(200, 1, 8, 8), torch.arange(200) % 10
    expected = copy.deepcopy(model).eval()(images).argmax(dim=1) == labels
    modes = [module.training for module in model.modules()]
    model[2].train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(is_right(model, images, labels), expected)
    assert [module.training for module in model.modules()] == [*modes[:3], True, *modes[4:]]
