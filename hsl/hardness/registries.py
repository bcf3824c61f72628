"""Names of everything a regime is made of. A new entry is one function and one line here.

Listing names imports no torch: entries are references that are resolved on first use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hsl.registry import Registry

SCORES: Registry[Callable[..., Any]] = Registry(
    "score",
    {
        "aum": "hsl.hardness.scores.trajectories:aum",
        "confidence": "hsl.hardness.scores.logits:confidence",
        "datamap_confidence": "hsl.hardness.scores.trajectories:datamap_confidence",
        "datamap_variability": "hsl.hardness.scores.trajectories:datamap_variability",
        "el2n": "hsl.hardness.scores.logits:el2n",
        "el2n_squared": "hsl.hardness.scores.logits:el2n_squared",
        "entropy": "hsl.hardness.scores.logits:entropy",
        "forgetting": "hsl.hardness.scores.trajectories:forgetting",
        "grand": "hsl.hardness.scores.gradients:grand",
        "grand_last": "hsl.hardness.scores.gradients:grand_last",
        "learning_speed": "hsl.hardness.scores.trajectories:learning_speed",
        "loss": "hsl.hardness.scores.logits:loss",
        "margin": "hsl.hardness.scores.logits:margin",
        "prototypicality": "hsl.hardness.scores.gradients:prototypicality",
        "random": "hsl.hardness.scores.logits:random",
    },
)
"""What `SCORE_INPUTS` says -> difficulty float32 [N], higher = harder."""


@dataclass(frozen=True)
class ScoreInput:
    """What a score is computed from.

    Attributes:
        kind: What has to be recorded: the ``logits`` of a trained model, a ``trajectory`` over its training,
            its ``features``, or its ``gradients``.
        arguments: Positional arguments of the function. ``logits`` float [N, C]; ``labels`` int64 [N];
            ``features`` float [N, D]; ``model`` and ``images`` float [N, C, H, W] in [0, 1]; ``correct`` bool
            [T, N], ``margins`` and ``probabilities`` float [T, N], each recorded by the function of that name
            in `hsl.hardness.scores.trajectories`.
    """

    kind: Literal["logits", "trajectory", "features", "gradients"]
    arguments: tuple[str, ...]


_LOGITS = ScoreInput("logits", ("logits", "labels"))
_CORRECT, _MARGINS, _PROBABILITIES = (
    ScoreInput("trajectory", (quantity,)) for quantity in ("correct", "margins", "probabilities")
)

SCORE_INPUTS: dict[str, ScoreInput] = {
    "aum": _MARGINS,
    "confidence": _LOGITS,
    "datamap_confidence": _PROBABILITIES,
    "datamap_variability": _PROBABILITIES,
    "el2n": _LOGITS,
    "el2n_squared": _LOGITS,
    "entropy": _LOGITS,
    "forgetting": _CORRECT,
    "grand": ScoreInput("gradients", ("model", "images", "labels")),
    "grand_last": ScoreInput("features", ("logits", "labels", "features")),
    "learning_speed": _CORRECT,
    "loss": _LOGITS,
    "margin": _LOGITS,
    "prototypicality": ScoreInput("features", ("features", "labels")),
    "random": _LOGITS,
}
"""What each score is computed from; plug-ins take logits and labels."""


def input_of(score: str) -> ScoreInput:
    """What a score is computed from, plug-ins included."""
    return SCORE_INPUTS.get(score, _LOGITS)


LOOKS = {"datamap_variability": 2, "forgetting": 2}
"""Epochs that a trajectory must have at least, where one alone says nothing."""

SIGNED_SCORES = frozenset({"aum", "margin"})
"""Scores that can be negative."""

SELECTIONS: Registry[Callable[..., Any]] = Registry(
    "selection",
    {
        "easiest": "hsl.hardness.orders:easiest",
        "hardest": "hsl.hardness.orders:hardest",
        "middle": "hsl.hardness.orders:middle",
        "probabilistic": "hsl.hardness.orders:probabilistic",
        "random": "hsl.hardness.orders:shuffled",
        "stratified": "hsl.hardness.orders:stratified",
        "window": "hsl.hardness.orders:window",
    },
)
"""(scores float32 [N], ids int64 [N], key int, **options) -> positions int64 [N], the first to keep first."""

LABEL_NOISES: Registry[Callable[..., Any]] = Registry(
    "label noise",
    {
        "asymmetric": "hsl.hardness.label_noise:asymmetric",
        "pair": "hsl.hardness.label_noise:pair",
        "permutation": "hsl.hardness.label_noise:permutation",
        "symmetric": "hsl.hardness.label_noise:symmetric",
    },
)
"""(labels int64 [N], ids int64 [N], rate, classes, key) -> (labels int64 [N], is_wrong bool [N]);
`asymmetric` takes ``mapping`` as well, pairs of classes."""

CORRUPTIONS: Registry[Callable[..., Any]] = Registry(
    "corruption",
    {
        "brightness": "hsl.hardness.corruptions.digital:brightness",
        "contrast": "hsl.hardness.corruptions.digital:contrast",
        "defocus_blur": "hsl.hardness.corruptions.blur:defocus_blur",
        "elastic_transform": "hsl.hardness.corruptions.blur:elastic_transform",
        "fog": "hsl.hardness.corruptions.weather:fog",
        "frost_procedural": "hsl.hardness.corruptions.weather:frost_procedural",
        "gaussian_blur": "hsl.hardness.corruptions.blur:gaussian_blur",
        "gaussian_noise": "hsl.hardness.corruptions.noise:gaussian_noise",
        "glass_blur": "hsl.hardness.corruptions.blur:glass_blur",
        "impulse_noise": "hsl.hardness.corruptions.noise:impulse_noise",
        "jpeg_compression": "hsl.hardness.corruptions.digital:jpeg_compression",
        "motion_blur": "hsl.hardness.corruptions.blur:motion_blur",
        "pixelate": "hsl.hardness.corruptions.digital:pixelate",
        "saturate": "hsl.hardness.corruptions.digital:saturate",
        "shot_noise": "hsl.hardness.corruptions.noise:shot_noise",
        "snow": "hsl.hardness.corruptions.weather:snow",
        "spatter": "hsl.hardness.corruptions.spatter:spatter",
        "speckle_noise": "hsl.hardness.corruptions.noise:speckle_noise",
        "zoom_blur": "hsl.hardness.corruptions.blur:zoom_blur",
    },
)
"""(pixels float32 [B, C, H, W] in [0, 255], ids int64 [B], severity 1..6, key int) -> pixels, not yet
clipped."""

DETERMINISTIC_CORRUPTIONS = frozenset(
    {
        "brightness",
        "contrast",
        "defocus_blur",
        "gaussian_blur",
        "jpeg_compression",
        "pixelate",
        "saturate",
        "zoom_blur",
    }
)
"""Corruptions that draw nothing at random: to draw them anew every epoch would change nothing."""

ATTACKS: Registry[Callable[..., Any]] = Registry(
    "attack",
    {
        "fgsm_rs": "hsl.hardness.attacks.attacks:fgsm_rs",
        "pgd": "hsl.hardness.attacks.attacks:pgd",
        "pgd_divergence": "hsl.hardness.attacks.attacks:pgd_divergence",
        "pgd_margin": "hsl.hardness.attacks.attacks:pgd_margin",
    },
)
"""(model, images, labels, *, eps, step, steps, norm, start, bn_mode) -> images float32 [B, C, H, W]."""

TRAININGS: Registry[Callable[..., Any]] = Registry(
    "adversarial training",
    {
        "free": "hsl.hardness.attacks.adversarial:Free",
        "mart": "hsl.hardness.attacks.adversarial:Mart",
        "trades": "hsl.hardness.attacks.adversarial:Trades",
    },
)
"""Trainings with a loss of their own, by the names that a regime's attack may have besides `ATTACKS`:
(attack, seed) -> `hsl.hardness.attacks.adversarial.TrainingLoss`."""

ROBUST: Registry[Callable[..., Any]] = Registry(
    "robustness measure",
    {
        "autoattack": "hsl.hardness.attacks.autoattack:autoattack",
        "fgsm": "hsl.hardness.attacks.robustness:fgsm",
        "margin": "hsl.hardness.attacks.robustness:margin",
        "pgd20": "hsl.hardness.attacks.robustness:pgd20",
        "pgd50x10": "hsl.hardness.attacks.robustness:pgd50x10",
    },
)
"""(model, images float32 [B, C, H, W] in [0, 1], labels int64 [B], ids int64 [B], *, eps, norm, seed) -> bool
[B]: whether each image is still classified right; `hsl.hardness.attacks.robustness.still_right` runs them on any
number of images."""
