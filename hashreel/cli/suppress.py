"""``hashreel suppress``."""

from __future__ import annotations

from pathlib import Path

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import client_options, connect, json_option, print_json, print_table
from hashreel.cli.reports import when
from hashreel.schemas import SuppressionModel, Suppressions

__all__ = ["cli"]


@click.group(
    cls=OptionsAnywhere,
    invoke_without_command=True,
    epilog="Example: hashreel suppress add intro.jpg --radius 6 --name 'channel intro'",
)
@click.option("--collection", help="Whose list.")
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
    """Leave frames that look like an example (an intro, a logo) out of all answers."""
    context.obj = (collection, url, data, api_key, as_json)
    if context.invoked_subcommand is None:
        _list(context)


@cli.command("list", epilog="Example: hashreel suppress list")
@click.pass_context
def list_(context: click.Context) -> None:
    """List the examples, and how many frames each one leaves out."""
    _list(context)


@cli.command(epilog="Example: hashreel suppress add frame:30064771073 --radius 4 --name 'end card'")
@click.argument("query")
@click.option("--radius", type=click.IntRange(0, 256), default=4, show_default=True, help="Largest Hamming distance.")
@click.option("--name", default="", help="What it is.")
@click.pass_context
def add(context: click.Context, query: str, radius: int, name: str) -> None:
    """Leave frames like QUERY out: a picture file or frame:ID."""
    collection, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        added = client.suppress(query, radius=radius, name=name, collection=collection)
    if as_json:
        print_json(added)
    else:
        click.echo(f"{added.id}: {added.frames} frames are left out from now on")


@cli.command(epilog="Example: hashreel suppress remove 9f1c2ab04d77")
@click.argument("suppression_id", metavar="ID")
@click.pass_context
def remove(context: click.Context, suppression_id: str) -> None:
    """Find the likes of an example again."""
    collection, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        removed = client.unsuppress(suppression_id, collection=collection)
    if as_json:
        print_json(removed)
    else:
        click.echo(f"{removed.id}: {removed.frames} frames can be found again")


def _list(context: click.Context) -> None:
    collection, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        listed = client.suppressions(collection=collection)
    if as_json:
        print_json(Suppressions(suppressions=listed))
    else:
        print_table(("id", "name", "radius", "frames", "since"), [_row(one) for one in listed], right=(2, 3))


def _row(one: SuppressionModel) -> tuple[object, ...]:
    return one.id, one.name, one.radius, one.frames, when(one.created_at)
