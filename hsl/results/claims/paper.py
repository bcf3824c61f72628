"""The claims of Xiao et al., Are Sparse Neural Networks Better Hard Sample Learners?, BMVC 2024.

The paper prints directions and figures, no table, so the claims are directions. Each names the networks and data sets,
the sparsities and the methods of its figures. Methods are those of the paper: SET with ERK, the others ranked over the
whole network. Its grid of sparsities is 10 to 90 %; "high" is 80 to 90 %, "low" 10 to 50 %. "No worse" and "about as
good" allow one percentage point; a share of the data may be off by 0.01.
"""

from collections.abc import Iterable

from hsl.results.claims.claim import Claim, Part, Setting, Statement

PAPER = "Xiao et al., BMVC 2024, arXiv 2409.09196"
POINT = 0.01

RESNET18 = Setting("resnet18", "cifar100")
RESNET34 = Setting("resnet34", "tiny-imagenet")
VGG19 = Setting("vgg19", "cifar100")
VGG16 = Setting("vgg16", "cifar10")

SET = Part("SET with erk", "(method = 'set' AND distribution = 'erk')")
SNIP, GMP, OMP, LTH = (
    Part(f"{name} with global", f"(method = '{name.lower()}' AND distribution = 'global')")
    for name in ("SNIP", "GMP", "OMP", "LTH")
)
OMP_ERK = Part("OMP with erk", "(method = 'omp' AND distribution = 'erk')")
RANDOM = Part("static with erk", "(method = 'static' AND distribution = 'erk')")
UNIFORM = Part("static with uniform", "(method = 'static' AND distribution = 'uniform')")
LEADERS, FOLLOWERS = (SET, SNIP), (GMP, OMP, LTH)
ALL = (*LEADERS, *FOLLOWERS)


def _levels(lowest: int, highest: int) -> Part:
    """Sparsities of a range in percent."""
    words = f"{lowest} to {highest} %" if lowest < highest else f"{lowest} %"
    return Part(
        f"at {words} sparsity", f"sparsity BETWEEN {lowest / 100 - 0.001} AND {highest / 100 + 0.001}"
    )


GRID, HIGH, LOW, SHOWN, NINETY = (
    _levels(*bounds) for bounds in ((10, 90), (80, 90), (10, 50), (70, 80), (90, 90))
)

BY_METHOD = ("regime_key", "method", "distribution")
BY_NETWORK = ("method", "distribution", "sparsity")


def _any(parts: Iterable[Part]) -> str:
    return f"({' OR '.join(part.sql for part in parts)})"


def _at(networks: Iterable[Part], level: Part) -> tuple[Part, ...]:
    return tuple(
        Part(f"{network.words} {level.words}", f"{network.sql} AND {level.sql}") for network in networks
    )


def _share(percent: int) -> Part:
    part = f"fraction BETWEEN {percent / 100 - 0.01:.2f} AND {percent / 100 + 0.01:.2f} AND NOT label_noise"
    return Part(f"{percent} % of the data", part)


def _hardest(percent: int) -> Part:
    """The hardest samples by EL2N, otherwise unchanged."""
    scored = "score IN ('el2n', 'el2n_squared') AND which = 'hardest'"
    sql = f"{scored} AND {_share(percent).sql} AND severity = 0 AND attack IS NULL"
    return Part(f"the hardest {percent} % by EL2N", sql)


def _corrupted(severity: int, percent: int) -> Part:
    """Training and test damaged alike by corruptions that the paper names, of all data or a random part."""
    kept = f"score = 'random' AND {_share(percent).sql}"
    named = "list_has_all(['gaussian_noise', 'impulse_noise', 'defocus_blur'], corruptions)"
    sql = f"severity = {severity} AND {named} AND corrupted = 'both' AND {kept} AND attack IS NULL"
    return Part(
        f"{percent} % of the data with Gaussian noise, impulse noise or defocus blur of severity {severity}",
        sql,
    )


def _attacked(percent: int) -> Part:
    """Adversarial training by PGD in the maximum norm, of all data or a random part."""
    kept = f"score = 'random' AND {_share(percent).sql} AND severity = 0"
    sql = f"attack = 'pgd' AND norm = 'linf' AND abs(255 * eps - 8) < 0.01 AND {kept}"
    return Part(f"{percent} % of the data under PGD of 8/255 in the maximum norm", sql)


