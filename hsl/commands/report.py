"""The command that writes a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from hsl.commands.options import StoreUri
from hsl.errors import HslError

_NEEDED = {"altair": "altair", "vl_convert": "vl-convert-python", "jinja2": "jinja2"}
"""Modules of the extra, and the packages that they come in."""


def report(
    store: StoreUri,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write the page.")] = Path(
        "report.html"
    ),
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every figure here as PNG and SVG as well.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="matched or clean accuracy.", show_default="what the sweep maximised")
    ] = None,
) -> None:
    """Write one offline HTML file: winners against dense, figures, cost, provenance."""
    lacking = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if lacking:
        raise HslError(f"hsl report needs {', '.join(lacking)}; install the extra: pip install 'hsl[report]'")
    from hsl.results.report.contents import make_report  # noqa: PLC0415
    from hsl.results.report.page import page  # noqa: PLC0415
    from hsl.sparsity.methods import METHODS  # noqa: PLC0415

    made = make_report(store, metric, tuple(METHODS))
    text = page(made)
    with _writing(out, "--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    typer.echo(out)
    if figures is not None:
        from hsl.results.report.images import write_images  # noqa: PLC0415

        with _writing(figures, "--figures"):
            for path in write_images(made.figures, made.palette, figures):
                typer.echo(path)


@contextmanager
def _writing(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HslError(f"{path}: cannot be written: {error.strerror}; give another {option}") from error
