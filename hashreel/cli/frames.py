"""``hashreel frames``, and how ids alone are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashreel.cli.options import client_options, connect, json_option, print_json, print_table
from hashreel.cli.reports import clock
from hashreel.cli.texts import print_csv

if TYPE_CHECKING:
    from hashreel.client.frame_calls import KnownFrames
    from hashreel.schemas import IdsAnswer

__all__ = ["cli", "print_ids"]

CSV_COLUMNS = ("distance", "video", "source", "time_ms", "frame_id", "code", "member")


@click.command(
    epilog="Example: hashreel frames 30064771155 30064771073 --csv; or, of many hits, those that are looked at: "
    "hashreel search q.jpg --ids --top 50000 | cut -f 3 | sed 1d | head -n 100 | hashreel frames -"
)
@click.argument("frames", metavar="FRAME...", nargs=-1, required=True)
@click.option("--code", metavar="HEX", help="Print the distance of each frame to this code, too.")
@click.option("--collection", help="Collection that holds them.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the frames as CSV.")
@client_options
@json_option
def cli(
    frames: tuple[str, ...],
    code: str | None,
    collection: str | None,
    as_csv: bool,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Say what is known of indexed frames. FRAME is an id; - reads them from standard input."""
    with connect(url, data, api_key) as client:
        found = client.frames(list(_ids(frames)), code=code, collection=collection)
    if as_json:
        print_json({"frames": [frame.model_dump() for frame in found], "missing": found.missing})
    elif as_csv:
        print_csv(CSV_COLUMNS, ([getattr(frame, name) for name in CSV_COLUMNS] for frame in found))
    else:
        _print(found)
    if found.missing:
        first = ", ".join(found.missing[:3]) + (", ..." if len(found.missing) > 3 else "")
        click.echo(f"{len(found.missing)} frames are not in the collection: {first}", err=True)
        raise click.exceptions.Exit(1)


def print_ids(answer: IdsAnswer, *, as_csv: bool) -> None:
    """Print an answer of ids and distances alone."""
    columns = ["rank", "distance", "frame_id" if as_csv else "frame"]
    rows: list[list[object]] = [
        [rank, *pair] for rank, pair in enumerate(zip(answer.distances, answer.frame_ids, strict=True), start=1)
    ]
    if answer.scores is not None:
        columns.append("score")
        for row, score in zip(rows, answer.scores, strict=True):
            row.append(score)
    if as_csv:
        print_csv(columns, rows)
    else:
        print_table(columns, rows, right=(0, 1))


def _print(found: KnownFrames) -> None:
    columns, right = ["frame", "time", "video", "source"], [1, 2]
    rows: list[list[object]] = [[one.frame_id, clock(one.time_ms), one.video, one.file] for one in found]
    if any(one.distance is not None for one in found):
        columns.append("distance")
        right.append(4)
        for row, one in zip(rows, found, strict=True):
            row.append(one.distance)
    print_table(columns, rows, right=right)


def _ids(frames: Iterable[str]) -> Iterable[str]:
    for frame in frames:
        yield from sys.stdin.read().split() if frame == "-" else (frame,)