def _either(*regimes: Part) -> Part:
    return Part(
        " or ".join(part.words for part in regimes), f"({' OR '.join(f'({r.sql})' for r in regimes)})"
    )


HARDEST_50, HARDEST_30, HARDEST_20 = (_hardest(percent) for percent in (50, 30, 20))
CORRUPTED_100, CORRUPTED_30 = _corrupted(5, 100), _corrupted(5, 30)
HARD = _either(HARDEST_50, HARDEST_30, CORRUPTED_100, CORRUPTED_30)


def _of(
    text: str,
    where: Part,
    networks: Iterable[Part],
    direction: str,
    level: Part = GRID,
    than: Iterable[Part] = (),
    **given: object,
) -> Statement:
    """A statement about all of some networks at some sparsities, against others at the same ones."""
    a, b = _at(networks, level), _at(than, level)
    return Statement(text, where, _any(a), direction, _any(b) if b else None, needs=(*a, *b), **given)  # type: ignore[arg-type]


def _change(
    text: str, where: Part, networks: Iterable[Part], direction: str, at: Part, than: Part
) -> Statement:
    """The same networks at two ranges of sparsity: what they gain in the first, less what in the second."""
    a, b = _at(networks, at), _at(networks, than)
    return Statement(text, where, _any(a), direction, _any(b), BY_METHOD, needs=(*a, *b))


def _severities(amount: str, at: int, than: int, direction: str) -> Statement:
    """All networks at two severities."""
    text = f"sparse networks gain {amount} at severity {at} than at severity {than}"
    networks = _at(ALL, GRID)
    a, b = ([Part(p.words, f"{p.sql} AND severity = {s}") for p in networks] for s in (at, than))
    both = _either(_corrupted(at, 30), _corrupted(than, 30))
    return Statement(text, both, _any(a), direction, _any(b), BY_NETWORK, needs=(*a, *b))


def _adversarial(percent: int, share: str) -> tuple[Statement, ...]:
    """The statements on adversarial training with a part of the data, at 90 % sparsity."""
    where, others = _attacked(percent), (SNIP, *FOLLOWERS)
    clean = f"sparse networks are about as good as dense on clean data ({share})"
    behind = f"LTH and OMP are worse than SET, SNIP and GMP under attack ({share})"
    return (
        _of(clean, where, ALL, "within", NINETY, measure="clean_gain", threshold=POINT),
        _of(f"sparse networks are better than dense under attack ({share})", where, ALL, "above", NINETY),
        _of(f"SET is better than the others under attack ({share})", where, (SET,), "above", NINETY, others),
        _of(behind, where, (LTH, OMP), "below", NINETY, (*LEADERS, GMP), settings=(RESNET18,)),
    )


def _costs(text: str, networks: Iterable[Part], direction: str, bound: float, level: Part) -> Statement:
    every = Part("any data", "true")
    return _of(text, every, networks, direction, level, measure="training_flops", threshold=bound)


