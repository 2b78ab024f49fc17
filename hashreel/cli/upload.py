"""``hashreel upload``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashreel.cli.indexing import indexing_options, key_frame_policy
from hashreel.cli.options import client_options, connect, json_option, parse_tags, print_json
from hashreel.cli.reports import job_progress, report_job
from hashreel.errors import ForbiddenError, HashreelError, StorageFullError, UnavailableError
from hashreel.schemas import Upload

if TYPE_CHECKING:
    from hashreel.client import Client

Shown = Callable[[int], None]


@click.command(epilog="Example: hashreel upload *.mp4 --tag case=17 --wait")
@click.argument("files", nargs=-1, required=True, metavar="FILE ...", type=click.Path(path_type=Path))
@indexing_options
@click.option("--no-index", is_flag=True, help="Only send the files; `hashreel enqueue uploads/NAME` indexes them.")
@click.option("--wait", is_flag=True, help="Wait until they are indexed; exit code 1 if one failed.")
@client_options
@json_option
def cli(
    files: tuple[Path, ...],
    every: str | None,
    keyframes: str | None,
    scenes: bool,
    drop: tuple[str, ...],
    tags: tuple[str, ...],
    collection: str | None,
    no_index: bool,
    wait: bool,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Send videos of this machine to the service and index them.

    For files that the service cannot reach by a path; others are better enqueued where they are. One that cannot be
    sent is told and the others go on; then the exit code is 1. A file that is sent again, after an interruption say,
    is kept once and indexed once.
    """
    policy = key_frame_policy(every, keyframes, scenes, drop)
    if no_index and (wait or tags or collection or policy):
        raise click.UsageError("--no-index goes with none of the options about indexing")
    labels = parse_tags(tags)
    with connect(url, data, api_key) as client:
        uploads = _send(client, files)
        job = None
        if uploads and not no_index:
            job = client.enqueue(uploads, tags=labels, collection=collection, **policy)
            click.echo(f"job {job.id}: {len(uploads)} files; `hashreel jobs show {job.id}` shows it", err=True)
            if wait:
                job.wait(progress=job_progress(as_json=as_json))
        if as_json:
            print_json({"uploads": [upload.model_dump() for upload in uploads], "job": job and job.model.model_dump()})
        elif job is not None and wait:
            report_job(client, job.model)
    if len(uploads) < len(files) or (job is not None and job.model.counts.failed):
        sys.exit(1)


def _send(client: Client, files: tuple[Path, ...]) -> list[Upload]:
    """Send files one after the other; return what the service made of those that got through."""
    uploads = []
    for path in files:
        try:
            with _progress(path) as shown:
                uploads.append(client.upload(path, on_bytes=shown))
        except (HashreelError, OSError) as exc:
            click.echo(f"{path}: {exc}", err=True)
            if isinstance(exc, ForbiddenError | UnavailableError | StorageFullError):
                break  # the next ones would fare no better
        else:
            click.echo(f"{path}: {uploads[-1].source}", err=True)
    return uploads


@contextmanager
def _progress(path: Path) -> Iterator[Shown | None]:
    """Show a bar for a file while it is sent, on a terminal; yield what is told how many bytes are out."""
    if not sys.stderr.isatty() or not path.is_file():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(path.name.replace("[", r"\["), total=path.stat().st_size)
        yield lambda sent: bar.update(task, completed=sent)
