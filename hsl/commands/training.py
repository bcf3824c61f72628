"""The commands that train in this process, without Ray: one configuration, or scoring models."""

from typing import Annotated, Any

import typer

from hsl.commands.edge import check_target, narrate, show_rows
from hsl.commands.options import Device, Format, OutFormat, Overrides, Part, Precision, SpaceFile


def train(
    space: SpaceFile,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed.", show_default="that of the space")] = None,
    device: Device = None,
    out: Annotated[str | None, typer.Option(help="Write the trained network here (safetensors).")] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Train one configuration in this process, without Ray: pin every factor, for example regime=pgd method=rigl."""
    from hsl.space.load import load_space  # noqa: PLC0415
    from hsl.space.used import TRAINING, check_pinned, check_used  # noqa: PLC0415
    from hsl.trial.alone import only_configuration, only_regime, train_once  # noqa: PLC0415

    check_target(out)
    from hsl.prepare.binding import bound_space  # noqa: PLC0415

    given = load_space(space, overrides or ())
    check_used(overrides or (), TRAINING if seed is None else TRAINING - {"seed"}, "train")
    loaded = bound_space(given, None)
    chosen = only_configuration(loaded)
    check_pinned(overrides or (), loaded, chosen, only_regime(loaded))
    seed = loaded.seed if seed is None else seed
    from hsl.training import checkpoint  # noqa: PLC0415
    from hsl.training.build import usable_device  # noqa: PLC0415

    trainer = train_once(loaded, chosen, seed, usable_device(device), _narrate_epoch)
    if out:
        checkpoint.write(
            out, {"trainer": trainer.state_dict(), "configuration": chosen.model_dump(mode="json")}
        )
    show_rows(trainer.history, format)


def score(
    space: SpaceFile,
    overrides: Overrides = None,
    *,
    by: Annotated[str, typer.Option(help="Difficulty score: hsl list scores.")] = "el2n",
    models: Annotated[
        int | None, typer.Option(min=1, help="Scoring models that are averaged.", show_default="10")
    ] = None,
    epoch: Annotated[
        float | None,
        typer.Option(help="When to score, as a share of the training.", show_default="0.1, trajectories 1"),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Of the scores; single is that of version 0.1.0.")
    ] = Precision.DOUBLE,
    label_noise: Annotated[
        str | None,
        typer.Option(
            metavar="REGIME",
            help="Train the scoring models with this regime's wrong labels; report whether they are found.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Result store that shares the scores with its sweep.", show_default="the cache"),
    ] = None,
    split: Annotated[Part, typer.Option(help="Samples that are listed and drawn.")] = Part.TRAIN,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many of the hardest and easiest.")] = 10,
    out: Annotated[str | None, typer.Option(help="Write the scores of all samples here (Parquet).")] = None,
    sheet: Annotated[str | None, typer.Option(help="Draw the hardest and easiest images here (PNG).")] = None,
    device: Device = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Score the difficulty of every sample without Ray, and show the hardest and the easiest."""
    from hsl.planning.scores import asked_scores  # noqa: PLC0415
    from hsl.space.load import load_space  # noqa: PLC0415
    from hsl.space.used import SCORING, check_scoring, check_used  # noqa: PLC0415

    check_target(out)
    from hsl.prepare.binding import bound_space  # noqa: PLC0415

    given = load_space(space, overrides or ())
    check_used(overrides or (), SCORING | {"regimes"} if label_noise else SCORING, "score")
    check_scoring(overrides or (), given)
    loaded = bound_space(given, store)
    asked = asked_scores(loaded, by, models, epoch, label_noise, precision.value)
    from hsl.prepare.ranked_samples import draw_sheet, extremes, found_wrong, make_scores  # noqa: PLC0415
    from hsl.results.show.output import show  # noqa: PLC0415
    from hsl.training.build import usable_device  # noqa: PLC0415

    scores = make_scores(asked, store, usable_device(device), narrate)
    shown = extremes(scores, str(split), top)
    if out:
        from hsl.store.tables import write_table  # noqa: PLC0415

        write_table(out, scores)
    if sheet:
        draw_sheet(sheet, asked, shown)
    if found := found_wrong(scores):
        narrate(found)
    show(shown, str(format))


def _narrate_epoch(row: Any) -> None:
    accuracy = row.get("val_matched_accuracy")
    shown = f", validation {100 * accuracy:.1f} %" if accuracy is not None else ""
    narrate(f"epoch {row['epoch']}: training loss {row['train_loss']:.4f}{shown}")
