"""Images per second of every corruption (severity 5, 3 x 32 x 32, one thread), and what attacks cost.

Run it as ``python tests/benchmarks/hardness.py``. Each figure is the median of several rounds, in processor time, which
what else the machine has to do lengthens the least; ``x reference`` is the time over that of a fixed piece of work in
the same round.
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional

from hsl.hardness import CORRUPTIONS, Attack
from hsl.hardness.attacks.adversarial import training_loss
from hsl.hardness.attacks.attacks import pgd
from hsl.hardness.corruptions.corrupt import corrupt

IMAGES, ROUNDS, SEVERITY = 1000, 5, 5

FAST = 8000
MEDIUM = 1500
WANTED = {
    **dict.fromkeys(("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"), FAST),
    **dict.fromkeys(("contrast", "brightness", "fog"), FAST),
    **dict.fromkeys(("gaussian_blur", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"), MEDIUM),
    **dict.fromkeys(("pixelate", "elastic_transform"), MEDIUM),
}
"""Images per second on one thread."""


def seconds_of(function):
    """Processor time of one call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def reference(images):
    """A fixed piece of work in memory and arithmetic, like that of a corruption."""
    values = images.double()
    for _ in range(4):
        values = values.roll(1, dims=3).mul_(0.5).add_(values, alpha=0.5)


def speed(name, images):
    """Images per second, and the time over that of the reference; what is made once per process is made before."""
    ids = torch.arange(len(images))
    corrupt(images[:1], ids[:1], name, SEVERITY, key=0)
    rounds = [
        (
            seconds_of(lambda key=key: corrupt(images, ids, name, SEVERITY, key)),
            seconds_of(lambda: reference(images)),
        )
        for key in range(ROUNDS)
    ]
    spent = statistics.median(mine for mine, _ in rounds)
    return len(images) / spent, statistics.median(mine / other for mine, other in rounds)


def small_network():
    """A network whose passes are cheap, so that what an attack does besides them shows."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(4)),
        *(nn.Flatten(), nn.Linear(64 * 16, 10)),
    )


def relative_cost(work, passes):
    """Time of `work` over that of so many forward and backward passes for training."""
    model, images, labels = small_network(), torch.rand(128, 3, 32, 32), torch.randint(0, 10, (128,))

    def plain():
        for _ in range(passes):
            functional.cross_entropy(model(images), labels).backward()

    ratios = [seconds_of(lambda: work(model, images, labels)) / seconds_of(plain) for _ in range(ROUNDS)]
    return statistics.median(ratios)


def ten_steps(model, images, labels):
    """The inner loop of PGD-10."""
    pgd(model, images, labels, eps=8 / 255, step=2 / 255, steps=10)


def training_step(name):
    """One step of an adversarial training, the weights left where they are."""
    loss = training_loss(Attack.model_validate({"name": name, "eps": "8/255"}), seed=0)

    def step(model, images, labels):
        _, value = loss(model, images, labels, torch.arange(len(labels)), 1)
        value.backward()

    return step


def main():
    """Print one line per corruption, the slowest last and by name, and what attacks cost."""
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)
    speeds = {name: speed(name, images) for name in CORRUPTIONS}
    for name, (found, ratio) in sorted(speeds.items(), key=lambda entry: -entry[1][0]):
        wanted = WANTED.get(name)
        judged = "" if wanted is None else f"  at least {wanted:,}: {'yes' if found >= wanted else 'NO'}"
        print(f"{name:20} {found:9,.0f} images/s {ratio:8.1f} x reference{judged}")
    print(f"slowest: {min(speeds, key=lambda name: speeds[name][0])}")
    print(f"ten steps of PGD: {relative_cost(ten_steps, 10):.2f} x ten training passes")
    for name in ("pgd", "fgsm_rs", "trades", "mart", "free"):
        print(
            f"a step of {name} with its usual values: {relative_cost(training_step(name), 1):.1f} x a clean one"
        )


if __name__ == "__main__":
    main()
