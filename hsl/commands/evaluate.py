"""``hsl evaluate``: evaluations of confirmed networks, after the fact."""

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hsl.commands.edge import narrate
from hsl.commands.options import Device, Format, OutFormat, StoreUri

MEASURES = "evaluation.attacks, evaluation.per_class, evaluation.deciles or evaluation.corruptions"
KEYS = {
    "--measure": MEASURES,
    "-m": MEASURES,
    "--checkpoint": "evaluation.checkpoints",
    "--split": "evaluation.splits",
    "--samples": "evaluation.samples",
    "--by": "evaluation.deciles.by",
    "--corruption": "evaluation.corruptions.names",
    "--severity": "evaluation.corruptions.severities",
    "--published": "evaluation.corruptions.published",
    "--norm": "evaluation.attacks.norm",
    "--eps": "evaluation.attacks.eps",
}
"""Options of version 0.1, and the keys that took their place."""


class EvaluateCommand(TyperCommand):
    """Says of an option of version 0.1 which key took its place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; an unknown option is refused with a hint where there is one."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if key := KEYS.get(getattr(error, "option_name", "")):
                error.message = f"No such option: {error.option_name}; now a KEY=VALUE: {key}"  # type: ignore[attr-defined]
            raise


def evaluate(
    store: StoreUri,
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CELL|KEY=VALUE]...",
            help="Names of cells, and overrides of the section evaluation of the space.",
            show_default="all cells, and what the space says",
        ),
    ] = None,
    device: Device = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Evaluate confirmed networks: classes, samples, deciles, corruptions, attacks. Run it again to continue.

    The section evaluation of the space says what is evaluated; any key of it can be set, for example:

    hsl evaluate runs/digits clean/0.9 evaluation.attacks=pgd20 evaluation.samples=200

    hsl evaluate runs/digits "evaluation.corruptions={names: fog, severities: [1, 3]}"

    hsl evaluate runs/digits "evaluation={per_class: true, checkpoints: final}"  (the whole section: nothing else)
    """
    from hsl.results.show.output import show  # noqa: PLC0415
    from hsl.training.build import usable_device  # noqa: PLC0415
    from hsl.trial.evaluate import StoredEvaluation  # noqa: PLC0415

    overrides = [each for each in asked or () if _is_override(each)]
    cells = [each for each in asked or () if each not in overrides]
    evaluation = StoredEvaluation(store, cells, overrides, usable_device(device), narrate)
    rows = evaluation.run()
    is_brief = format in {Format.TABLE, Format.MARKDOWN}
    caption = (
        "means over confirmed networks of a configuration with 95 % intervals over seeds; "
        "single classes and corruptions: --format json"
    )
    show(evaluation.summary(rows, is_brief), str(format), caption=caption)


def _is_override(text: str) -> bool:
    """Whether it sets a key; names of cells contain ``=`` as well, but behind an axis, as in ``training.lr=0.1``."""
    from hsl.space.axes import known_axes  # noqa: PLC0415

    key = re.match(r"([\w-]*)[\w.-]*=", text)
    return key is not None and key[1] not in {axis.split(".")[0] for axis in known_axes()}
