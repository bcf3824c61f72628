"""Where the winners keep their weights: density per layer against ERK and uniform."""

from collections.abc import Mapping, Sequence
from typing import Any

from hsl.results.report.evidence import Evidence, Values, key_of
from hsl.results.report.structs import Cell, Figure, Mark, Panel, Section, Table, interval, level
from hsl.results.report.style import DIAMOND, STROKE
from hsl.results.shaping import values_of
from hsl.results.show.phrases import INTERVAL, ends, first_panels, named, scaled, with_interval
from hsl.results.stats import SHARE, Interval, mean_interval
from hsl.store.documents import numbers
from hsl.wording import count

HEADING = "Density of layers"
ALIKE = 0.05
"""Densities that differ by less than this share of themselves count as the same."""

# What a distribution gives each layer is what trials of that distribution have: no shape is stored.
_REFERENCES = """
SELECT {columns}, distribution, arg_min(layer_densities, sequence) AS layer_densities,
  arg_min(trial_id, sequence) AS trial_id
FROM labelled
WHERE distribution IN ('erk', 'uniform') AND status = 'completed' AND layer_densities IS NOT NULL
GROUP BY {columns}, distribution
"""
Densities = Mapping[str, float]
References = Mapping[tuple[Any, ...], Densities]
"""By the columns of `_network` and the distribution."""

Winners = Sequence[tuple[Values, dict[str, Interval]]]
"""Rows of `best` with the density of each layer."""


def section(evidence: Evidence) -> Section:
    """The section of the figure, or what it lacks."""
    winners = [row for row in evidence.winners if not row["baseline"]]
    seeds = evidence.seeds(winners)
    profiles = [(row, _profile(seeds[key_of(row)], evidence.level(row))) for row in winners]
    known = [(row, profile) for row, profile in profiles if profile]
    if not known:
        return Section("layers", HEADING, missing=("No winner has recorded the density of its layers.",))
    return Section("layers", HEADING, figures=(_figure(evidence, known, _references(evidence)),))


def _profile(rows: Sequence[Values], level: float) -> dict[str, Interval]:
    """Layer to its mean density over seeds, in the order of the network."""
    found = [numbers(row, "trials", "layer_densities") for row in rows if row["layer_densities"]]
    layers = dict.fromkeys(layer for densities in found for layer in densities)
    values = {layer: [densities[layer] for densities in found if layer in densities] for layer in layers}
    return {layer: mean_interval(of_seeds, level, SHARE) for layer, of_seeds in values.items()}


def _references(evidence: Evidence) -> References:
    """What a distribution gives each layer, by data set and model where there are several, and by sparsity."""
    columns = _network(evidence)
    return {
        values_of(row, (*columns, "distribution")): numbers(row, "trials", "layer_densities")
        for row in evidence.rows(_REFERENCES.format(columns=", ".join(columns)))
    }


def _network(evidence: Evidence) -> tuple[str, ...]:
    """The columns on which the densities of a distribution depend."""
    return (*(name for name in evidence.settings if name != "regime"), "sparsity")


def _of(evidence: Evidence, references: References, row: Values, distribution: str) -> Densities:
    return references.get((*values_of(row, _network(evidence)), distribution), {})


def _figure(evidence: Evidence, winners: Winners, references: References) -> Figure:
    titles = {
        id(row): f"{evidence.setting(row)}, sparsity {row['sparsity']:g}: {named(row)}" for row, _ in winners
    }
    kept, left_out = first_panels(list(titles.values()))
    layers = list(dict.fromkeys(layer for _, profile in winners for layer in profile))
    return Figure(
        name="layers",
        title=_title(evidence, winners, references),
        subtitle=f"Density of every layer of {count(len(winners), 'winner')}, in the order of the network",
        caption=(
            f"Bars: share of active weights at the end of training, mean over the seeds of the winner; whiskers: "
            f"its {INTERVAL}. Diamonds: what ERK gives the layer at the same sparsity, flat strokes: what uniform "
            f"gives it, both from trials of this store that use them.{left_out}"
        ),
        panels=tuple(
            Panel(titles[id(row)], tuple(_bars(evidence, row, profile, references)))
            for row, profile in winners
            if titles[id(row)] in kept
        ),
        table=_table(evidence, winners, references),
        methods=evidence.ordered(row["method"] for row, _ in winners),
        marks=(Mark("ERK", "ink", DIAMOND), Mark("uniform", "ink", STROKE)),
        scales={"layers": layers},
        height=190,
    )


def _title(evidence: Evidence, winners: Winners, references: References) -> str:
    for name, label in (("erk", "ERK"), ("uniform", "uniform")):
        ratios = [
            profile[layer].mean / densities[layer]
            for row, profile in winners
            if (densities := _of(evidence, references, row, name))
            for layer in list(profile)[:1]
            if densities.get(layer)
        ]
        if ratios:
            more, fewer = (sum(r > 1 + ALIKE for r in ratios), sum(r < 1 - ALIKE for r in ratios))
            return (
                f"The first layer is denser than under {label} in {more}, as dense in {len(ratios) - more - fewer} "
                f"and sparser in {fewer} of {count(len(ratios), 'winner')}"
            )
    return "Density of the layers of every winner"


def _bars(
    evidence: Evidence, row: Values, profile: Mapping[str, Interval], references: References
) -> list[dict[str, Any]]:
    erk, uniform = (_of(evidence, references, row, name) for name in ("erk", "uniform"))
    return [
        {
            "layer": layer,
            "method": row["method"],
            **ends(*found[:3]),
            "erk": scaled(erk.get(layer)),
            "uniform": scaled(uniform.get(layer)),
            "tip": f"{layer}: {with_interval(*found[:3])} %, {count(found.n, 'seed')}",
        }
        for layer, found in profile.items()
    ]


def _table(evidence: Evidence, winners: Winners, references: References) -> Table:
    rows = [
        (
            Cell(evidence.setting(row)),
            level(row["sparsity"]),
            Cell(named(row)),
            Cell(layer),
            interval(*found[:3]),
            Cell(str(found.n), found.n),
            *(
                interval(_of(evidence, references, row, name).get(layer), None, None)
                for name in ("erk", "uniform")
            ),
        )
        for row, profile in winners
        for layer, found in profile.items()
    ]
    columns = ("sparsity", "winner", "layer", "density % [95 % CI]", "n", "ERK %", "uniform %")
    return evidence.table(
        columns, rows, f"hsl query {evidence.uri} 'SELECT cell, layer_densities FROM trials'"
    )
