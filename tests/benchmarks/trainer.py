"""Speed of training, each as a ratio of images per second measured in one run, by default with one torch thread.

- `bare`: the masked trainer over a hand-written loop (same network, SGD, data in memory; no masks, no metrics);
- `classic`: over the usual pipeline: PIL images through torchvision's transforms one by one, a DataLoader with two
  workers beside the process, and masks multiplied into new tensors at every step;
- `pgd`: adversarial training over the same loop with foolbox's attack in it;
- `compile`: the masked trainer with ``training.compile`` over itself without.

Both of a pair have the same memory format and the same augmentation, except in `classic`, where ours is also shown
in channels last. They take turns, short epoch by short epoch, and change who is first, so that whatever else
the machine does meets both. Printed is the median of the ratios with its quartiles, by time on the wall and by the
time of all cores, workers included, which a busy machine disturbs less; and the ratio of the shortest rounds on the
wall. The memory allocator is set as in a worker of a sweep, for both.
``python tests/benchmarks/trainer.py`` takes some minutes, or less with ``--rounds 5``.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision import transforms

from hsl.hardness.schema.regimes import Regime
from hsl.registry import Entry
from hsl.training.allocator import keep_freed_memory
from hsl.training.available import DATASETS, DatasetFacts
from hsl.training.build import build_trainer, make_network
from hsl.training.configuration import Configuration, Split, Training
from hsl.training.data.arrays import Arrays
from hsl.training.data.loaded import load_data
from hsl.training.models import Normalized

Epoch = Callable[[], object]
Times = tuple[float, float]
SPARSITY = 0.9
PLAIN = {"batch_size": 64, "lr": 0.01, "nesterov": True, "schedule": "constant"}
ATTACK = {"name": "pgd", "eps": "8/255", "step": "2/255", "steps": 10}


def noise(size: str) -> Arrays:
    """Random images, as many as the first number says, of the shape that follows: ``800x3x32x32``."""
    count, *shape = map(int, size.split("x"))
    random = np.random.default_rng(0)
    labels = np.arange(count) % 10
    images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    return Arrays(images, labels.astype(np.int64), np.zeros(count, bool))


def configuration(size: str, model: dict, training: dict, **more) -> Configuration:
    """Everything but a fifth of the images is trained on."""
    return Configuration(
        dataset=f"noise:{size}",
        model=model,
        split=Split(validation=0.1, test=0.1),
        training=Training(epochs=100_000, **PLAIN | training),
        method="static",
        sparsity=SPARSITY,
        **more,
    )


def ours(chosen: Configuration) -> Epoch:
    """One epoch of the trainer, without evaluation."""
    trainer = build_trainer(chosen, seed=0)

    def epoch() -> None:
        trainer.train_steps(trainer._step + trainer.steps_per_epoch)

    return epoch


def plain_network(chosen: Configuration):
    """The same network with plain SGD, and the training samples as floating point numbers."""
    data = load_data(chosen.dataset, chosen.split, "cpu")
    torch.manual_seed(0)
    model = Normalized(make_network(chosen.model, data.shape, data.classes), data.mean, data.std)
    if chosen.training.channels_last:
        model = model.to(memory_format=torch.channels_last)
    images = data.train.images.float().div(255)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return model.train(), optimizer, images, data.train.labels


def layout_of(chosen: Configuration) -> torch.memory_format:
    """Memory format of the images."""
    return torch.channels_last if chosen.training.channels_last else torch.contiguous_format


def step(model: nn.Module, optimizer, images, labels) -> None:
    """One step."""
    loss = functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def shifted(images):
    """Crop at random after padding and flip half of the images, by batch; the result is in channels last."""
    padded = functional.pad(images, (4, 4, 4, 4))
    count, _, height, width = images.shape
    top, left = torch.randint(9, (2, count, 1))
    columns = torch.arange(width)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns, columns.flip(0)) + left
    rows = torch.arange(height) + top
    sample = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def bare(chosen: Configuration) -> Epoch:
    """A hand-written loop."""
    model, optimizer, images, labels = plain_network(chosen)
    augment = chosen.training.augment is not False and images.shape[-1] >= 32
    layout = layout_of(chosen)

    def epoch() -> None:
        for batch in torch.randperm(len(images)).split(chosen.training.batch_size):
            taken = shifted(images[batch]) if augment else images[batch]
            step(model, optimizer, taken.contiguous(memory_format=layout), labels[batch])

    return epoch


class PilImages(torch.utils.data.Dataset):
    """Images as PIL, transformed one by one."""

    def __init__(self, images, labels) -> None:
        self.images = [Image.fromarray(image) for image in images.mul(255).byte().permute(0, 2, 3, 1).numpy()]
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), self.labels[index]


def classic(chosen: Configuration) -> Epoch:
    """The usual pipeline of this field's research code."""
    model, optimizer, images, labels = plain_network(chosen)
    loader = torch.utils.data.DataLoader(
        PilImages(images, labels), chosen.training.batch_size, shuffle=True, num_workers=2
    )
    masks = {p: (torch.rand_like(p) > SPARSITY).float() for p in model.parameters() if p.ndim > 1}

    def epoch() -> None:
        right = 0
        for taken, given in loader:
            logits = model.network(taken)
            loss = functional.cross_entropy(logits, given)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for weight, mask in masks.items():
                weight.data = weight.data * mask
            right += (logits.argmax(1) == given).sum().item()

    return epoch


