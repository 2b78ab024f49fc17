"""``hashreel watch hits`` and ``mark``: what watches have found, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hashreel.cli.options import connect, print_json, print_table
from hashreel.cli.reports import clock, when
from hashreel.cli.texts import print_csv
from hashreel.schemas import Marked, WatchHit, WatchHits

__all__ = ["hits", "mark"]

COLUMNS = ("frame_id", "video", "source", "time_s", "distance", "found_at", "state", "marked_by", "note", "member")


@click.command(epilog="Example: hashreel watch hits 9f1c2ab04d77 --state new --csv")
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


@click.command(epilog="Example: hashreel watch mark 9f1c2ab04d77 30064771073 --dismiss --note 'a poster'")
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


def _hit_row(hit: WatchHit) -> tuple[object, ...]:
    return hit.frame_id, hit.distance, clock(hit.time_ms), hit.video, hit.file, hit.state, when(hit.found_at)
