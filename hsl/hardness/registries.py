"""Names of everything a regime is made of. A new entry is one function and one line here.

Listing names imports no torch: entries are references that are resolved on first use. The docstring of a
registry has the parameters and the result of its entries, and what they have in common.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hsl.registry import Call, Entry, Registry, Wanted, called


@dataclass(frozen=True)
class ScoreFacts:
    """Input and output of a score.

    Attributes:
        recorded: What is recorded for it: the ``logits`` of a trained model, a ``trajectory`` over its training,
            its ``features``, or its ``gradients``.
        arguments: Positional arguments of the function. ``logits`` float [N, C]; ``labels`` int64 [N];
            ``features`` float [N, D]; ``model`` and ``images`` float [N, C, H, W] in [0, 1]. Of a trajectory one
            of ``correct`` bool [T, N], ``margins`` and ``probabilities`` float [T, N], each recorded by the
            function of that name in `hsl.hardness.scores.trajectories`.
        options: Keyword arguments: ``ids`` int64 [N]; ``bias`` bool, whether the last layer has one; ``dtype``, float64
            or float32, in which to compute.
        least_epochs: Epochs that a trajectory must have at least.
        is_signed: Whether it can be negative.
        ranks: Whether it says anything about a sample; a random order does not, and needs no model.
    """

    recorded: Literal["logits", "trajectory", "features", "gradients"] = "logits"
    arguments: tuple[str, ...] = ("logits", "labels")
    options: tuple[str, ...] = ()
    least_epochs: int = 1
    is_signed: bool = False
    ranks: bool = True


def _logits(score: str, **more: Any) -> Entry[ScoreFacts]:
    return Entry(f"hsl.hardness.scores.logits:{score}", ScoreFacts(options=("dtype",), **more))


def _trajectory(score: str, quantity: str, **more: Any) -> Entry[ScoreFacts]:
    facts = ScoreFacts("trajectory", (quantity,), **more)
    return Entry(f"hsl.hardness.scores.trajectories:{score}", facts)


def _gradients(score: str, *facts: Any) -> Entry[ScoreFacts]:
    return Entry(f"hsl.hardness.scores.gradients:{score}", ScoreFacts(*facts))


SCORES: Registry[Callable[..., Any], ScoreFacts] = Registry(
    "score",
    {
        "aum": _trajectory("aum", "margins", is_signed=True),
        "confidence": _logits("confidence"),
        "datamap_confidence": _trajectory("datamap_confidence", "probabilities"),
        "datamap_variability": _trajectory("datamap_variability", "probabilities", least_epochs=2),
        "el2n": _logits("el2n"),
        "el2n_squared": _logits("el2n_squared"),
        "entropy": _logits("entropy"),
        "forgetting": _trajectory("forgetting", "correct", least_epochs=2),
        "grand": _gradients("grand", "gradients", ("model", "images", "labels"), ("dtype",)),
        "grand_last": _gradients(
            "grand_last", "features", ("logits", "labels", "features"), ("bias", "dtype")
        ),
        "learning_speed": _trajectory("learning_speed", "correct", options=("dtype",)),
        "loss": _logits("loss"),
        "margin": _logits("margin", is_signed=True),
        "prototypicality": _gradients("prototypicality", "features", ("features", "labels")),
        "random": Entry("hsl.hardness.scores.logits:random", ScoreFacts(options=("ids",), ranks=False)),
    },
    ScoreFacts(),
    wanted=Wanted(call=lambda facts: Call(facts.arguments, facts.options)),
)
"""Arguments and options that the facts name -> difficulty float64 or float32 [N], higher = harder."""


@dataclass(frozen=True)
class SelectionFacts:
    """Input of a selection.

    Attributes:
        reads_scores: Whether it looks at the scores.
        options: Keyword arguments and their defaults; None for one that must be given.
        takes_signed: Whether scores may be negative.
        has_weights: Whether it draws by weights that can be too small for double precision; it takes `underflow`, which
            says whether these are 0, as in version 0.1.0.
    """

    reads_scores: bool = True
    options: Mapping[str, float | None] = field(default_factory=dict)
    takes_signed: bool = True
    has_weights: bool = False

    @property
    def keywords(self) -> tuple[str, ...]:
        """All keyword arguments."""
        return (*self.options, *(["underflow"] if self.has_weights else []))


def _selection(function: str, **facts: Any) -> Entry[SelectionFacts]:
    return Entry(f"hsl.hardness.orders:{function}", SelectionFacts(**facts))


SELECTIONS: Registry[Callable[..., Any], SelectionFacts] = Registry(
    "selection",
    {
        "easiest": "hsl.hardness.orders:easiest",
        "hardest": "hsl.hardness.orders:hardest",
        "middle": "hsl.hardness.orders:middle",
        "probabilistic": _selection(
            "probabilistic", options={"power": 1.0}, takes_signed=False, has_weights=True
        ),
        "random": _selection("shuffled", reads_scores=False),
        "stratified": _selection("stratified", options={"mislabel_cut": 0.0}),
        "window": _selection("window", options={"offset": None}),
    },
    SelectionFacts(),
    wanted=Wanted(call=lambda facts: Call(("scores", "ids", "key"), facts.keywords)),
)
"""(scores floating point [N], ids int64 [N], key int, **options) -> positions int64 [N], the first to keep first.
Ids are all different; `key` is the stream of the draws. Samples are given in random order: equally hard ones stay in
it (a stable sort), and are not ordered by id, which counts them as they are stored."""

LABEL_NOISES: Registry[Callable[..., Any], None] = Registry(
    "label noise",
    {
        "asymmetric": "hsl.hardness.label_noise:asymmetric",
        "pair": "hsl.hardness.label_noise:pair",
        "permutation": "hsl.hardness.label_noise:permutation",
        "symmetric": "hsl.hardness.label_noise:symmetric",
    },
    wanted=called("labels", "ids", "rate", "classes", "key"),
)
"""(labels int64 [N] in [0, classes), ids int64 [N], rate, classes, key) -> (labels int64 [N], is_wrong bool
[N]); `asymmetric` takes ``mapping`` as well, pairs of classes."""


@dataclass(frozen=True)
class CorruptionFacts:
    """Images for which a corruption is defined.

    Streaks, flakes, drops, textures and displacements have sizes in pixels: on an image of 8 x 8 they would cover
    everything.

    Attributes:
        least_side: Shorter side in pixels from which on it is defined.
        channels: Numbers of channels for which it is defined; empty for any.
        is_random: Whether it draws at random, so that drawing again in every epoch changes something.
        severities: Highest severity on images of 32 and of 64 pixels.
    """

    least_side: int = 1
    channels: tuple[int, ...] = ()
    is_random: bool = True
    severities: tuple[int, int] = (6, 6)


def _corruption(
    function: str,
    least_side: int,
    channels: tuple[int, ...] = (),
    *,
    is_random: bool = True,
    severities: tuple[int, int] = (5, 5),
) -> Entry[CorruptionFacts]:
    facts = CorruptionFacts(least_side, channels, is_random, severities)
    return Entry(f"hsl.hardness.corruptions.{function}", facts)


_GREY_OR_RGB = (1, 3)

CORRUPTIONS: Registry[Callable[..., Any], CorruptionFacts] = Registry(
    "corruption",
    {
        "brightness": _corruption("digital:brightness", 1, is_random=False, severities=(6, 6)),
        "contrast": _corruption("digital:contrast", 1, is_random=False, severities=(6, 5)),
        "defocus_blur": _corruption("blur:defocus_blur", 8, is_random=False, severities=(6, 6)),
        "elastic_transform": _corruption("blur:elastic_transform", 16),
        "fog": _corruption("weather:fog", 16),
        "frost_procedural": _corruption("weather:frost_procedural", 16, _GREY_OR_RGB),
        "gaussian_blur": _corruption("blur:gaussian_blur", 8, is_random=False, severities=(6, 6)),
        "gaussian_noise": _corruption("noise:gaussian_noise", 1, severities=(6, 6)),
        "glass_blur": _corruption("blur:glass_blur", 16),
        "impulse_noise": _corruption("noise:impulse_noise", 1, severities=(6, 6)),
        "jpeg_compression": _corruption("digital:jpeg_compression", 8, _GREY_OR_RGB, is_random=False),
        "motion_blur": _corruption("blur:motion_blur", 16),
        "pixelate": _corruption("digital:pixelate", 8, is_random=False),
        "saturate": _corruption("digital:saturate", 1, (3,), is_random=False),
        "shot_noise": _corruption("noise:shot_noise", 1, severities=(6, 6)),
        "snow": _corruption("weather:snow", 16, _GREY_OR_RGB),
        "spatter": _corruption("spatter:spatter", 16, _GREY_OR_RGB),
        "speckle_noise": _corruption("noise:speckle_noise", 1, severities=(6, 6)),
        "zoom_blur": _corruption("blur:zoom_blur", 16, is_random=False),
    },
    CorruptionFacts(),
    wanted=called("pixels", "ids", "severity", "key"),
)
"""(pixels float32 [B, C, H, W] in [0, 255], ids int64 [B], severity, key int) -> pixels float32 or float64
[B, C, H, W], not yet clipped. The severity is 1 to 5, or 6 where the facts say so; `key` is the stream of the
draws. Entries that draw nothing at random read neither ids nor key."""


@dataclass(frozen=True)
class AttackFacts:
    """Fixed settings and cost of an attack or an adversarial training.

    Attributes:
        fixed: Settings of a regime's attack that it cannot change.
        advice: Message where another setting was given.
        step_over_eps: Default step over eps; None for the default of the norm.
        eval_reach: Where evaluation has a step of its own: length of all steps together, over eps.
        options: Settings of its own, with the values of its authors.
        loss_passes: Forward-backward passes of its loss in one training step.
        is_attacked: Whether training samples are attacked, step by step, before its loss.
    """

    fixed: Mapping[str, object] = field(default_factory=dict)
    advice: str = ""
    step_over_eps: float | None = None
    eval_reach: float | None = None
    options: Mapping[str, float | str] = field(default_factory=dict)
    loss_passes: float = 1.0
    is_attacked: bool = True


_FGSM_RS = AttackFacts(
    {"norm": "linf", "steps": 1, "random_start": True},
    "fgsm_rs is one step in linf from a random start; leave the others out, or use pgd",
    step_over_eps=1.25,
)
_PGD_DIVERGENCE = AttackFacts(
    {"random_start": True}, "pgd_divergence has no gradient at the image; leave random_start out"
)
_FREE = AttackFacts(
    {"steps": 1, "bn_mode": "eval"},
    "free attacks by the gradients of its own training steps; leave steps and bn_mode out",
    step_over_eps=1.0,
    eval_reach=2.5,
    options={"replays": 8, "at_bounds": "moved"},
    is_attacked=False,
)

ATTACKS: Registry[Callable[..., Any], AttackFacts] = Registry(
    "attack",
    {
        "fgsm_rs": Entry("hsl.hardness.attacks.attacks:fgsm_rs", _FGSM_RS),
        "pgd": "hsl.hardness.attacks.attacks:pgd",
        "pgd_divergence": Entry("hsl.hardness.attacks.attacks:pgd_divergence", _PGD_DIVERGENCE),
        "pgd_margin": "hsl.hardness.attacks.attacks:pgd_margin",
    },
    AttackFacts(),
    wanted=called("model", "images", "labels", keywords=("eps", "step", "steps", "norm", "start", "bn_mode")),
)
"""(model, images, labels, *, eps, step, steps, norm, start, bn_mode) -> images float32 [B, C, H, W] in [0, 1],
nowhere further than eps from the given ones; `hsl.hardness.attacks.attacks.pgd` describes the parameters."""

TRAININGS: Registry[Callable[..., Any], AttackFacts] = Registry(
    "adversarial training",
    {
        "free": Entry("hsl.hardness.attacks.adversarial:Free", _FREE),
        "mart": Entry(
            "hsl.hardness.attacks.adversarial:Mart", AttackFacts(options={"beta": 5.0}, loss_passes=2)
        ),
        # One more forward computation, a third of a pass.
        "trades": Entry(
            "hsl.hardness.attacks.adversarial:Trades",
            AttackFacts(options={"beta": 6.0}, loss_passes=2 + 1 / 3),
        ),
    },
    AttackFacts(),
    wanted=called("attack", "seed"),
)
"""Trainings with a loss of their own, by the names that a regime's attack may have besides `ATTACKS`:
(attack, seed) -> `hsl.hardness.attacks.adversarial.TrainingLoss`."""


def attack_facts(name: str) -> AttackFacts:
    """Facts of an attack or an adversarial training."""
    return TRAININGS.facts(name) if name in TRAININGS else ATTACKS.facts(name)


@dataclass(frozen=True)
class RobustFacts:
    """Cost and requirements of a measure of robustness.

    Attributes:
        passes: Passes per sample, if it stays right to the end.
        package: A package that it needs; empty for none.
        extra: The extra of hsl that installs it.
    """

    passes: float = 20.0
    package: str = ""
    extra: str = ""


ROBUST: Registry[Callable[..., Any], RobustFacts] = Registry(
    "robustness measure",
    {
        # 100 steps of APGD, 9 x 100 each of targeted APGD and FAB, 5,000 forward computations of Square.
        "autoattack": Entry(
            "hsl.hardness.attacks.autoattack:autoattack", RobustFacts(3_600.0, "pyautoattack", "autoattack")
        ),
        "fgsm": Entry("hsl.hardness.attacks.robustness:fgsm", RobustFacts(1.0)),
        "margin": Entry("hsl.hardness.attacks.robustness:margin", RobustFacts(50.0)),
        "pgd20": Entry("hsl.hardness.attacks.robustness:pgd20", RobustFacts(20.0)),
        "pgd50x10": Entry("hsl.hardness.attacks.robustness:pgd50x10", RobustFacts(500.0)),
    },
    RobustFacts(),
    wanted=called("model", "images", "labels", "ids", keywords=("eps", "norm", "seed")),
)
"""(model, images float32 [B, C, H, W] in [0, 1], labels int64 [B], ids int64 [B], *, eps, norm, seed) -> bool
[B]: which images are classified right, untouched and attacked; `hsl.hardness.attacks.robustness.still_right`
runs them on any number of images and describes the parameters."""
