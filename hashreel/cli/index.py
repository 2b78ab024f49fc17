"""``hashreel index``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, cast

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import client_options, connect, json_option, print_json
from hashreel.schemas import IndexStatus

FORMATS = ("npz", "parquet", "faiss")
Action = Literal["status", "compact", "rebuild", "snapshot"]
Format = Literal["npz", "parquet", "faiss"]


@click.group(cls=OptionsAnywhere, epilog="Example: hashreel index status")
@click.option("--collection", help="Collection.  [default: the service's own]")
@client_options
@json_option
@click.pass_context
def cli(
    context: click.Context,
    collection: str | None,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Look after the in-memory index: state, check, compaction, rebuild, snapshots, files."""
    context.obj = (url, data, api_key, collection, as_json)


def _act(context: click.Context, action: Action) -> None:
    url, data, api_key, collection, as_json = context.obj
    with connect(url, data, api_key) as client:
        status: IndexStatus = client.index(action, collection=collection)
    if as_json:
        print_json(status)
        return
    for name, value in status.model_dump(exclude={"details", "position"}).items():
        click.echo(f"{name:12} {value}")
    click.echo(f"{'position':12} generation {status.position.generation}, log {status.position.log_id}")
    for name, value in status.details.items():
        click.echo(f"{name:12} {value}")


@cli.command(epilog="Example: hashreel index status")
@click.pass_context
def status(context: click.Context) -> None:
    """Show kind, sizes, tombstones, position and lag."""
    _act(context, "status")


@cli.command(epilog="Example: hashreel index compact")
@click.pass_context
def compact(context: click.Context) -> None:
    """Drop the rows of deleted frames from memory; searches go on."""
    _act(context, "compact")


@cli.command(epilog="Example: hashreel index rebuild")
@click.pass_context
def rebuild(context: click.Context) -> None:
    """Build the index anew from Redis, beside the present one."""
    _act(context, "rebuild")


@cli.command(epilog="Example: hashreel index snapshot")
@click.pass_context
def snapshot(context: click.Context) -> None:
    """Write a snapshot now, from which the next start continues."""
    _act(context, "snapshot")


@cli.command(epilog="Example: hashreel index verify")
@click.pass_context
def verify(context: click.Context) -> None:
    """Compare every frame with what Redis holds; exit code 1 on a difference."""
    url, data, api_key, collection, as_json = context.obj
    with connect(url, data, api_key) as client:
        found = client.index_verify(collection=collection)
    if as_json:
        print_json(found)
    else:
        outcome = "equal" if found.equal else "DIFFERENT"
        click.echo(
            f"{outcome}: {found.frames} frames compared, {len(found.missing)} chunks missing, "
            f"{len(found.surplus)} surplus, {len(found.differing)} differing"
        )
    if not found.equal:
        sys.exit(1)


@cli.command(epilog="Example: hashreel index export gallery.parquet")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Format.  [default: by the file's suffix]")
@click.pass_context
def export(context: click.Context, file: Path, format_: Format | None) -> None:
    """Write all frames into a file: npz or Parquet with metadata, or FAISS's own format.

    Watches with their hits and suppression lists are not in it; `hashreel backup` has all.
    """
    chosen = format_ or file.suffix.removeprefix(".")
    if chosen not in FORMATS:
        raise click.UsageError(f"{file.name} has no suffix of {', '.join(FORMATS)}; name one with --format")
    url, data, api_key, collection, as_json = context.obj
    with connect(url, data, api_key) as client:
        size = client.export_index(file, format=cast("Format", chosen), collection=collection)
    print_json({"file": str(file), "bytes": size}) if as_json else click.echo(f"{file}: {size} bytes")


@cli.command("import", epilog="Example: hashreel index import gallery.npz")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_context
def import_(context: click.Context, file: Path) -> None:
    """Add the videos of an exported file (npz or Parquet, same model); those that are there already are left out."""
    url, data, api_key, collection, as_json = context.obj
    with connect(url, data, api_key) as client:
        imported = client.import_index(file, collection=collection)
    if as_json:
        print_json(imported)
    else:
        click.echo(f"{len(imported.videos)} videos added, {len(imported.present)} were there already")