def attacked(chosen: Configuration) -> Epoch:
    """A hand-written loop with foolbox's attack."""
    import foolbox  # noqa: PLC0415

    model, optimizer, images, labels = plain_network(chosen)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=2 / 255, steps=10, random_start=True)
    layout = layout_of(chosen)

    def epoch() -> None:
        for batch in torch.randperm(len(images)).split(chosen.training.batch_size):
            model.eval()
            target = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
            taken, given = images[batch].contiguous(memory_format=layout), labels[batch]
            _, found, _ = attack(target, taken, given, epsilons=8 / 255)
            model.train()
            step(model, optimizer, found, given)

    return epoch


def pairs() -> Iterator[tuple[str, str, float, Epoch, Epoch]]:
    """Kind, name, what is aimed at, and the two epochs."""
    small, last = {"name": "mlp", "widths": [256, 256]}, {"channels_last": True}
    for name, size, model, training in (
        ("mlp 64-256-256-10", "8000x1x8x8", small, {}),
        ("resnet8, not augmented", "400x3x32x32", {"name": "resnet8"}, {"augment": False}),
        ("resnet8, augmented", "400x3x32x32", {"name": "resnet8"}, {}),
        ("resnet8, channels last", "400x3x32x32", {"name": "resnet8"}, last),
    ):
        chosen = configuration(size, model, training)
        yield "bare", name, 0.95, ours(chosen), bare(chosen)
    usual = configuration("4000x3x32x32", {"name": "lenet"}, {})
    for name, training in (("lenet", {}), ("lenet, channels last", last)):
        chosen = configuration("4000x3x32x32", {"name": "lenet"}, training)
        yield "classic", name, 3.0, ours(chosen), classic(usual)
    for name, size, model, training in (
        ("mlp 64-256-256-10", "2000x1x8x8", small, {}),
        ("lenet", "500x3x32x32", {"name": "lenet"}, {}),
        ("lenet, channels last", "500x3x32x32", {"name": "lenet"}, last),
        ("resnet8", "160x3x32x32", {"name": "resnet8"}, {}),
    ):
        chosen = configuration(size, model, {"augment": False} | training, regime=Regime(attack=ATTACK))
        yield "pgd", name, 1.2, ours(chosen), attacked(chosen)
    for name, size, model in (
        ("mlp 64-256-256-10", "8000x1x8x8", small),
        ("resnet8", "400x3x32x32", {"name": "resnet8"}),
    ):
        chosen, fast = (configuration(size, model, {"compile": compile}) for compile in (False, True))
        yield "compile", name, 1.0, ours(fast), ours(chosen)


def in_turns(mine: Epoch, other: Epoch, rounds: int) -> list[tuple[Times, Times]]:
    """Times of both in every round; who is first changes from round to round."""
    measured = []
    for number in range(rounds):
        if number % 2:
            theirs = seconds(other)
            measured.append((seconds(mine), theirs))
        else:
            measured.append((seconds(mine), seconds(other)))
    return measured


def seconds(epoch: Epoch) -> Times:
    """Time of one epoch on the wall, and of all cores."""
    began, used = time.perf_counter(), core_seconds()
    epoch()
    return time.perf_counter() - began, core_seconds() - used


def core_seconds() -> float:
    """Time that cores have worked for this process and for those it has started, as far as they have ended."""
    mine, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def ratios(measured: list[tuple[Times, Times]], clock: int) -> str:
    """Median and quartiles of their time over ours."""
    low, middle, high = statistics.quantiles([its[clock] / own[clock] for own, its in measured], n=4)
    return f"{middle:5.2f} x [{low:.2f}, {high:.2f}]"


def shortest(measured: list[tuple[Times, Times]]) -> float:
    """Their shortest round over ours, on the wall: the least disturbed of each."""
    return min(its[0] for _, its in measured) / min(own[0] for own, _ in measured)


def main() -> None:
    """Print one line per pair."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="bare, classic, pgd or compile")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of both of a pair")
    asked = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(asked.threads)
    DATASETS._entries["noise"] = Entry(noise, DatasetFacts())
    for kind, name, aim, mine, other in pairs():
        if asked.only not in kind:
            continue
        mine()
        other()
        measured = in_turns(mine, other, asked.rounds)
        wall, cores = (ratios(measured, clock) for clock in (0, 1))
        print(
            f"{kind:8} {name:24} wall {wall}, shortest {shortest(measured):5.2f} x  cores {cores}  aim {aim}",
            flush=True,
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HSL_CACHE"] = str(Path(cache))
        main()