CLAIMS = (
    Claim(
        "C1",
        "Hardest half of the data by EL2N: most sparse networks match dense or beat it, SET and SNIP clearly "
        "at high sparsity, LTH declines",
        PAPER,
        (
            _of(
                *("most of SET, SNIP, GMP, OMP and LTH are no worse than dense", HARDEST_50, ALL, "above"),
                threshold=-POINT,
                is_of_most=True,
            ),
            _of("SET and SNIP beat dense at high sparsity", HARDEST_50, LEADERS, "above", HIGH),
            _change("LTH gains less at high sparsity than at low", HARDEST_50, (LTH,), "below", HIGH, LOW),
        ),
        (RESNET18, RESNET34),
    ),
    Claim(
        "C2",
        "Hardest 30 % of the data by EL2N: SET and SNIP beat dense at high sparsity",
        PAPER,
        (_of("SET and SNIP beat dense at high sparsity", HARDEST_30, LEADERS, "above", HIGH),),
        (RESNET18, RESNET34),
    ),
    Claim(
        "C3",
        "Hardest 20 % of the data by EL2N: SET beats dense, more so at high sparsity",
        f"{PAPER}, figure 3",
        (
            _of("SET beats dense", HARDEST_20, (SET,), "above"),
            _change("SET gains more at high sparsity than at low", HARDEST_20, (SET,), "above", HIGH, LOW),
        ),
        (RESNET18,),
    ),
    Claim(
        "C4",
        "All data, corruption of severity 5: sparse networks gain mainly at low sparsity",
        PAPER,
        (
            _of("sparse networks beat dense at low sparsity", CORRUPTED_100, ALL, "above", LOW),
            _change(
                *("sparse networks gain more at low sparsity than at high", CORRUPTED_100, ALL, "above"),
                *(LOW, HIGH),
            ),
            _change("LTH gains more at low sparsity than at high", CORRUPTED_100, (LTH,), "above", LOW, HIGH),
        ),
        (RESNET18, VGG19, RESNET34),
    ),
    Claim(
        "C5",
        "30 % of the data, corruption of severity 5: sparse networks gain at high sparsity, SET and SNIP lead",
        PAPER,
        (
            _of("sparse networks beat dense at high sparsity", CORRUPTED_30, ALL, "above", HIGH),
            _change(
                *("sparse networks gain more at high sparsity than at low", CORRUPTED_30, ALL, "above"),
                *(HIGH, LOW),
            ),
            _of(
                *("SET and SNIP gain more than GMP, OMP and LTH", CORRUPTED_30, LEADERS, "above"),
                *(HIGH, FOLLOWERS),
            ),
        ),
        (RESNET18, VGG19, RESNET34),
    ),
    Claim(
        "C6",
        "30 % of the data: no gain at severity 2, a clear one at severity 4, a smaller one at severity 6",
        f"{PAPER}, appendix B",
        (
            _of(
                *("sparse networks other than OMP are no better than dense at severity 2", _corrupted(2, 30)),
                *((*LEADERS, GMP, LTH), "below"),
                threshold=POINT,
            ),
            _of("sparse networks beat dense at severity 4", _corrupted(4, 30), ALL, "above"),
            _severities("more", 4, 2, "above"),
            _severities("less", 6, 4, "below"),
        ),
        (RESNET18, VGG19, RESNET34),
    ),
    Claim(
        "C7",
        "Adversarial training, 90 % sparsity: as good as dense on clean data and better under attack, SET "
        "best, on CIFAR-100 LTH and OMP behind; with half of the data as well",
        f"{PAPER}, figure 6",
        (*_adversarial(100, "all data"), *_adversarial(50, "half of the data")),
        (RESNET18, VGG16),
    ),
    Claim(
        "C8",
        "SET and SNIP keep shallow layers denser than GMP, OMP and LTH; ERK is no worse than dense, uniform "
        "worst; OMP does well with sparse shallow layers, LTH does not",
        f"{PAPER}, section 4.2",
        (
            _of(
                *("SET and SNIP keep shallow layers denser than GMP, OMP and LTH", HARD, LEADERS, "above"),
                *(SHOWN, FOLLOWERS),
                measure="shallow_excess",
            ),
            _of(
                *("OMP and random masks with ERK are no worse than dense", HARD, (OMP_ERK, RANDOM), "above"),
                threshold=-POINT,
            ),
            _of(
                *("random masks with uniform are worse than with ERK", HARD, (UNIFORM,), "below"),
                than=(RANDOM,),
            ),
            _of("OMP is no worse than dense", HARD, (OMP,), "above", threshold=-POINT),
            _of("LTH is worse than OMP", HARD, (LTH,), "below", than=(OMP,)),
        ),
        (RESNET18,),
    ),
    Claim(
        "C9",
        "LTH and OMP cost more training operations than dense, SET and SNIP far fewer",
        f"{PAPER}, figure 8",
        (
            _costs("LTH and OMP cost more than dense", (LTH, OMP), "above", 1.0, GRID),
            _costs("SET and SNIP cost less than half of dense at high sparsity", LEADERS, "below", 0.5, HIGH),
        ),
        (RESNET18,),
    ),
)
"""In the order of the paper."""
