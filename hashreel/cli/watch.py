"""``hashreel watch``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import (
    client_options,
    connect,
    json_option,
    parse_between,
    parse_box,
    parse_tag_filter,
    print_json,
    print_table,
)
from hashreel.cli.reports import when
from hashreel.cli.watch_hits import hits, mark
from hashreel.cli.watch_webhooks import deliveries, rotate_secret, test_webhook
from hashreel.schemas import Watches, WatchModel

__all__ = ["cli"]


@click.group(
    cls=OptionsAnywhere,
    invoke_without_command=True,
    epilog="Example: hashreel watch add painting.jpg --radius 8 --name 'stolen painting', then hashreel watch hits ID",
)
@click.option("--collection", help="Which collection is watched.")
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
    """Save queries that run on everything that is indexed, and on what is stored; look at what they have found."""
    context.obj = (collection, url, data, api_key, as_json)
    if context.invoked_subcommand is None:
        _list(context)


@cli.command("list", epilog="Example: hashreel watch list --collection news")
@click.pass_context
def list_(context: click.Context) -> None:
    """List the watches, and how many hits each one has."""
    _list(context)


@cli.command(
    epilog="Example: hashreel watch add a.jpg b.jpg --radius 8 --name painting --webhook https://desk.example/hit"
)
@click.argument("queries", metavar="QUERY...", nargs=-1, required=True)
@click.option("--radius", type=click.IntRange(0, 256), default=4, show_default=True, help="Largest Hamming distance.")
@click.option("--name", default="", help="What it is.")
@click.option("--note", default="", help="For whoever sees its hits.")
@click.option("--webhook", default="", metavar="URL", help="Where hits are sent to; on a host that the service allows.")
@click.option("--box", metavar="X,Y,W,H", help="Part of the pictures to look for, each in [0, 1].")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="Only videos with this tag.")
@click.option("--between", nargs=2, metavar="A B", help="Only frames with A <= time < B.")
@click.option("--concept", "concepts", multiple=True, help="Only frames in which the model sees this.")
@click.option("--min-area", type=click.FloatRange(0, 1, min_open=True), help="Least share of each --concept.")
@click.option("--include-suppressed", is_flag=True, help="Also report what the suppression list leaves out.")
@click.pass_context
def add(
    context: click.Context,
    queries: tuple[str, ...],
    radius: int,
    name: str,
    note: str,
    webhook: str,
    box: str | None,
    tags: tuple[str, ...],
    between: tuple[str, str] | None,
    concepts: tuple[str, ...],
    min_area: float | None,
    include_suppressed: bool,
) -> None:
    """Watch for frames like any QUERY: a picture file, frame:ID or code:HEX."""
    collection, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        made = client.watch(
            list(queries),
            radius=radius,
            name=name,
            note=note,
            webhook=webhook,
            box=parse_box(box),
            tags=parse_tag_filter(tags),
            between=parse_between(between),
            concepts=list(concepts) or None,
            min_area=min_area,
            include_suppressed=include_suppressed,
            collection=collection,
        )
    if as_json:
        print_json(made)
        return
    click.echo(f"{made.id}: {made.hits} hits in what is stored" + ("" if made.searched else " so far"))
    if webhook:
        click.echo(f"secret of its webhook, shown once: {made.secret}")


@cli.command(epilog="Example: hashreel watch change 9f1c2ab04d77 --radius 10 --webhook ''")
@click.argument("watch_id", metavar="ID")
@click.option("--name", help="What it is.")
@click.option("--note", help="For whoever sees its hits.")
@click.option("--radius", type=click.IntRange(0, 256), help="A larger one also searches what is stored.")
@click.option("--webhook", metavar="URL", help="Where hits are sent to; '' for nowhere.")
@click.option("--pause/--resume", "paused", default=None, help="Find nothing for now; what came in between afterwards.")
@click.pass_context
def change(
    context: click.Context,
    watch_id: str,
    name: str | None,
    note: str | None,
    radius: int | None,
    webhook: str | None,
    paused: bool | None,
) -> None:
    """Change a watch."""
    _, url, data, api_key, as_json = context.obj
    given = {"name": name, "note": note, "radius": radius, "webhook": webhook, "paused": paused}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("nothing is to be changed; give --name, --note, --radius, --webhook or --pause")
    with connect(url, data, api_key) as client:
        changed = client.change_watch(watch_id, **changes)  # type: ignore[arg-type]
    if as_json:
        print_json(changed)
    else:
        _table([changed])


@cli.command(epilog="Example: hashreel watch remove 9f1c2ab04d77")
@click.argument("watch_id", metavar="ID")
@click.pass_context
def remove(context: click.Context, watch_id: str) -> None:
    """Watch no more, and forget the hits."""
    _, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        removed = client.unwatch(watch_id)
    if as_json:
        print_json(removed)
    else:
        click.echo(f"{removed.id}: watched no more; {removed.hits} hits are forgotten")


for command in (hits, mark, test_webhook, rotate_secret, deliveries):
    cli.add_command(command)


def _list(context: click.Context) -> None:
    collection, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        listed = client.watches(collection=collection)
    if as_json:
        print_json(Watches(watches=listed))
    else:
        _table(listed)


def _table(watches: Sequence[WatchModel]) -> None:
    rows = [
        (one.id, one.name, one.radius, one.examples, one.hits, one.new, one.dead, when(one.created_at), one.problem)
        for one in watches
    ]
    columns = ("id", "name", "radius", "examples", "hits", "new", "undelivered", "since", "problem")
    print_table(columns, rows, right=(2, 3, 4, 5, 6))
