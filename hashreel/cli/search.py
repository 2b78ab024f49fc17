"""``hashreel search``."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hashreel.cli.frames import print_ids
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
from hashreel.cli.pictures import Protocol, escape_picture, protocol_of_terminal
from hashreel.cli.reports import clock
from hashreel.cli.search_clip import PREFIX, search_clip
from hashreel.cli.texts import print_csv
from hashreel.errors import HashreelError
from hashreel.schemas import IdsAnswer

if TYPE_CHECKING:
    from hashreel.client import Client, Hits

PICTURED = 5
CSV_COLUMNS = ("rank", "distance", "video", "source", "time_ms", "frame_id", "code", "member")


@click.command(epilog="Examples: hashreel search query.jpg --top 5 --tag case=17, or hashreel search clip:clip.mp4")
@click.argument("query", required=False)
@click.option("--top", type=click.IntRange(0), default=10, show_default=True, help="Number of hits.")
@click.option("--radius", type=click.IntRange(0, 256), help="Largest Hamming distance, inclusive.")
@click.option("--box", metavar="X,Y,W,H", help="Search for this part of the picture; fractions of its size.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only videos with this tag; repeatable: of one key any value, of several keys all.",
)
@click.option("--video", "videos", type=int, multiple=True, metavar="ID", help="Only this video; repeatable.")
@click.option("--between", nargs=2, metavar="A B", help="Only frames from time A up to time B, such as 0s 1:30.")
@click.option("--group", type=click.Choice(["video"]), help="The best frame of each video.")
@click.option("--concept", "concepts", multiple=True, help="Only frames in which the model sees this; repeatable.")
@click.option("--min-area", type=click.FloatRange(0, 1, min_open=True), help="Least share that a --concept covers.")
@click.option("--more", multiple=True, metavar="FRAME", help="More like this frame; repeatable. Orders all hits anew.")
@click.option("--less", multiple=True, metavar="FRAME", help="Less like this frame; repeatable.")
@click.option("--include-suppressed", is_flag=True, help="Also frames that `hashreel suppress` leaves out.")
@click.option("--exclude-self", is_flag=True, help="Leave the query frame itself out (with frame:ID).")
@click.option(
    "--ties",
    type=click.Choice(["id", "asymmetric"]),
    default="id",
    show_default=True,
    help="Order at equal distance: by frame id, or by the network's real-valued outputs for the picture.",
)
@click.option("--collection", help="Collection to search.")
@click.option("--pictures/--no-pictures", default=None, help="Thumbnails in the terminal.  [default: where it can]")
@click.option("--open", "opens_page", is_flag=True, help="Show the hits on the service's page, in the browser.")
@click.option("--ids", "only_ids", is_flag=True, help="Only frame ids and distances: for many hits at once.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the hits as CSV.")
@client_options
@json_option
def cli(
    query: str | None,
    top: int,
    radius: int | None,
    box: str | None,
    tags: tuple[str, ...],
    videos: tuple[int, ...],
    between: tuple[str, str] | None,
    group: Literal["video"] | None,
    concepts: tuple[str, ...],
    min_area: float | None,
    more: tuple[str, ...],
    less: tuple[str, ...],
    include_suppressed: bool,
    exclude_self: bool,
    ties: Literal["id", "asymmetric"],
    collection: str | None,
    pictures: bool | None,
    opens_page: bool,
    only_ids: bool,
    as_csv: bool,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Find the moments that look like QUERY: a picture file or its URL, frame:ID, code:HEX, or clip:FILE.

    A URL is read by the service, if its picture_hosts allow it.
    A clip gives stretches of videos, aligned in time; of the options only filters of videos and times go with it.
    Without QUERY, frames with a --concept come by its area, and frames like those of --more by their likeness.
    """
    if query is None and not (concepts or more):
        raise click.UsageError("QUERY is missing; only --concept and --more do without one")
    if query is None and opens_page:
        raise click.UsageError("--open shows the answer to a query; concepts and marks alone have no address")
    if query is not None and query.startswith(PREFIX):
        _refuse_with_clips(
            {"--radius": radius, "--box": box, "--group": group, "--concept": concepts, "--min-area": min_area,
             "--exclude-self": exclude_self, "--more": more, "--less": less,
             "--open": opens_page, "--ids": only_ids, "--ties": ties != "id"}
        )  # fmt: skip
        options = {
            "tags": parse_tag_filter(tags),
            "videos": list(videos) or None,
            "between": parse_between(between),
            "collection": collection,
            "include_suppressed": include_suppressed,
        }
        with connect(url, data, api_key) as client:
            search_clip(client, query, top, options, as_json=as_json, as_csv=as_csv)
        return
    if only_ids and (opens_page or pictures):
        raise click.UsageError(f"{'--open' if opens_page else '--pictures'} does not go with --ids")
    with connect(url, data, api_key) as client:
        search = client.search_ids if only_ids else client.search
        hits = search(
            query,
            top=top,
            radius=radius,
            box=parse_box(box),
            tags=parse_tag_filter(tags),
            videos=list(videos) or None,
            between=parse_between(between),
            group_by=group,
            concepts=list(concepts) or None,
            min_area=min_area,
            more=more or None,
            less=less or None,
            include_suppressed=include_suppressed,
            exclude_self=exclude_self,
            ties=ties,
            collection=collection,
        )
        if isinstance(hits, IdsAnswer):
            print_json(hits) if as_json else print_ids(hits, as_csv=as_csv)
            return
        if as_json:
            print_json(hits.answer)
        elif as_csv:
            _print_csv(hits)
        else:
            _print_pictures(client, hits, protocol_of_terminal() if pictures is not False else None)
            _print_hits(hits)
            _remark(hits)
        if opens_page:
            _open_page(client, hits)


