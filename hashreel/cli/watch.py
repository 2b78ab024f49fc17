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
from hashreel.cli.reports import clock, when
from hashreel.cli.texts import print_csv
from hashreel.schemas import Deliveries, DeliveryModel, Marked, Watches, WatchHit, WatchHits, WatchModel

__all__ = ["cli"]

COLUMNS = ("frame_id", "video", "source", "time_s", "distance", "found_at", "state", "marked_by", "note")


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
@click.pass_context
def change(
    context: click.Context,
    watch_id: str,
    name: str | None,
    note: str | None,
    radius: int | None,
    webhook: str | None,
) -> None:
    """Change a watch."""
    _, url, data, api_key, as_json = context.obj
    given = {"name": name, "note": note, "radius": radius, "webhook": webhook}
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("nothing is to be changed; give --name, --note, --radius or --webhook")
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


@cli.command(epilog="Example: hashreel watch hits 9f1c2ab04d77 --state new --csv")
@click.argument("watch_id", metavar="ID")
@click.option("--state", type=click.Choice(["new", "acknowledged", "dismissed"]), help="Only these.")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the newest.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the hits as CSV.")
@click.pass_context
def hits(context: click.Context, watch_id: str, state: str | None, limit: int | None, as_csv: bool) -> None:
    """List what a watch has found, the newest first."""
    _, url, data, api_key, as_json = context.obj
    found: list[WatchHit] = []
    with connect(url, data, api_key) as client:
        for hit in client.watch_hits(watch_id, state=state):  # type: ignore[arg-type]
            found.append(hit)
            if len(found) == limit:
                break
    if as_json:
        print_json(WatchHits(hits=found))
    elif as_csv:
        print_csv(COLUMNS, ([getattr(hit, name) for name in COLUMNS] for hit in found))
    else:
        columns = ("frame", "distance", "time", "video", "source", "state", "found")
        print_table(columns, [_hit_row(hit) for hit in found], right=(1, 2, 3))


@cli.command(epilog="Example: hashreel watch mark 9f1c2ab04d77 30064771073 --dismiss --note 'a poster'")
@click.argument("watch_id", metavar="ID")
@click.argument("frames", metavar="FRAME...", nargs=-1, required=True)
@click.option("--dismiss", "state", flag_value="dismissed", help="They are not what was looked for.")
@click.option("--acknowledge", "state", flag_value="acknowledged", default="acknowledged", help="They are.  [default]")
@click.option("--new", "state", flag_value="new", help="Take back what was said.")
@click.option("--note", default="", help="Why, for others.")
@click.pass_context
def mark(context: click.Context, watch_id: str, frames: Sequence[str], state: str, note: str) -> None:
    """Acknowledge or dismiss hits."""
    _, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        marked = client.mark_hits(watch_id, list(frames), state, note)  # type: ignore[arg-type]
    if as_json:
        print_json(Marked(marked=marked))
    else:
        click.echo(f"{marked} of {len(frames)} frames are hits of {watch_id}, now {state}")


@cli.command("test-webhook", epilog="Example: hashreel watch test-webhook 9f1c2ab04d77")
@click.argument("watch_id", metavar="ID")
@click.pass_context
def test_webhook(context: click.Context, watch_id: str) -> None:
    """Send a signed message without hits to a watch's webhook, once."""
    _, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        outcome = client.test_webhook(watch_id)
    if as_json:
        print_json(outcome)
    else:
        click.echo(f"delivered: status {outcome.status}" if outcome.state == "delivered" else outcome.reason)
    if outcome.state != "delivered":
        raise click.exceptions.Exit(1)


@cli.command(epilog="Example: hashreel watch deliveries 9f1c2ab04d77 --state dead --retry")
@click.argument("watch_id", metavar="ID")
@click.option("--state", type=click.Choice(["waiting", "delivered", "dead"]), help="Only these.")
@click.option("--retry", is_flag=True, help="Send those again that were given up.")
@click.pass_context
def deliveries(context: click.Context, watch_id: str, state: str | None, retry: bool) -> None:
    """List the messages to a watch's webhook, the newest first."""
    _, url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        listed = client.deliveries(watch_id, state=state)  # type: ignore[arg-type]
        if retry:
            for one in [delivery for delivery in listed if delivery.state == "dead"]:
                listed[listed.index(one)] = client.retry_delivery(watch_id, one.id)
    if as_json:
        print_json(Deliveries(deliveries=listed))
    else:
        columns = ("delivery", "state", "hits", "tries", "status", "created", "reason")
        print_table(columns, [_delivery_row(one) for one in listed], right=(2, 3, 4))


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


def _hit_row(hit: WatchHit) -> tuple[object, ...]:
    return hit.frame_id, hit.distance, clock(hit.time_ms), hit.video, hit.source, hit.state, when(hit.found_at)


def _delivery_row(one: DeliveryModel) -> tuple[object, ...]:
    return one.id, one.state, one.hits, one.tries, one.status, when(one.created_at), one.reason
