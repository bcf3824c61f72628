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
HIGH_LEADERS = f"{LEADERS} AND {HIGH}"

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


HARDEST_50, HARDEST_30, HARDEST_20 = (_hardest(fraction) for fraction in (0.5, 0.3, 0.2))
CORRUPTED_100, CORRUPTED_30 = _corrupted(5, 1.0), _corrupted(5, 0.3)
HARD = (
    "NOT label_noise AND corrupted = 'both' AND norm = 'linf' AND (severity > 0 OR attack = 'pgd' OR "
    "(score IN ('el2n', 'el2n_squared') AND which = 'hardest' AND fraction < 1))"
)
"""Any of the kinds of hard data of the paper."""


def _change(
    text: str,
    where: str,
    networks: str,
    direction: str,
    at: str,
    than: str,
    alike: tuple[str, ...] = BY_METHOD,
) -> Statement:
    """The same networks under two conditions: what they gain under the first, less what under the second."""
    return Statement(text, where, f"{networks} AND {at}", direction, b=f"{networks} AND {than}", alike=alike)


def _severities(amount: str, at: int, than: int, direction: str) -> Statement:
    text = f"sparse networks gain {amount} at severity {at} than at severity {than}"
    where = f"(({_corrupted(at, 0.3)}) OR ({_corrupted(than, 0.3)}))"
    return _change(text, where, ALL, direction, f"severity = {at}", f"severity = {than}", alike=BY_NETWORK)


def _adversarial(fraction: float, share: str) -> tuple[Statement, ...]:
    """The statements on adversarial training with a fraction of the data, at 90 % sparsity."""
    where, at = _attacked(fraction), "sparsity BETWEEN 0.85 AND 0.95"
    every, best, others = f"{ALL} AND {at}", f"{SET} AND {at}", f"({SNIP} OR {FOLLOWERS}) AND {at}"
    worse, better = f"({LTH} OR {OMP}) AND {at}", f"({LEADERS} OR {GMP}) AND {at}"
    clean = f"sparse networks are about as good as dense on clean data ({share})"
    behind = f"LTH and OMP are worse than SET, SNIP and GMP under attack ({share})"
    return (
        Statement(clean, where, every, "within", measure="clean_gain", threshold=POINT),
        Statement(f"sparse networks are better than dense under attack ({share})", where, every, "above"),
        Statement(f"SET is better than the others under attack ({share})", where, best, "above", b=others),
        Statement(behind, where, worse, "below", b=better),
    )


def _costs(text: str, networks: str, direction: str, bound: float) -> Statement:
    return Statement(text, "true", networks, direction, measure="training_flops", threshold=bound)


CLAIMS = (
    Claim(
        "C1",
        "Hardest half of the data by EL2N: most sparse networks match dense or beat it, SET and SNIP clearly "
        "at high sparsity, LTH declines",
        PAPER,
        (
            Statement("sparse networks are no worse than dense", HARDEST_50, ALL, "above", threshold=-POINT),
            Statement("SET and SNIP beat dense at high sparsity", HARDEST_50, HIGH_LEADERS, "above"),
            _change("LTH gains less at high sparsity than at low", HARDEST_50, LTH, "below", HIGH, LOW),
        ),
    ),
    Claim(
        "C2",
        "Hardest 30 % of the data by EL2N: SET and SNIP beat dense at high sparsity",
        PAPER,
        (Statement("SET and SNIP beat dense at high sparsity", HARDEST_30, HIGH_LEADERS, "above"),),
    ),
    Claim(
        "C3",
        "Hardest 20 % of the data by EL2N: SET beats dense, more so at high sparsity",
        f"{PAPER}, figure 3",
        (
            Statement("SET beats dense", HARDEST_20, SET, "above"),
            _change("SET gains more at high sparsity than at low", HARDEST_20, SET, "above", HIGH, LOW),
        ),
    ),
    Claim(
        "C4",
        "All data, corruption of severity 5: sparse networks gain mainly at low sparsity",
        PAPER,
        (
            Statement(
                "sparse networks beat dense at low sparsity", CORRUPTED_100, f"{ALL} AND {LOW}", "above"
            ),
            _change(
                "sparse networks gain more at low sparsity than at high",
                CORRUPTED_100,
                ALL,
                "above",
                LOW,
                HIGH,
            ),
            _change("LTH gains more at low sparsity than at high", CORRUPTED_100, LTH, "above", LOW, HIGH),
        ),
    ),
    Claim(
        "C5",
        "30 % of the data, corruption of severity 5: sparse networks gain at high sparsity, SET and SNIP lead",
        PAPER,
        (
            Statement(
                "sparse networks beat dense at high sparsity", CORRUPTED_30, f"{ALL} AND {HIGH}", "above"
            ),
            _change(
                "sparse networks gain more at high sparsity than at low",
                CORRUPTED_30,
                ALL,
                "above",
                HIGH,
                LOW,
            ),
            Statement(
                "SET and SNIP gain more than GMP, OMP and LTH",
                CORRUPTED_30,
                HIGH_LEADERS,
                "above",
                f"{FOLLOWERS} AND {HIGH}",
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
            _severities("more", 4, 2, "above"),
            _severities("less", 6, 4, "below"),
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
                FOLLOWERS,
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
            _costs("LTH and OMP cost more than dense", f"({LTH} OR {OMP})", "above", 1.0),
            _costs("SET and SNIP cost less than half of dense at high sparsity", HIGH_LEADERS, "below", 0.5),
        ),
    ),
)
"""In the order of the paper."""