def _open_page(client: Client, hits: Hits) -> None:
    address = f"{client.url}/#/search?code={hits.code}"
    if not webbrowser.open(address):
        click.echo(f"no browser could be started; the hits are at {address}", err=True)


def _print_pictures(client: Client, hits: Hits, protocol: Protocol | None) -> None:
    if protocol is None:
        return
    for rank, hit in enumerate(hits[:PICTURED], start=1):
        try:
            shown = escape_picture(client.thumbnail(hit.frame_id, 320), protocol)
        except HashreelError:
            shown = None
        if shown is not None:
            click.echo(f"{shown}\n{rank}  {clock(hit.time_ms)}  {hit.file}")


def _refuse_with_clips(given: dict[str, object]) -> None:
    wrong = [name for name, value in given.items() if value not in (None, (), False)]
    if wrong:
        raise click.UsageError(f"{wrong[0]} does not go with clip:FILE; filters are --tag, --video and --between")


def _print_hits(hits: Hits) -> None:
    columns = ["rank", "distance", "time", "source", "frame"]
    rows = [[n, h.distance, clock(h.time_ms), h.file, h.frame_id] for n, h in enumerate(hits, start=1)]
    if any(hit.concepts for hit in hits):
        columns.append("concepts")
        for row, hit in zip(rows, hits, strict=True):
            row.append(", ".join(f"{concept.name} {concept.area:.0%}" for concept in hit.concepts[:4]))
    print_table(columns, rows, right=(0, 1, 2))


def _print_csv(hits: Hits) -> None:
    rows = [(n, h.distance, h.video, h.source, h.time_ms, h.frame_id, h.code, h.member) for n, h in enumerate(hits, 1)]
    print_csv(CSV_COLUMNS, rows)


def _remark(hits: Hits) -> None:
    answer = hits.answer
    click.echo(f"{len(hits)} of {answer.gallery} frames, {answer.search_ms:.2f} ms", err=True)
    if answer.suppressed:
        click.echo(f"{answer.suppressed} frames are suppressed; --include-suppressed shows them", err=True)
    if answer.behind:
        click.echo("the index is behind: the newest videos may be missing", err=True)
    if answer.stale:
        click.echo("Redis does not answer: this is the last known state", err=True)
