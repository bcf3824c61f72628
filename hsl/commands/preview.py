"""The command that shows what data look like."""

from typing import Annotated

import typer

from hsl.commands.edge import show_rows
from hsl.commands.options import Format, OutFormat, SpaceFile


def preview(
    space: SpaceFile,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, for example dataset=digits."),
    ] = None,
    *,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Show every corruption instead of the regimes.")
    ] = False,
    severity: Annotated[int, typer.Option(min=1, max=6, help="Severity of the corruptions.")] = 5,
    images: Annotated[int, typer.Option(min=1, max=30, help="Images in a row.")] = 10,
    store: Annotated[
        str | None, typer.Option(help="Result store that has the scores.", show_default="the cache")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Draw the images here (PNG).")] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Show what each regime, or each corruption, makes of the training images; nothing is trained."""
    from hsl.space.load import load_space  # noqa: PLC0415

    loaded = load_space(space, overrides or ())
    from hsl.prepare import preview as previews  # noqa: PLC0415
    from hsl.prepare.binding import bound_space  # noqa: PLC0415
    from hsl.prepare.ranked_samples import scores_root  # noqa: PLC0415
    from hsl.prepare.sheets import draw  # noqa: PLC0415
    from hsl.store.layout import Library  # noqa: PLC0415

    if corruptions:
        made = previews.corruptions(loaded, severity, images)
    else:
        made = previews.regimes(bound_space(loaded, store), Library(scores_root(store)), images)
    if sheet:
        draw(sheet, made.tiles)
    show_rows(made.rows, format)
