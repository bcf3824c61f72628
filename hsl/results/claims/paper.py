"""The claims of Xiao et al., Are Sparse Neural Networks Better Hard Sample Learners?, BMVC 2024.

The paper prints directions and figures, no table, so the claims are directions. Methods are those of the
paper: SET with ERK, the others ranked over the whole network. "High" sparsity is 0.8 and more, "low" at most
0.5; "no worse" and "about as good" allow one percentage point; a share of the data may be off by 0.05.
"""

from hsl.results.claims.claim import Claim, Statement

PAPER = "Xiao et al., BMVC 2024, arXiv 2409.09196"
POINT = 0.01

SET = "(method = 'set' AND distribution = 'erk')"
SNIP, GMP, OMP, LTH = (
    f"(method = '{name}' AND distribution = 'global')" for name in ("snip", "gmp", "omp", "lth")
)
OMP_ERK = "(method = 'omp' AND distribution = 'erk')"
RANDOM = "(method = 'static' AND distribution = 'erk')"
UNIFORM = "(method = 'static' AND distribution = 'uniform')"
LEADERS = f"({SET} OR {SNIP})"
FOLLOWERS = f"({GMP} OR {OMP} OR {LTH})"
ALL = f"({LEADERS} OR {FOLLOWERS})"
HIGH, LOW = "sparsity >= 0.8", "sparsity <= 0.5"

BY_METHOD = ("regime_key", "method", "distribution")
BY_NETWORK = ("method", "distribution", "sparsity")


def _share(fraction: float) -> str:
    return f"fraction BETWEEN {fraction - 0.05:.2f} AND {fraction + 0.05:.2f} AND NOT label_noise"


def _hardest(fraction: float) -> str:
    """The hardest samples by EL2N, otherwise unchanged."""
    scored = "score IN ('el2n', 'el2n_squared') AND which = 'hardest'"
    return f"{scored} AND {_share(fraction)} AND severity = 0 AND attack IS NULL"


def _corrupted(severity: int, fraction: float) -> str:
    """Training and test damaged alike, of all data or a random part."""
    kept = f"score = 'random' AND {_share(fraction)}"
    return f"severity = {severity} AND corrupted = 'both' AND {kept} AND attack IS NULL"


def _attacked(fraction: float) -> str:
    """Adversarial training by PGD in the maximum norm, of all data or a random part."""
    kept = f"score = 'random' AND {_share(fraction)} AND severity = 0"
    return f"attack = 'pgd' AND norm = 'linf' AND {kept}"


HARD = (
    "NOT label_noise AND corrupted = 'both' AND norm = 'linf' AND (severity > 0 OR attack = 'pgd' OR "
    "(score IN ('el2n', 'el2n_squared') AND which = 'hardest' AND fraction < 1))"
)
"""Any of the kinds of hard data of the paper."""


def _adversarial(fraction: float, share: str) -> tuple[Statement, ...]:
    where, at = _attacked(fraction), "sparsity BETWEEN 0.85 AND 0.95"
    return (
        Statement(
            f"sparse networks are about as good as dense on clean data ({share})",
            where,
            f"{ALL} AND {at}",
            "within",
            measure="clean_gain",
            threshold=POINT,
        ),
        Statement(
            f"sparse networks are better than dense under attack ({share})", where, f"{ALL} AND {at}", "above"
        ),
        Statement(
            f"SET is better than the others under attack ({share})",
            where,
            f"{SET} AND {at}",
            "above",
            b=f"({SNIP} OR {FOLLOWERS}) AND {at}",
        ),
        Statement(
            f"LTH and OMP are worse than SET, SNIP and GMP under attack ({share})",
            where,
            f"({LTH} OR {OMP}) AND {at}",
            "below",
            b=f"({LEADERS} OR {GMP}) AND {at}",
        ),
    )


