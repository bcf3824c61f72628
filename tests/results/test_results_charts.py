"""The specifications of the drawings, on figures of a row: what is on which axis, what is joined, what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hsl.results.report.charts import DRAWINGS, draw
from hsl.results.report.images import poster
from hsl.results.report.structs import Figure, Panel, Table
from hsl.results.report.style import LIGHT, SHAPES, palette

METHODS = ("dense", "set", "rigl")
PALETTE = palette(METHODS, METHODS)
SCALES = {
    "settings": ["easy", "hard"],
    "sparsities": ["0.8", "0.9"],
    "layers": ["a", "b"],
    "kinds": ["k0", "k1", "k2", "k3"],
    "unit": "hours",
}


def figure(name: str, *variants: str, panels: int = 1, **scales: Any) -> Figure:
    made = tuple(Panel(f"p{n}", ({"x": n},), variant) for n in range(panels) for variant in variants or ("",))
    return Figure(
        name=name,
        title="A title",
        subtitle="A subtitle",
        caption="A caption",
        panels=made,
        table=Table((), ()),
        methods=METHODS,
        scales={**SCALES, **scales},
        height=200,
    )


def drawn(name: str, variant: str = "", static: bool = False, **scales: Any) -> dict[str, Any]:
    return draw(figure(name, variant, **scales), PALETTE, variant, static)


def layers(specification: dict[str, Any]) -> list[dict[str, Any]]:
    """All marks with their own encoding, however deep they lie."""
    if "layer" not in specification:
        return [specification]
    return [inner for layer in specification["layer"] for inner in layers(layer)]


def encodings(name: str, channel: str, variant: str = "", **scales: Any) -> list[dict[str, Any]]:
    made = drawn(name, variant, **scales)
    return [layer["encoding"][channel] for layer in layers(made) if channel in layer.get("encoding", {})]


def walk(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        yield from part.items()
        for value in part.values():
            yield from walk(value)
    elif isinstance(part, list):
        for value in part:
            yield from walk(value)


def filters(name: str) -> list[Any]:
    return [value for key, value in walk(drawn(name)) if key == "filter"]


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_has_its_height_and_no_rows_of_its_own(name: str) -> None:
    for variant in ("choice", "log", "") if name == "slices" else ("",):
        made = drawn(name, variant)
        assert made["height"] == 200
        assert "data" not in dict(walk(made)) and "datasets" not in dict(walk(made))
        assert made["config"]["legend"] == {"disable": True}
        assert "disable" not in drawn(name, variant, static=True)["config"]["legend"]


@pytest.mark.parametrize("name", ["sparsity", "pareto", "curves", "slices", "deciles"])
def test_methods_have_their_colours_and_shapes(name: str) -> None:
    colours = [each["scale"] for each in encodings(name, "color") if "scale" in each]
    assert colours
    assert all(
        scale == {"domain": list(METHODS), "range": ["var(--ink)", "var(--hue0)", "var(--hue1)"]}
        for scale in colours
    )
    shapes = [each["scale"]["range"] for each in encodings(name, "shape")]
    assert all(found == [SHAPES[0], SHAPES[0], SHAPES[1]] for found in shapes)
    assert bool(shapes) == (name != "curves")


def test_files_have_the_light_colours() -> None:
    text = str(drawn("sparsity", static=True))
    assert "var(--" not in text and LIGHT["hue0"] in text


@pytest.mark.parametrize("name", ["sparsity", "pareto", "deciles", "curves"])
def test_accuracies_need_no_zero(name: str) -> None:
    scales = [each["scale"] for each in encodings(name, "y") if "scale" in each]
    assert scales
    assert all(scale["zero"] is False and scale["nice"] is False for scale in scales)


def test_sparsities_are_in_their_order_and_dense_is_a_line_across() -> None:
    (x, *more) = encodings("sparsity", "x")
    assert x["sort"] == x["scale"]["domain"] == ["0.8", "0.9"]
    assert all(each == x for each in more)
    assert {"field": "kind", "oneOf": ["dense"]} in filters("sparsity")
    assert {"field": "kind", "oneOf": ["confirmed", "unconfirmed"]} in filters("sparsity")
    assert encodings("sparsity", "xOffset")[0]["sort"] == ["set", "rigl"]
    assert x["axis"]["labelAngle"] == 0


def test_the_heat_map_has_every_setting_and_frames() -> None:
    assert encodings("difference", "x")[0]["scale"]["domain"] == ["0.8", "0.9"]
    y = encodings("difference", "y")[0]
    assert (y["scale"]["domain"], y["title"]) == (["easy", "hard"], None)
    fill, stroke = encodings("difference", "fill")[0], encodings("difference", "stroke")[0]
    assert fill["scale"] == {
        "domain": ["gain", "loss", "unclear"],
        "range": ["var(--gain)", "var(--loss)", "var(--unclear)"],
    }
    assert stroke["scale"] == {
        "domain": ["none", "beyond chance", "unclear"],
        "range": ["transparent", "var(--ink)", "var(--unclear)"],
    }
    assert filters("difference") == ["datum.frame !== 'unclear'", "datum.frame === 'unclear'"]


@pytest.mark.parametrize(("count", "angle"), [(5, 0), (6, -40)])
def test_many_layers_have_slanted_names(count: int, angle: int) -> None:
    names = [f"layer{n}" for n in range(count)]
    assert encodings("layers", "x", layers=names)[0]["axis"]["labelAngle"] == angle
    y = encodings("layers", "y", layers=names)
    assert y[0]["scale"] == {"zero": True}
    assert [each["field"] for each in y] == ["mean", "low", "uniform", "erk"]


def test_operations_are_on_a_logarithmic_axis_and_what_is_not_on_the_front_is_faint() -> None:
    x = encodings("pareto", "x")[0]
    assert (x["scale"]["type"], x["scale"]["nice"], x["field"]) == ("log", False, "flops")
    for channel in ("opacity", "size"):
        for each in encodings("pareto", channel):
            assert each["condition"]["test"] == "datum.kind === 'front'"
            assert each["condition"]["value"] > each["value"] > 0
    assert sorted(filters("pareto")) == sorted(
        [*["datum.kind === 'front'"] * 3, "!datum.confirmed", "datum.confirmed"]
    )


def test_curves_are_one_per_trial_dense_dashed_with_their_ends() -> None:
    (dash,) = encodings("curves", "strokeDash")
    assert dash["scale"]["domain"] == [False, True]
    assert dash["scale"]["range"][0] == [1, 0] and dash["scale"]["range"][1] != [1, 0]
    assert [each["field"] for each in encodings("curves", "detail")] == ["trial"]
    assert {"field": "kind", "oneOf": ["on", "stopped", "ended"]} in filters("curves")
    assert {"field": "kind", "oneOf": ["rung"]} in filters("curves")
    assert {"datum.kind === 'stopped'", "datum.kind === 'ended'"} <= {
        f for f in filters("curves") if isinstance(f, str)
    }
    assert "'rung ' + datum.epoch" in [value for key, value in walk(drawn("curves")) if key == "calculate"]
    x = encodings("curves", "x")[0]["axis"]
    assert (x["tickMinStep"], x["grid"]) == (1, False)
    foot = [each for each in encodings("curves", "y") if "value" in each]
    assert [0 < each["value"] < 200 for each in foot] == [True]


def test_shares_and_correlations_have_their_whole_range() -> None:
    assert encodings("importance", "x")[0]["scale"]["domain"] == [0, 100]
    ranges = [each["scale"]["domain"] for each in encodings("stopping", "x") if "scale" in each]
    assert ranges == [[-1, 1]]


def test_slices_have_the_axis_of_their_kind() -> None:
    assert encodings("slices", "x", "log")[0]["scale"]["type"] == "log"
    real = encodings("slices", "x", "")[0]["scale"]
    assert (real.get("type"), real["zero"], real["nice"]) == (None, False, False)
    choice = drawn("slices", "choice")["encoding"]
    assert choice["x"]["type"] == "nominal"
    assert choice["xOffset"]["scale"]["domain"] == [-6, 6]
    assert choice["y"]["scale"]["nice"] is False


def test_deciles_are_ten_and_dense_is_dashed() -> None:
    x = encodings("deciles", "x")[0]
    assert x["axis"]["values"] == list(range(10))
    low, high = x["scale"]["domain"]
    assert -0.5 < low < -0.07 and 9.07 < high < 9.5, "room for both marks of the first and the last"
    (dash,) = encodings("deciles", "strokeDash")
    assert dash["scale"]["domain"] == ["sparse", "dense"]
    assert dash["scale"]["range"][0] == [1, 0] != dash["scale"]["range"][1]


def test_costs_are_stacked_in_the_order_of_their_kinds() -> None:
    made = drawn("cost")["encoding"]
    assert (made["x"]["stack"], made["x"]["title"]) == ("zero", "hours")
    assert made["y"]["sort"] == ["easy", "hard"]
    assert made["color"]["scale"] == {
        "domain": ["k0", "k1", "k2", "k3"],
        "range": ["var(--hue0)", "var(--hue1)", "var(--hue2)", "var(--hue3)"],
    }


@pytest.mark.parametrize(("panels", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3)])
def test_a_poster_places_its_panels(panels: int, columns: int) -> None:
    made = poster(figure("slices", panels=panels), PALETTE)
    assert made["columns"] == columns
    assert [panel["title"] for panel in made["concat"]] == [f"p{n}" for n in range(panels)]
    assert [panel["data"]["values"] for panel in made["concat"]] == [[{"x": n}] for n in range(panels)]
    widths = {panel["width"] for panel in made["concat"]}
    (single,) = {panel["width"] for panel in poster(figure("slices"), PALETTE)["concat"]}
    assert widths == {single if columns == 1 else single / 2}
    assert all("config" not in panel and "$schema" not in panel for panel in made["concat"])
    assert made["config"]["background"] == LIGHT["paper"]
    assert made["title"]["text"] == ["A title"]
    assert made["title"]["subtitle"] == ["A subtitle", "A caption"]


def test_a_poster_wraps_what_is_said_to_its_width() -> None:
    long = figure("slices")
    words = " ".join(["word"] * 80)
    made = poster(Figure(**{**vars(long), "title": words, "caption": words}), PALETTE)
    longest = max(map(len, made["title"]["subtitle"]))
    assert 100 < longest <= 2 * 330 / 5.2
    assert max(map(len, made["title"]["text"])) <= 0.7 * 2 * 330 / 5.2
    assert " ".join(made["title"]["text"]) == words


@pytest.mark.parametrize(
    ("name", "variant", "cut", "ticks"),
    [
        ("sparsity", "", None, None),
        ("layers", "", 90, None),
        ("pareto", "", None, 4),
        ("slices", "choice", None, None),
        ("slices", "log", None, 4),
        ("importance", "", None, 5),
    ],
)
def test_names_below_an_axis_give_way_and_long_ones_are_cut(
    name: str, variant: str, cut: int | None, ticks: int | None
) -> None:
    axis = encodings(name, "x", variant)[0]["axis"]
    assert axis.get("labelOverlap") == (None if name == "importance" else True)
    assert (axis.get("labelLimit"), axis.get("tickCount")) == (cut, ticks)
    assert axis.get("labelAngle") == (0 if "tickCount" not in axis else None)


@pytest.mark.parametrize(
    ("name", "variant", "channel", "padding"),
    [
        *(("sparsity", "", "y", 14), ("curves", "", "y", 14), ("pareto", "", "x", 30)),
        *(("slices", "", "x", 10), ("slices", "log", "x", 10), ("slices", "choice", "y", 8)),
    ],
)
def test_marks_keep_off_the_frame(name: str, variant: str, channel: str, padding: int) -> None:
    found = [each["scale"] for each in encodings(name, channel, variant) if "scale" in each]
    assert found[0]["padding"] == padding
