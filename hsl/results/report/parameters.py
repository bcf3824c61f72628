"""Which tuned parameters matter, by Optuna's functional ANOVA, and what each value reached."""

import json
import math
import sys
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hsl.results.report.evidence import Evidence, Values
from hsl.results.report.structs import Cell, Figure, Panel, Section, Table
from hsl.results.shaping import grouped
from hsl.results.show.phrases import first_panels, listed, scaled
from hsl.store.documents import mapping
from hsl.wording import count

HEADING = "Tuned parameters"
MIN_TRIALS = 30
"""Fewer trials make a regression of the objective on the parameters arbitrary."""
MAX_TRIALS = 400
"""Trials drawn in a panel, chosen by a hash."""
MAX_ANALYSED = 150
"""Trials of one analysis of variance, also chosen by a hash."""
MAX_STUDIES = 4
"""Analyses, as each takes a second."""
FORESTS = 3
TREES, DEPTH = 16, 8
"""Of each forest: four times as many deeper trees move no share by more than 0.03."""
NEAR = 0.01
"""A trial this close to the best of its cell counts as good."""
MIN_CHOSEN = 3
"""A choice with fewer trials is not called the best one."""

_TRIALS = """
SELECT {settings}, cell, trial_id, method, parameters, objective,
  objective - avg(objective) OVER everyone AS effect, objective - max(objective) OVER everyone AS gap
FROM labelled WHERE stage = 'search' AND status = 'completed' AND NOT baseline AND objective BETWEEN 0 AND 1
WINDOW everyone AS (PARTITION BY cell) ORDER BY md5(trial_id)
"""

Samples = Sequence[tuple[Mapping[str, Any], float]]
"""Parameters and value of trials."""


def section(evidence: Evidence) -> Section:
    """The section of both figures, or what it lacks."""
    rows = evidence.in_order(evidence.rows(_TRIALS.format(settings=evidence.setting_sql)))
    trials = [{**row, "parameters": mapping(row, "trials", "parameters")} for row in rows]
    studies = {name: found for name, found in _studies(evidence, trials).items() if found}
    figures = [_importance(studies)] if studies else []
    lacking = (
        f"Importance needs {MIN_TRIALS} sparse trials of the search that were trained to the end and differ in "
        f"their parameters; there are {len(trials)}."
    )
    tuned = [
        name
        for name in _names(trials)
        if len({_label(row["parameters"][name]) for row in trials if name in row["parameters"]}) > 1
    ]
    if tuned:
        figures.append(_slices(evidence, trials, tuned))
    return Section("parameters", HEADING, figures=tuple(figures), missing=() if studies else (lacking,))


def importances(samples: Samples) -> dict[str, list[float]]:
    """Share of the variance of the values that each parameter explains, alone and with others.

    Optuna's functional ANOVA (Hutter et al., ICML 2014) on random forests with fixed seeds. Parameters that
    some trial does not have, or that have one value, are left out.

    Args:
        samples: Parameters and value of every trial.

    Returns:
        Parameter to its importance in each forest; empty with fewer than `MIN_TRIALS` trials, without
        parameters, or where all values are equal.
    """
    there = sorted({name for parameters, _ in samples for name in parameters})
    names = [name for name in there if all(name in parameters for parameters, _ in samples)]
    domains = {name: [parameters[name] for parameters, _ in samples] for name in names}
    varied = {name: values for name, values in domains.items() if len({_label(v) for v in values}) > 1}
    values = [value for _, value in samples]
    if len(samples) < MIN_TRIALS or not varied or max(values) - min(values) < 1e-9:
        return {}
    return _evaluated(_study(varied, values), list(varied))


def _study(domains: Mapping[str, list[Any]], values: Sequence[float]) -> Any:
    """The trials as an Optuna study."""
    import optuna  # noqa: PLC0415 (slow to import)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    numeric = {name for name, found in domains.items() if all(map(_is_number, found))}
    distributions = {
        name: _float_distribution(found)
        if name in numeric
        else optuna.distributions.CategoricalDistribution(sorted({_label(value) for value in found}))
        for name, found in domains.items()
    }
    study = optuna.create_study(direction="maximize")
    for index, value in enumerate(values):
        parameters = {
            name: float(found[index]) if name in numeric else _label(found[index])
            for name, found in domains.items()
        }
        study.add_trial(
            optuna.trial.create_trial(params=parameters, distributions=distributions, value=value)
        )
    return study


def _float_distribution(values: Sequence[float]) -> Any:
    from optuna.distributions import FloatDistribution  # noqa: PLC0415 (slow to import)

    return FloatDistribution(float(min(values)), float(max(values)), log=_is_logarithmic(values))


def _evaluated(study: Any, names: Sequence[str]) -> dict[str, list[float]]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances  # noqa: PLC0415 (slow)

    found: dict[str, list[float]] = {name: [] for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(FORESTS):
            evaluator = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=seed)
            for name, share in get_param_importances(study, evaluator=evaluator, params=list(names)).items():
                found[name].append(float(share))
    return dict(sorted(found.items(), key=lambda item: -fmean(item[1])))


def _studies(evidence: Evidence, trials: Sequence[Values]) -> dict[str, tuple[int, dict[str, list[float]]]]:
    """Number of trials and importances, over everything and per setting."""
    groups = grouped(trials, evidence.setting)
    if len(groups) > 1:
        groups = {f"all {evidence.noun}s": list(trials), **groups}
    studies: dict[str, tuple[int, dict[str, list[float]]]] = {}
    for name in groups:
        sample = _sample(groups[name], MAX_ANALYSED) if len(studies) < MAX_STUDIES else []
        found = importances([(row["parameters"], row["effect"]) for row in sample])
        if found:
            studies[name] = (len(sample), found)
    return studies


