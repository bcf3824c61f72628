"""``hsl evaluate``: measures of confirmed networks, after the fact."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsl.commands.options import Checkpoint, Format, OutFormat, StoreUri
from hsl.errors import HslError, UnknownNameError

if TYPE_CHECKING:
    from hsl.training.measuring.evaluation_settings import Evaluation


class Norm(StrEnum):
    """Norm of an attack's ball."""

    LINF = "linf"
    L2 = "l2"


class Split(StrEnum):
    """Part of the data set."""

    TEST = "test"
    VAL = "val"


def evaluate(
    store: StoreUri,
    cells: Annotated[
        list[str] | None, typer.Argument(metavar="[CELL]...", help="Names of cells.", show_default="all")
    ] = None,
    *,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="class, decile, corruption, or one of hsl list robustness-measures; repeatable.",
            show_default="what the space says",
        ),
    ] = None,
    checkpoint: Annotated[
        list[Checkpoint] | None,
        typer.Option(help="Network of a training: final, or best on validation.", show_default="both"),
    ] = None,
    split: Annotated[list[Split] | None, typer.Option(help="Part of the data.", show_default="test")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="How many are damaged and attacked.", show_default="all")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Score that makes the deciles.", show_default="el2n")] = None,
    corruption: Annotated[
        list[str] | None, typer.Option(help="Kind of damage.", show_default="those of CIFAR-10-C")
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option(min=1, max=5, help="How severe.", show_default="1 to 5")
    ] = None,
    published: Annotated[
        str | None, typer.Option(help="Folder of CIFAR-10-C's .npy files.", show_default="damage of our own")
    ] = None,
    norm: Annotated[Norm | None, typer.Option(help="Norm of the ball.", show_default="linf")] = None,
    eps: Annotated[str | None, typer.Option(help="Its radius.", show_default="8/255, of l2 0.5")] = None,
    device: Annotated[
        str | None, typer.Option(help="Torch device.", show_default="cuda if there is one")
    ] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Measure confirmed networks: classes, deciles of difficulty, corruptions, attacks. Run it again to continue."""
    parts = {
        "deciles": ("decile", _given(by=by)),
        "corruptions": ("corruption", _given(names=corruption, severities=severity, published=published)),
        "attacks": ("an attack", _given(norm=norm and str(norm), eps=eps)),
    }
    where = _given(checkpoints=checkpoint, splits=split, samples=samples)
    asked = _asked(measure or [], parts, where)
    from hsl.results.show.output import show  # noqa: PLC0415
    from hsl.training.build import default_device  # noqa: PLC0415
    from hsl.trial.evaluate import StoredEvaluation, summed_up  # noqa: PLC0415

    def say(line: str) -> None:
        typer.echo(line, err=True)

    rows = StoredEvaluation(store, cells or [], asked, device or default_device(), say).run()
    is_brief = format in {Format.TABLE, Format.MARKDOWN}
    caption = (
        "means over confirmed networks with 95 % intervals; single classes and corruptions: --format json"
    )
    show(summed_up(rows, is_brief), str(format), caption=caption)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _asked(
    measures: list[str], parts: dict[str, tuple[str, dict[str, Any]]], where: dict[str, Any]
) -> Evaluation | None:
    """The options as the section of a space; None where none is given.

    Raises:
        UnknownNameError: If there is no such measure.
        HslError: If an option belongs to a measure that is not asked for, or has no possible value.
    """
    from pydantic import ValidationError  # noqa: PLC0415

    from hsl.hardness.registries import ROBUST  # noqa: PLC0415
    from hsl.training.measuring.evaluation_settings import Evaluation  # noqa: PLC0415

    plain = ("class", "decile", "corruption")
    for name in measures:
        if name not in plain and not ROBUST.knows(name):
            raise UnknownNameError("measure", name, [*plain, *ROBUST])
    attacks = [name for name in measures if name not in plain]
    is_asked = {"deciles": "decile" in measures, "corruptions": "corruption" in measures, "attacks": attacks}
    for part, (name, options) in parts.items():
        if options and not is_asked[part]:
            given = ", ".join(f"--{option}" for option in options)
            raise HslError(
                f"{given.replace('names', 'corruption')}: belongs to {name}; ask for it with --measure"
            )
    if not measures:
        if where:
            raise HslError("say with --measure what is to be measured there, for example --measure class")
        return None
    if attacks:
        parts["attacks"][1]["names"] = attacks
    section = {part: options for part, (_, options) in parts.items() if is_asked[part]}
    try:
        return Evaluation.model_validate({**section, **where, "per_class": "class" in measures})
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise HslError("\n".join(problems)) from error
