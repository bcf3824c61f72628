"""One drawing per figure: Altair charts without rows, which every panel fills with its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt

from hsl.results.report.structs import Figure
from hsl.results.report.style import CROSS, Palette, chart_config, color

Chart = alt.Chart | alt.LayerChart | alt.FacetChart


@dataclass(frozen=True)
class Pen:
    """The figure to draw, and how: the parameters are those of `draw`."""

    figure: Figure
    palette: Palette
    static: bool
    variant: str

    def ink(self, name: str) -> str:
        """A colour of the theme."""
        return color(name, self.static)

    def hue(self, field: str = "method") -> alt.Color:
        """The colours of the methods."""
        return alt.Color(f"{field}:N", title="method", scale=self._scale(lambda look: self.ink(look[0])))

    def shape(self, field: str = "method") -> alt.Shape:
        """The shapes of the methods."""
        return alt.Shape(f"{field}:N", title="method", scale=self._scale(lambda look: look[1]))

    def _scale(self, part: Callable[[tuple[str, str]], str]) -> alt.Scale:
        methods = self.figure.methods
        return alt.Scale(domain=list(methods), range=[part(self.palette[name]) for name in methods])

    def base(self) -> alt.Chart:
        """A chart over the rows of a panel."""
        return alt.Chart(alt.NamedData(name="rows"))

    def rows(self, *kinds: str) -> alt.Chart:
        """The rows of a panel that are of one of some kinds."""
        return self.base().transform_filter(alt.FieldOneOfPredicate(field="kind", oneOf=list(kinds)))

    def axis(self, name: str, title: str, scale: str) -> alt.X:
        """An axis of the names in the scales of the figure, in their order."""
        ticks = alt.Axis(labelAngle=0, labelOverlap=True)
        levels = list(self.figure.scales[scale])
        return alt.X(f"{name}:N", title=title, sort=levels, scale=alt.Scale(domain=levels), axis=ticks)


def draw(
    figure: Figure, palette: Palette, variant: str = "", static: bool = False, validate: bool = False
) -> dict[str, Any]:
    """The Vega-Lite specification of a figure's panels, without their rows.

    Args:
        figure: Its data.
        palette: The look of methods.
        variant: Which form, see `Panel`.
        static: Whether it is for an image file: fixed colours and a legend instead of CSS variables.
        validate: Whether to check it against the schema of Vega-Lite, which takes most of the time.
    """
    chart = DRAWINGS[figure.name](Pen(figure, palette, static, variant))
    return {
        **_without_data(chart.to_dict(validate=validate)),
        "height": figure.height,
        "config": chart_config(static),
    }


def _without_data(part: Any) -> Any:
    """A specification whose layers draw the rows that are given with it from outside."""
    if isinstance(part, dict):
        return {key: _without_data(value) for key, value in part.items() if key not in ("data", "datasets")}
    return [_without_data(item) for item in part] if isinstance(part, list) else part


def _tip(title: str) -> alt.Tooltip:
    return alt.Tooltip("tip:N", title=title)


def _whisker(base: alt.Chart, width: float, axis: str = "y") -> alt.Chart:
    """The interval of a mark along an axis."""
    low = {"x": alt.X, "y": alt.Y}[axis]("low:Q")
    return base.mark_rule(strokeWidth=width).encode(**{axis: low, f"{axis}2": "high:Q"})


def _accuracy(field: str, title: str = "test accuracy (%)") -> alt.Y:
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=False, nice=False, padding=14))


def _sparsity(pen: Pen) -> Chart:
    """The methods, before the dense reference across the whole width with its interval."""
    dense = pen.rows("dense")
    band = dense.mark_rect(opacity=0.1, color=pen.ink("ink")).encode(y=_accuracy("low"), y2="high:Q")
    line = dense.mark_rule(strokeDash=[6, 4], strokeWidth=2, color=pen.ink("ink"))
    reference = line.encode(y=_accuracy("mean"), tooltip=_tip("dense"))
    return alt.layer(
        band, reference, *_method_lines(pen, pen.axis("sparsity", "sparsity", scale="sparsities"))
    )


def _method_lines(pen: Pen, x: alt.X) -> list[Chart]:
    points = pen.rows("confirmed", "unconfirmed").encode(
        x=x,
        y=_accuracy("mean"),
        color=pen.hue(),
        xOffset=alt.XOffset("method:N", sort=[name for name in pen.figure.methods if name != "dense"]),
    )
    tip = _tip("method")
    lines = points.mark_line(strokeWidth=1, opacity=0.45)
    hollow = points.transform_filter("datum.kind === 'unconfirmed'").mark_point(size=42, strokeWidth=1.4)
    filled = points.transform_filter("datum.kind === 'confirmed'").mark_point(size=80, filled=True, opacity=1)
    whisker = points.transform_filter("datum.kind === 'confirmed' && isValid(datum.low)")
    names = points.transform_filter("datum.kind === 'confirmed'").mark_text(dy=-8, fontSize=11)
    return [
        lines,
        hollow.encode(shape=pen.shape(), tooltip=tip),
        _whisker(whisker, 2),
        filled.encode(shape=pen.shape(), tooltip=tip),
        names.encode(y=alt.Y("top:Q"), text="method:N"),
    ]


def _difference(pen: Pen) -> Chart:
    settings, sparsities = (list(pen.figure.scales[name]) for name in ("settings", "sparsities"))
    gaps: dict[str, Any] = {"paddingInner": 0.05, "paddingOuter": 0.02}
    base = pen.base().encode(
        x=alt.X("sparsity:N", scale=alt.Scale(domain=sparsities, **gaps), axis=alt.Axis(labelAngle=0)),
        y=alt.Y("setting:N", title=None, scale=alt.Scale(domain=settings, **gaps)),
    )
    kinds, frames = ["gain", "loss", "unclear"], ["none", "beyond chance", "unclear"]
    fill = alt.Scale(domain=kinds, range=[pen.ink(kind) for kind in kinds])
    stroke = alt.Scale(domain=frames, range=["transparent", pen.ink("ink"), pen.ink("unclear")])
    squares = base.encode(
        fill=alt.Fill("kind:N", scale=fill, legend=None),
        fillOpacity=alt.FillOpacity("strength:Q", scale=None, legend=None),
        stroke=alt.Stroke("frame:N", scale=stroke, legend=None),
        tooltip=_tip("winner"),
    )
    shape: dict[str, Any] = {"strokeWidth": 2, "cornerRadius": 4}
    claims = squares.transform_filter("datum.frame !== 'unclear'").mark_rect(**shape)
    unclear = squares.transform_filter("datum.frame === 'unclear'").mark_rect(**shape, strokeDash=[5, 4])
    numbers = base.mark_text(dy=-5, fontSize=13, fontWeight=600).encode(text="text:N")
    return claims + unclear + numbers + base.mark_text(dy=11, fontSize=10.5).encode(text="n:N")


def _layers(pen: Pen) -> Chart:
    angle = -40 if len(pen.figure.scales["layers"]) > 5 else 0
    axis = alt.Axis(labelAngle=angle, labelOverlap=True, labelLimit=90)
    base = pen.base().encode(x=alt.X("layer:N", title=None, sort=None, axis=axis))
    y = alt.Y("mean:Q", title="density (%)", scale=alt.Scale(zero=True))
    bars = base.mark_bar(opacity=0.75, width={"band": 0.62}).encode(
        y=y, color=pen.hue(), tooltip=_tip("layer")
    )
    uniform = base.mark_tick(thickness=2.5, width={"band": 0.9}, color=pen.ink("ink")).encode(y="uniform:Q")
    look: dict[str, Any] = {"color": pen.ink("ink"), "stroke": pen.ink("paper"), "strokeWidth": 1}
    erk = base.mark_point(shape="diamond", size=70, filled=True, opacity=1, **look).encode(y="erk:Q")
    return alt.layer(bars, _whisker(base, 1.5), uniform, erk)


def _pareto(pen: Pen) -> Chart:
    x = alt.X("flops:Q", title="training operations / dense", scale=alt.Scale(type="log", nice=False, padding=30),
              axis=alt.Axis(tickCount=4, format="~g", labelOverlap=True))  # fmt: skip
    base = pen.base().encode(x=x, y=_accuracy("mean"))
    tip = _tip("configuration")
    marks: dict[str, Any] = {
        "color": pen.hue(),
        "shape": pen.shape(),
        "tooltip": tip,
        "opacity": alt.condition("datum.kind === 'front'", alt.value(1), alt.value(0.35)),
        "size": alt.condition("datum.kind === 'front'", alt.value(75), alt.value(28)),
    }
    front = base.transform_filter("datum.kind === 'front'")
    return alt.layer(
        front.mark_line(strokeWidth=1.2, opacity=0.6, color=pen.ink("muted")),
        front.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q", color=pen.hue()),
        base.transform_filter("!datum.confirmed").mark_point(strokeWidth=1.4).encode(**marks),
        base.transform_filter("datum.confirmed").mark_point(filled=True).encode(**marks),
        front.mark_text(dy=-11, fontSize=10.5).encode(text="name:N"),
    )


def _curves(pen: Pen) -> Chart:
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, grid=False))
    base = pen.rows("on", "stopped", "ended").encode(
        x=x, y=_accuracy("value", "validation accuracy (%)"), color=pen.hue()
    )
    dashes = alt.Scale(domain=[False, True], range=[[1, 0], [5, 3]])
    lines = base.mark_line(strokeWidth=1.1, opacity=0.55).encode(
        detail="trial:N", strokeDash=alt.StrokeDash("dense:N", scale=dashes, legend=None)
    )
    ends = base.encode(tooltip=_tip("trial"))
    stopped = ends.transform_filter("datum.kind === 'stopped'").mark_point(
        shape=CROSS, size=55, strokeWidth=2, opacity=1
    )
    ended = ends.transform_filter("datum.kind === 'ended'").mark_circle(size=22, opacity=0.9)
    rungs = pen.rows("rung").encode(x=x)
    line = rungs.mark_rule(strokeDash=[2, 3], strokeWidth=1.2, color=pen.ink("muted"))
    named = rungs.transform_calculate(label="'rung ' + datum.epoch")
    text = named.mark_text(align="left", dx=4, fontSize=10.5, color=pen.ink("muted"))
    label = text.encode(y=alt.value(pen.figure.height - 7), text="label:N")
    return alt.layer(line, label, lines, ended, stopped)


def _importance(pen: Pen) -> Chart:
    base = pen.base().encode(y=alt.Y("parameter:N", title=None, sort=None))
    x = alt.X("share:Q", title="importance (%)", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))
    bars = base.mark_bar(color=pen.ink("hue0"), opacity=0.8, height={"band": 0.6}).encode(
        x=x, tooltip=["parameter:N", alt.Tooltip("share:Q", title="importance %")]
    )
    return alt.layer(bars, _whisker(base, 1.5, "x"))


def _slices(pen: Pen) -> Chart:
    y = alt.Y("gap:Q", title="to the cell's best (points)", scale=alt.Scale(nice=False, padding=8))
    if pen.variant == "choice":
        x: Any = alt.X("value:N", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True))
        spread = alt.XOffset("spread:Q", scale=alt.Scale(domain=[-6, 6]))
        base = pen.base().encode(x=x, xOffset=spread)
    else:
        kind: dict[str, Any] = {"type": "log"} if pen.variant == "log" else {"zero": False}
        axis = alt.Axis(format="~g", tickCount=4, labelOverlap=True)
        x = alt.X("value:Q", title=None, scale=alt.Scale(**kind, nice=False, padding=10), axis=axis)
        base = pen.base().encode(x=x)
    return base.mark_point(size=32, opacity=0.7, strokeWidth=1.3).encode(
        y=y, color=pen.hue(), shape=pen.shape(), tooltip=_tip("trial")
    )


def _deciles(pen: Pen) -> Chart:
    axis = alt.Axis(values=list(range(10)), format="d")
    scale = alt.Scale(domain=[-0.4, 9.4], nice=False)
    x = alt.X("place:Q", title="difficulty of the test samples, 9 is hardest", scale=scale, axis=axis)
    base = pen.base().encode(x=x, color=pen.hue())
    dashes = alt.Scale(domain=["sparse", "dense"], range=[[1, 0], [6, 4]])
    dash = alt.StrokeDash("kind:N", scale=dashes, legend=None)
    line = base.mark_line(strokeWidth=1.8).encode(y=_accuracy("mean"), strokeDash=dash)
    marks = base.mark_point(filled=True, size=48, opacity=1).encode(
        y="mean:Q", shape=pen.shape(), tooltip=_tip("decile")
    )
    return alt.layer(line, _whisker(base, 1.6), marks)


def _stopping(pen: Pen) -> Chart:
    base = pen.base().encode(y=alt.Y("rung:N", title=None, sort=None))
    x = alt.X("rho:Q", title="rank correlation with the final order", scale=alt.Scale(domain=[-1, 1]))
    points = base.mark_point(filled=True, size=70, opacity=1, color=pen.ink("hue0"))
    return alt.layer(_whisker(base, 1.8, "x"), points.encode(x=x, tooltip=_tip("rung")))


def _cost(pen: Pen) -> Chart:
    kinds = pen.figure.scales["kinds"]
    colours = alt.Scale(domain=kinds, range=[pen.ink(name) for name in ("hue0", "hue1", "hue2", "hue3")])
    return (
        pen.base()
        .mark_bar(height={"band": 0.62}, stroke=pen.ink("paper"), strokeWidth=1)
        .encode(
            x=alt.X("time:Q", title=pen.figure.scales["unit"], stack="zero", axis=alt.Axis(tickCount=6)),
            y=alt.Y("setting:N", title=None, sort=pen.figure.scales["settings"]),
            color=alt.Color("kind:N", scale=colours, title=None),
            order=alt.Order("order:Q"),
            tooltip=_tip("trials"),
        )
    )


DRAWINGS: Mapping[str, Callable[[Pen], Chart]] = {
    "difference": _difference,
    "sparsity": _sparsity,
    "layers": _layers,
    "pareto": _pareto,
    "deciles": _deciles,
    "curves": _curves,
    "stopping": _stopping,
    "importance": _importance,
    "slices": _slices,
    "cost": _cost,
}
