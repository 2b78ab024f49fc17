"""``hashreel search clip:FILE``: how a clip's stretches are asked for and printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hashreel.cli.options import print_json, print_table
from hashreel.cli.reports import clock
from hashreel.cli.texts import print_csv

if TYPE_CHECKING:
    from hashreel.client import Client, Stretches

__all__ = ["PREFIX", "search_clip"]

PREFIX = "clip:"
CSV_COLUMNS = (
    "rank", "score", "mean_distance", "video", "source", "start_ms", "end_ms",
    "clip_start_ms", "clip_end_ms", "offset_ms", "rate", "frames", "frame_id", "member",
)  # fmt: skip


def search_clip(client: Client, query: str, top: int, options: dict[str, Any], *, as_json: bool, as_csv: bool) -> None:
    """Search for a clip and print what it matches.

    Args:
        client: Of the service.
        query: ``clip:FILE``.
        top: Number of stretches.
        options: Of ``Client.search_clip``.
        as_json: Print the whole answer as JSON.
        as_csv: Print the stretches as CSV.
    """
    stretches = client.search_clip(query.removeprefix(PREFIX), top, **options)
    if as_json:
        print_json(stretches.answer)
    elif as_csv:
        rows = ((n, *(getattr(one, name) for name in CSV_COLUMNS[1:])) for n, one in enumerate(stretches, start=1))
        print_csv(CSV_COLUMNS, rows)
    else:
        _print_table(stretches)


def _print_table(stretches: Stretches) -> None:
    rows = [
        (
            rank,
            f"{s.score:.2f}",
            f"{clock(s.start_ms)}-{clock(s.end_ms)}",
            f"{clock(s.clip_start_ms)}-{clock(s.clip_end_ms)}",
            f"{s.rate:.2f}",
            s.file,
        )
        for rank, s in enumerate(stretches, start=1)
    ]
    print_table(("rank", "score", "in the video", "in the clip", "rate", "source"), rows, right=(0, 1, 4))
    answer = stretches.answer
    note = f"{answer.clip_frames} frames of the clip against {answer.gallery}, {answer.search_ms:.0f} ms"
    click.echo(note + (f"; damage in the clip: {answer.warnings[0].reason}" if answer.warnings else ""), err=True)
