"""The command that checks a cluster file."""

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from hsl.commands.edge import show_rows
from hsl.commands.options import Format, OutFormat


class Cloud(StrEnum):
    """A provider for which a cluster file can be rewritten."""

    GCP = "gcp"
    AZURE = "azure"


def cluster(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="File of Ray's cluster launcher.")
    ] = "cluster.yaml",
    provider: Annotated[
        Cloud | None, typer.Option(help="Print the same cluster for another provider, as YAML.")
    ] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Check a cluster file more strictly than Ray does, and show its machines; or print it for another cloud."""
    from hsl.cluster.launcher import check_cluster, read_cluster, variant  # noqa: PLC0415

    content = read_cluster(file)
    types = check_cluster(content, file)
    if provider is None:
        show_rows([asdict(node) for node in types], format)
        return
    import yaml  # noqa: PLC0415

    made = variant(content, provider)
    check_cluster(made, f"{file} for {provider}")
    typer.echo(yaml.safe_dump(made, sort_keys=False, width=120), nl=False)
