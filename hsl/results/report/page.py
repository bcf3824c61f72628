"""A report as one HTML file that needs nothing but itself: no network, no server, no other file."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hsl.results.report.charts import draw
from hsl.results.report.images import VEGA_LITE
from hsl.results.report.structs import Figure, Report, Row
from hsl.results.report.style import DARK, FONT, LIGHT, style_sheet
from hsl.results.show.text import plain

_PACKAGE, _FOLDER = "hsl.results.report", "assets"

# In a script of JSON these could end the element or start another, so they are written as escapes.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def page(report: Report) -> str:
    """The report as HTML.

    All that comes from the store is data: text is escaped, JSON cannot leave its element, and the content
    security policy lets only the two scripts of this page run, by their hashes.
    """
    bundle, script, style = _bundle(), _asset("page.js"), _asset("page.css")
    for name, text in {"LIGHT": style_sheet(LIGHT), "DARK": style_sheet(DARK), "FONT": FONT}.items():
        style = style.replace(f"%{name}%", text)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            policy=_policy(bundle, script),
            style=Markup(style),
            bundle=Markup(bundle),
            script=Markup(script),
            figures=Markup(as_json({figure.name: _drawn(report, figure) for figure in report.figures})),
        )
    )


def as_json(value: Any) -> str:
    """`value` as JSON that is harmless inside a script element.

    Raises:
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def columns(rows: Sequence[Row]) -> Mapping[str, list[Any]]:
    """Rows as columns, which take less room."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _drawn(report: Report, figure: Figure) -> Any:
    """A figure as its script takes it; numbers that are not finite are null."""
    drawn = {
        "specs": {variant: draw(figure, report.palette, variant) for variant in figure.variants},
        "panels": [{"variant": panel.variant, "columns": columns(panel.rows)} for panel in figure.panels],
    }
    return plain(drawn)


def _policy(*scripts: str) -> str:
    """Nothing from anywhere, and of the scripts in the page only these."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def _bundle() -> str:
    """Vega-Embed with everything it needs, as a script that cannot end its element early."""
    made: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    return made.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r\n", "\n")


def _asset(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE, _FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
