"""AutoAttack through its package: as strong as it is to be, and nothing is left changed."""

import copy
import sys
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from hsl.errors import HslError
from hsl.hardness.attacks import autoattack
from hsl.hardness.attacks.robustness import is_right, still_right

EPS = {"linf": 16 / 255, "l2": 0.5}


@pytest.fixture
def samples(digits):
    return digits[0][:150], digits[1][:150], torch.arange(150) * 3 + 7


def accuracy(right):
    return right.float().mean().item()


@pytest.mark.parametrize("norm", EPS)
def test_autoattack_is_the_strongest(network, samples, norm):
    images, labels, ids = (part[:12] for part in samples)
    given_ = {"eps": 2 * EPS[norm], "norm": norm}
    attacked, weaker = (
        accuracy(still_right(measure, network, images, labels, ids, **given_))
        for measure in ("autoattack", "pgd50x10")
    )
    pgd, fgsm = (accuracy(still_right(m, network, images, labels, ids, **given_)) for m in ("pgd20", "fgsm"))
    assert attacked <= weaker <= pgd <= fgsm < accuracy(is_right(network, images.float() / 255, labels))


@pytest.mark.parametrize(
    ("classes", "norm"),
    [
        (3, "linf"),
        *(
            pytest.param(n, norm, marks=pytest.mark.slow)
            for n, norm in product((2, 3, 5), EPS)
            if (n, norm) != (3, "linf")
        ),
    ],
)
def test_autoattack_aims_at_the_classes_there_are(digits, classes, norm, caplog):
    chosen = digits[1] >= 10 - classes
    images, labels = digits[0][chosen], digits[1][chosen] - (10 - classes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(8):
        optimizer.zero_grad()
        functional.cross_entropy(model(images.float() / 255), labels).backward()
        optimizer.step()
    images, labels, ids = images[:6], labels[:6], torch.arange(6)
    large = {"eps": 2 * EPS[norm], "norm": norm}
    attacked = still_right("autoattack", model, images, labels, ids, **large)
    assert accuracy(attacked) <= accuracy(still_right("pgd20", model, images, labels, ids, **large)) < 1
    assert not [record for record in caplog.records if "classes" in record.message]


def test_autoattack_leaves_everything_as_it_was(samples):
    images, ids = samples[0][:8], samples[2][:8]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10)
        )
    model.train()
    model[0].bias.requires_grad_(requires_grad=False)
    model[4].weight.grad = torch.ones_like(model[4].weight)
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    tracer, previous = (lambda *_: None), sys.gettrace()
    sys.settrace(tracer)
    try:
        still_right("autoattack", model, images, model(images.float() / 255).argmax(1), ids, eps=0.3)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(previous)
    moved = {
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    }  # by the line above that finds labels
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items() if n not in moved)
    assert int(model[1].num_batches_tracked) == 1
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.training
    assert model[1].training
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True, True, True]
    assert bool((model[4].weight.grad == 1).all())
    assert model[0].weight.grad is None


def test_a_missing_package_is_named(network, samples, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(HslError, match=r"pip install 'hsl\[autoattack\]', or choose another"):
        still_right("autoattack", network, *samples, eps=0.1)


@pytest.mark.parametrize(("classes", "targets"), [(2, 1), (3, 2), (4, 3), (10, 9), (100, 9)])
def test_no_more_classes_are_aimed_at_than_the_others(classes, targets):
    """Nine of a thousand as in the paper; the targeted loss compares with the third largest logit, so it needs four."""
    run = SimpleNamespace(
        apgd_targeted=SimpleNamespace(), fab=SimpleNamespace(), attacks_to_run=["apgd-ce", "apgd-t"]
    )
    autoattack._fit(run, classes)
    assert run.apgd_targeted.n_target_classes == run.fab.n_target_classes == targets
    assert run.attacks_to_run == (["apgd-ce", "apgd-t"] if classes >= 4 else ["apgd-ce"])


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("norm", EPS)
def test_with_few_classes_it_is_not_weaker_than_pgd50x10_and_the_margin(digits, classes, norm, monkeypatch):
    """Even if the attacks of the package find nothing; with four classes all of its attacks are defined."""

    class Powerless:
        def __init__(self, *_, **__):
            self.apgd_targeted, self.fab, self.attacks_to_run = SimpleNamespace(), SimpleNamespace(), []

        def run_standard_evaluation(self, images, labels, batch_size):
            return images, labels

    monkeypatch.setattr(autoattack, "_package", lambda: SimpleNamespace(AutoAttack=Powerless))
    chosen = digits[1] < classes
    images, labels, ids = digits[0][chosen][:60], digits[1][chosen][:60], torch.arange(60)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        functional.cross_entropy(model(images.float() / 255), labels).backward()
        optimizer.step()
    given = {"eps": {"linf": 0.2, "l2": 1.0}[norm], "norm": norm}
    clean = is_right(model, images.float() / 255, labels)
    others = [still_right(name, model, images, labels, ids, **given) for name in ("pgd50x10", "margin")]
    expected = clean & others[0] & others[1] if classes < 4 else clean
    assert torch.equal(still_right("autoattack", model, images, labels, ids, **given), expected)
    assert accuracy(others[0]) < accuracy(clean)


def test_images_without_logits_are_right_in_no_step(digits, monkeypatch):
    """Even if the package takes the NaN for the right class, as argmax does of class 0."""

    class Misled:
        def __init__(self, *_, **__):
            self.apgd_targeted, self.fab, self.attacks_to_run = SimpleNamespace(), SimpleNamespace(), []

        def run_standard_evaluation(self, images, labels, batch_size):
            return torch.full_like(images, torch.nan), labels

    monkeypatch.setattr(autoattack, "_package", lambda: SimpleNamespace(AutoAttack=Misled))
    images, ids = digits[0][:30], torch.arange(30)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    labels = model(images.float() / 255).argmax(1)
    assert still_right("autoattack", model, images, labels, ids, eps=0).all()
    assert not still_right("autoattack", model, images, labels, ids, eps=0.1).any()
    nn.init.constant_(model[1].weight, torch.nan)
    assert not still_right("autoattack", model, images, torch.zeros_like(labels), ids, eps=0).any()
