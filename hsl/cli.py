"""The command line. Thin: every command reads its arguments, calls one room, and shows what comes back.

Data goes to stdout, narration to stderr. Heavy imports happen inside the commands.
"""

import logging
import os
import sys
from typing import Annotated

import typer

from hsl import __version__
from hsl.commands.answers import ANSWERS, logs
from hsl.commands.cluster import cluster as cluster_
from hsl.commands.edge import print_traceback, show_rows
from hsl.commands.evaluate import EvaluateCommand, evaluate
from hsl.commands.options import Format, OutFormat
from hsl.commands.preview import preview
from hsl.commands.replay import replay
from hsl.commands.report import report
from hsl.commands.startup import ANSWERING, TRAINING, spare_pandas
from hsl.commands.status import status
from hsl.commands.sweep import plan, sweep
from hsl.commands.training import score, train
from hsl.errors import HslError, printable
from hsl.provenance import redact_known
from hsl.registry import PLUGINS

EPILOG = (
    "Exit codes: 0 ok, 1 bug, 2 usage or invalid space, 3 finished with failed trials, "
    "4 nothing matched, 130 interrupted."
)

app = typer.Typer(
    help="Find the sparse neural network that learns hard data best.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
    allow_plugins: Annotated[
        bool,
        typer.Option(
            "--allow-plugins", help="Import and run the package.module:attr that a space or a store names."
        ),
    ] = False,
) -> None:
    if version:
        typer.echo(f"hsl {__version__}")
        raise typer.Exit
    if context.invoked_subcommand in ANSWERING:
        spare_pandas()
    if context.invoked_subcommand in TRAINING:
        from hsl.training.allocator import keep_freed_memory  # noqa: PLC0415  imports ctypes

        keep_freed_memory()


for _command in (plan, sweep, train, score, *ANSWERS, evaluate, logs, preview, replay, report, status):
    app.command(cls=EvaluateCommand if _command is evaluate else None)(_command)
app.command("cluster")(cluster_)


@app.command("list")
def list_names(
    kind: Annotated[
        str | None, typer.Argument(help="methods, distributions, ...", show_default="all")
    ] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """List methods, distributions, scores, corruptions, data sets, models, samplers: all that a space can name."""
    from hsl.catalogue import entries  # noqa: PLC0415

    show_rows(entries(kind), format)


ANYWHERE = {"--debug", "--allow-plugins"}
"""Options of `hsl` itself that are understood after the command as well."""


def main() -> None:
    """Entry point: user errors are one message and an exit code; bugs keep their traceback."""
    given = ANYWHERE.intersection(sys.argv[1:])
    # Code that a file names runs only if the user says so; it is then named before it is imported.
    os.environ[PLUGINS] = "on" if "--allow-plugins" in given else "off"
    if "--allow-plugins" in given:
        logger = logging.getLogger("hsl.registry")
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
    try:
        app([argument for argument in sys.argv[1:] if argument not in ANYWHERE])
    except Exception as error:
        sys.excepthook = print_traceback  # Typer has set its own
        if not isinstance(error, HslError) or "--debug" in given:
            raise
        typer.echo(printable(f"Error: {redact_known(str(error))}"), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