CLAIMS = (
    Claim(
        "C1",
        "Hardest half of the data by EL2N: most sparse networks match dense or beat it, SET and SNIP clearly "
        "at high sparsity, LTH declines",
        PAPER,
        (
            Statement(
                "sparse networks are no worse than dense", _hardest(0.5), ALL, "above", threshold=-POINT
            ),
            Statement(
                "SET and SNIP beat dense at high sparsity", _hardest(0.5), f"{LEADERS} AND {HIGH}", "above"
            ),
            Statement(
                "LTH gains less at high sparsity than at low",
                _hardest(0.5),
                f"{LTH} AND {HIGH}",
                "below",
                b=f"{LTH} AND {LOW}",
                alike=BY_METHOD,
            ),
        ),
    ),
    Claim(
        "C2",
        "Hardest 30 % of the data by EL2N: SET and SNIP beat dense at high sparsity",
        PAPER,
        (
            Statement(
                "SET and SNIP beat dense at high sparsity", _hardest(0.3), f"{LEADERS} AND {HIGH}", "above"
            ),
        ),
    ),
    Claim(
        "C3",
        "Hardest 20 % of the data by EL2N: SET beats dense, more so at high sparsity",
        f"{PAPER}, figure 3",
        (
            Statement("SET beats dense", _hardest(0.2), SET, "above"),
            Statement(
                "SET gains more at high sparsity than at low",
                _hardest(0.2),
                f"{SET} AND {HIGH}",
                "above",
                b=f"{SET} AND {LOW}",
                alike=BY_METHOD,
            ),
        ),
    ),
    Claim(
        "C4",
        "All data, corruption of severity 5: sparse networks gain mainly at low sparsity",
        PAPER,
        (
            Statement(
                "sparse networks beat dense at low sparsity", _corrupted(5, 1.0), f"{ALL} AND {LOW}", "above"
            ),
            Statement(
                "sparse networks gain more at low sparsity than at high",
                _corrupted(5, 1.0),
                f"{ALL} AND {LOW}",
                "above",
                b=f"{ALL} AND {HIGH}",
                alike=BY_METHOD,
            ),
            Statement(
                "LTH gains more at low sparsity than at high",
                _corrupted(5, 1.0),
                f"{LTH} AND {LOW}",
                "above",
                b=f"{LTH} AND {HIGH}",
                alike=BY_METHOD,
            ),
        ),
    ),
    Claim(
        "C5",
        "30 % of the data, corruption of severity 5: sparse networks gain at high sparsity, SET and SNIP lead",
        PAPER,
        (
            Statement(
                "sparse networks beat dense at high sparsity",
                _corrupted(5, 0.3),
                f"{ALL} AND {HIGH}",
                "above",
            ),
            Statement(
                "sparse networks gain more at high sparsity than at low",
                _corrupted(5, 0.3),
                f"{ALL} AND {HIGH}",
                "above",
                b=f"{ALL} AND {LOW}",
                alike=BY_METHOD,
            ),
            Statement(
                "SET and SNIP gain more than GMP, OMP and LTH",
                _corrupted(5, 0.3),
                f"{LEADERS} AND {HIGH}",
                "above",
                b=f"{FOLLOWERS} AND {HIGH}",
            ),
        ),
    ),
    Claim(
        "C6",
        "30 % of the data: no gain at severity 2, a clear one at severity 4, a smaller one at severity 6",
        f"{PAPER}, appendix B",
        (
            Statement(
                "sparse networks other than OMP are no better than dense at severity 2",
                _corrupted(2, 0.3),
                f"({LEADERS} OR {GMP} OR {LTH})",
                "below",
                threshold=POINT,
            ),
            Statement("sparse networks beat dense at severity 4", _corrupted(4, 0.3), ALL, "above"),
            Statement(
                "sparse networks gain more at severity 4 than at severity 2",
                f"(({_corrupted(4, 0.3)}) OR ({_corrupted(2, 0.3)}))",
                f"{ALL} AND severity = 4",
                "above",
                b=f"{ALL} AND severity = 2",
                alike=BY_NETWORK,
            ),
            Statement(
                "sparse networks gain less at severity 6 than at severity 4",
                f"(({_corrupted(6, 0.3)}) OR ({_corrupted(4, 0.3)}))",
                f"{ALL} AND severity = 6",
                "below",
                b=f"{ALL} AND severity = 4",
                alike=BY_NETWORK,
            ),
        ),
    ),
    Claim(
        "C7",
        "Adversarial training, 90 % sparsity: as good as dense on clean data and better under attack, SET "
        "best, LTH and OMP behind; with half of the data as well",
        f"{PAPER}, figure 6",
        (*_adversarial(1.0, "all data"), *_adversarial(0.5, "half of the data")),
    ),
    Claim(
        "C8",
        "SET and SNIP keep shallow layers denser than GMP, OMP and LTH; ERK is no worse than dense, uniform "
        "worst; OMP does well with sparse shallow layers, LTH does not",
        f"{PAPER}, section 4.2",
        (
            Statement(
                "SET and SNIP keep shallow layers denser than GMP, OMP and LTH",
                HARD,
                LEADERS,
                "above",
                b=FOLLOWERS,
                measure="shallow_excess",
            ),
            Statement(
                "OMP and random masks with ERK are no worse than dense",
                HARD,
                f"({OMP_ERK} OR {RANDOM})",
                "above",
                threshold=-POINT,
            ),
            Statement("random masks with uniform are worse than with ERK", HARD, UNIFORM, "below", b=RANDOM),
            Statement("OMP is no worse than dense", HARD, OMP, "above", threshold=-POINT),
            Statement("LTH is worse than OMP", HARD, LTH, "below", b=OMP),
        ),
    ),
    Claim(
        "C9",
        "LTH and OMP cost more training operations than dense, SET and SNIP far fewer",
        f"{PAPER}, figure 8",
        (
            Statement(
                "LTH and OMP cost more than dense",
                "true",
                f"({LTH} OR {OMP})",
                "above",
                measure="training_flops",
                threshold=1.0,
            ),
            Statement(
                "SET and SNIP cost less than half of dense at high sparsity",
                "true",
                f"{LEADERS} AND {HIGH}",
                "below",
                measure="training_flops",
                threshold=0.5,
            ),
        ),
    ),
)
"""In the order of the paper."""
