"""``hashreel videos``."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Literal

import click

from hashreel.cli.groups import OptionsAnywhere
from hashreel.cli.options import client_options, connect, json_option, parse_tags, print_json, print_table
from hashreel.cli.reports import clock, when
from hashreel.cli.texts import visible
from hashreel.schemas import VideoModel


@click.group(cls=OptionsAnywhere, invoke_without_command=True, epilog="Example: hashreel videos --tag case=17")
@click.option(
    "--state",
    type=click.Choice(["queued", "encoding", "indexed", "failed", "cancelled", "skipped"]),
    help="Only videos in this state.",
)
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Only videos with this tag; repeatable.")
@click.option("--collection", "whose", help="Only videos of one collection.  [default: the service's own]")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@client_options
@json_option
@click.pass_context
def cli(
    context: click.Context,
    state: str | None,
    tags: tuple[str, ...],
    whose: str | None,
    limit: int,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List videos, newest first; show, tag, relocate and delete them."""
    context.obj = (url, data, api_key, as_json)
    if context.invoked_subcommand:
        return
    with connect(url, data, api_key) as client:
        videos = list(islice(client.videos(state=state, tags=parse_tags(tags) or None, collection=whose), limit))
    if as_json:
        print_json({"videos": [video.model_dump() for video in videos]})
    else:
        _table(videos)


def _table(videos: list[VideoModel]) -> None:
    rows = [
        (v.id, v.state, v.frames, clock(round(v.duration_s * 1000)), v.codec, v.source, _note(v), when(v.added_at))
        for v in videos
    ]
    print_table(("id", "state", "frames", "length", "codec", "source", "note", "added"), rows, right=(0, 2, 3))


def _note(video: VideoModel) -> str:
    return video.reason or (f"{len(video.warnings)} warnings" if video.warnings else "")


@cli.command(epilog="Example: hashreel videos show 12")
@click.argument("video_id", type=int, metavar="ID")
@click.pass_context
def show(context: click.Context, video_id: int) -> None:
    """Show everything that is known about a video."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        video = client.video(video_id)
    if as_json:
        print_json(video)
        return
    for name, value in video.model_dump().items():
        click.echo(visible(f"{name:12} {value}"))


@cli.command(epilog="Example: hashreel videos delete 12 13")
@click.argument("video_ids", type=int, nargs=-1, required=True, metavar="ID ...")
@click.option("--purge", is_flag=True, help="Remove their codes from disk and memory now, not after a grace period.")
@click.pass_context
def delete(context: click.Context, video_ids: tuple[int, ...], purge: bool) -> None:
    """Delete videos from the index; the source files stay."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        for video_id in video_ids:
            client.delete_video(video_id, purge=purge)
    if as_json:
        print_json({"deleted": list(video_ids)})
    else:
        click.echo(f"deleted {len(video_ids)}")


@cli.command(epilog="Example: hashreel videos tag 12 case=17 reviewed=yes")
@click.argument("video_id", type=int, metavar="ID")
@click.argument("tags", nargs=-1, required=True, metavar="KEY=VALUE ...")
@click.pass_context
def tag(context: click.Context, video_id: int, tags: tuple[str, ...]) -> None:
    """Set tags of a video; an empty value removes one."""
    url, data, api_key, as_json = context.obj
    with connect(url, data, api_key) as client:
        video = client.set_tags(video_id, parse_tags(tags))
    print_json(video) if as_json else _table([video])


@cli.command(epilog="Example: hashreel videos relocate archive/2024 vault/2024 --dry-run")
@click.argument("old")
@click.argument("new")
@click.option(
    "--check", type=click.Choice(["sha256", "size"]), default="sha256", show_default=True, help="Compare by this."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--collection", help="Whose videos.  [default: the service's own]")
@click.pass_context
def relocate(
    context: click.Context, old: str, new: str, check: Literal["sha256", "size"], dry_run: bool, collection: str | None
) -> None:
    """Find sources that have moved under their new names.

    OLD is what the names of sources begin with, or the number of one video; NEW is what they begin with now, or that
    video's new source. A name is changed only if the file there is the one that was indexed; what is not found there is
    listed, and the exit code is 1. It can be repeated.
    """
    url, data, api_key, as_json = context.obj
    which = int(old) if old.isdecimal() else old
    with connect(url, data, api_key) as client:
        found = list(client.relocate(which, new, check=check, dry_run=dry_run, collection=collection))
    refused = [one for one in found if not one.moved]
    if as_json:
        print_json({"relocations": [one.model_dump() for one in found]})
    else:
        verb = "would be relocated" if dry_run else "relocated"
        click.echo(f"{len(found) - len(refused)} {verb}, {len(refused)} not")
        if refused:
            print_table(
                ("id", "source", "not found at", "reason"), [(o.video, o.old, o.new, o.reason) for o in refused]
            )
    if refused:
        sys.exit(1)