def _sample(rows: Sequence[Values], most: int) -> Sequence[Values]:
    """Rows evenly out of all: these are ordered by setting, and by a hash of the trial within a setting."""
    return rows[:: max(1, math.ceil(len(rows) / most))]


def _importance(studies: Mapping[str, tuple[int, dict[str, list[float]]]]) -> Figure:
    first, (_, found) = next(iter(studies.items()))
    top, shares = next(iter(found.items()))
    names = list(dict.fromkeys(name for _, found in studies.values() for name in found))
    return Figure(
        name="importance",
        title=f"Over {first}, {top} matters most: {100 * fmean(shares):.0f} % of the explained variance",
        subtitle="Share of the variance of the validation objective within cells that a parameter explains",
        caption=(
            f"Optuna's functional ANOVA on random forests: bars are the mean of {FORESTS} forests, whiskers their "
            "range. Only trials of the search that were trained to the end; of each the mean of its cell is "
            "subtracted, so that factors play no part. Parameters that only some methods have are "
            f"left out. At most {MAX_STUDIES} parts, at most {MAX_ANALYSED} trials each. Search favours good "
            "values, so importance is of the region that was searched."
        ),
        panels=tuple(
            Panel(f"{name} (n={n:,})", tuple(_bar(name, shares) for name, shares in found.items()))
            for name, (n, found) in studies.items()
        ),
        table=Table(
            ("part", "trials", "parameter", "importance %", "range over forests %"),
            tuple(
                (Cell(part), Cell(f"{n:,}", n), Cell(name), Cell(f"{100 * fmean(shares):.1f}", fmean(shares)),
                 Cell(f"{100 * min(shares):.1f} to {100 * max(shares):.1f}", min(shares)))
                for part, (n, found) in studies.items()
                for name, shares in found.items()
            ),
        ),
        height=34 * len(names) + 20,
    )  # fmt: skip


def _bar(name: str, shares: Sequence[float]) -> dict[str, Any]:
    return {
        "parameter": name,
        "share": scaled(fmean(shares), 1),
        "low": scaled(min(shares), 1),
        "high": scaled(max(shares), 1),
    }


def _slices(evidence: Evidence, trials: Sequence[Values], names: Sequence[str]) -> Figure:
    kept, left_out = first_panels(names)
    return Figure(
        name="slices",
        title=f"Within a point of their cell's best: {listed([_good(trials, name) for name in kept], 4)}",
        subtitle=f"Distance of {count(len(trials), 'completed trial')} of the search to the best of their cell",
        caption=(
            "One mark per trial, by validation objective, in points; 0 is the best of the cell. Marks over a name "
            f"are spread sideways to be seen. At most {MAX_TRIALS} trials per panel.{left_out}"
        ),
        panels=tuple(_slice(trials, name) for name in kept),
        table=_slice_table(evidence, trials, kept),
        methods=evidence.ordered(row["method"] for row in trials),
        height=210,
    )


def _good(trials: Sequence[Values], name: str) -> str:
    """Where the good trials are: the range of a number, or the choice of which most trials are good."""
    mine = [(row["parameters"][name], row["gap"] >= -NEAR) for row in trials if name in row["parameters"]]
    if all(_is_number(value) for value, _ in mine):
        good = [value for value, is_good in mine if is_good]
        return f"{name} {min(good):.2g} to {max(good):.2g}" if good else f"{name} nowhere"
    counts: dict[str, list[bool]] = defaultdict(list)
    for value, is_good in mine:
        counts[_label(value)].append(is_good)
    often = {label: found for label, found in counts.items() if len(found) >= MIN_CHOSEN} or counts
    label = max(often, key=lambda label: (fmean(often[label]), label))
    return f"{sum(often[label])} of {len(often[label])} trials with {name} {label}"


def _slice(trials: Sequence[Values], name: str) -> Panel:
    mine = _sample([row for row in trials if name in row["parameters"]], MAX_TRIALS)
    values = [row["parameters"][name] for row in mine]
    numeric = all(map(_is_number, values))
    rows = tuple(
        {
            "value": value if numeric else _label(value),
            "gap": scaled(row["gap"], 2),
            "method": row["method"],
            "spread": index % 7 - 3,
            "tip": f"{name} {_label(value)}, {row['method']}: {100 * row['gap']:.1f} points",
        }
        for index, (row, value) in enumerate(zip(mine, values, strict=True))
    )
    variant = ("log" if _is_logarithmic(values) else "linear") if numeric else "choice"
    return Panel(name, rows, variant)


def _slice_table(evidence: Evidence, trials: Sequence[Values], names: Sequence[str]) -> Table:
    """The best trials of the search, with all their parameters."""
    best = sorted(trials, key=lambda row: (-row["gap"], row["cell"]))[:100]
    rows = tuple(
        (
            Cell(row["cell"]),
            Cell(f"{100 * row['gap']:+.1f}", row["gap"]),
            Cell(f"{100 * row['objective']:.1f}", row["objective"]),
            *(Cell(_label(row["parameters"][name]) if name in row["parameters"] else "") for name in names),
        )
        for row in best
    )
    note = f"The first {len(best)} of {len(trials):,} by distance; all: hsl show {evidence.uri} CELL"
    columns = ("cell", "to the best of the cell", "objective %", *names)
    return Table(columns, rows, note if len(best) < len(trials) else "")


def _names(trials: Sequence[Values]) -> list[str]:
    found = {name for row in trials for name in row["parameters"]}
    return sorted(found, key=lambda name: (name not in ("method", "distribution"), name != "method", name))


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: Any) -> bool:
    """Whether a value can be drawn on an axis."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values span so much that only their logarithms can be seen side by side."""
    return min(values) > 0 and max(values) / min(values) > 8
