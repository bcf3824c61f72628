"""Draws are the same in another process, for any batches, order and number of threads."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import torch

from hsl.hardness import CORRUPTIONS, LABEL_NOISES, keyed
from hsl.hardness.attacks.attacks import random_start
from hsl.hardness.corruptions.corrupt import correlated_choice, corrupt, mixed

COUNT = 8


def samples() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, labels and ids; the images are made by whole numbers, the same everywhere."""
    ids = torch.arange(COUNT) * 11 + 2
    places = torch.arange(3 * 20 * 20).view(3, 20, 20)
    images = ((ids[:, None, None, None] * 37 + places * 7 + places // 400 * 50) % 256).to(torch.uint8)
    return images, ids % 5, ids


def digests(parts: int, reverse: bool) -> dict[str, list[str]]:
    """A digest of everything that is drawn for each sample, worked on in so many parts."""
    images, labels, ids = samples()
    order = torch.arange(COUNT).flip(0) if reverse else torch.arange(COUNT)
    found: dict[str, list[str]] = {}
    key = keyed.key(7, "anything")
    mix = ["fog", "gaussian_noise", "contrast"]
    for part in order.chunk(parts):
        x, y, i = images[part], labels[part], ids[part]
        made = {name: corrupt(x, i, name, 4, key) for name in CORRUPTIONS}
        made["a mix"] = mixed(x, i, mix, 2, key)
        made["a choice"] = correlated_choice(y, i, 3, 0.3, key)
        made["a start"] = random_start(key, i, (3, 20, 20), 0.1)
        for name in ("symmetric", "pair"):
            made[name] = LABEL_NOISES[name](y, i, 0.5, 5, key)[0]
        for name, values in made.items():
            digest = [hashlib.blake2b(v.numpy().tobytes(), digest_size=8).hexdigest() for v in values]
            found.setdefault(name, [""] * COUNT)
            for place, text in zip(part.tolist(), digest, strict=True):
                found[name][place] = text
    return found


def test_another_process_draws_the_same() -> None:
    program = (
        "import json, torch, test_hardness_processes as t; torch.set_num_threads(2);"
        "print(json.dumps(t.digests(5, True)))"
    )
    folder = __file__.rpartition("/")[0]
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r}); {program}"],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    here = digests(2, False)
    assert json.loads(result.stdout) == here
    assert all(len(set(texts)) > 1 for texts in here.values())
