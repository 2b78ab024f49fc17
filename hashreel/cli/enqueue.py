"""``hashreel enqueue``."""

from __future__ import annotations

import codecs
import os
import sys
from glob import glob
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import click

from hashreel.cli.indexing import indexing_options, key_frame_policy
from hashreel.cli.options import (
    client_options,
    connect,
    json_option,
    parse_tags,
    print_json,
)
from hashreel.cli.reports import job_progress, report_job, tell_failures
from hashreel.errors import BadInputError

CONTROLS = [bytes([code]) for code in range(1, 32) if code not in b"\t\n\r\x1b"]
"""Rare in names; a tenth of what is compressed."""
MANY_CONTROLS = 16


@click.command(epilog="Example: hashreel enqueue archive/*.mp4 --every 1s --tag case=17 --wait")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@click.option(
    "--from",
    "lists",
    type=click.File("rb"),
    multiple=True,
    metavar="FILE",
    help="Text file of further sources, one a line, or what `find -print0` prints; - is standard input; repeatable.",
)
@indexing_options
@click.option("--again", is_flag=True, help="Encode what is indexed already once more, also under another name.")
@click.option(
    "--interactive/--bulk",
    "is_interactive",
    default=None,
    help="Go before bulk jobs, or take turns with them.  [default: up to 20 sources of 8 GiB together go before]",
)
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 if a source failed.")
@client_options
@json_option
def cli(
    sources: tuple[str, ...],
    lists: tuple[BinaryIO, ...],
    every: str | None,
    keyframes: str | None,
    scenes: bool,
    drop: tuple[str, ...],
    tags: tuple[str, ...],
    collection: str | None,
    again: bool,
    is_interactive: bool | None,
    wait: bool,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Index videos, folders of videos, folders or archives of key-frames, globs, and URLs.

    Paths are the service's: inside its source roots, or, for an embedded stack, any path of this machine. What exists
    here, by a relative path or a glob, is meant as this machine sees it when the service runs on it, too.
    URLs are read from the hosts that the service's setting source_hosts names. A source `-` is standard input, as
    with --from -. Every source ends as indexed, as skipped (its content is indexed already), or in `hashreel failures`
    with its reason. Exit code 1 if a source failed at once.
    """
    policy = key_frame_policy(every, keyframes, scenes, drop)
    if "-" in sources:
        sources = tuple(source for source in sources if source != "-") + tuple(_listed(sys.stdin.buffer.read()))
    sources += tuple(source for file in lists for source in _listed(file.read()))
    if not sources:
        raise click.UsageError("there is no source; name some, or a file of them by --from")
    if is_interactive is not None:
        policy["lane"] = "interactive" if is_interactive else "bulk"
    with connect(url, data, api_key) as client:
        paths = _as_the_service_sees(sources, client.url)
        job = client.enqueue(paths, tags=parse_tags(tags), collection=collection, again=again, **policy)
        if not wait:
            status = job.status()
            print_json(status) if as_json else click.echo(f"job {job.id}: {status.counts.total} sources")
            if status.counts.failed:
                tell_failures(client, job.id, status.counts.failed)
                sys.exit(1)
            return
        # Whatever happens to this command or to the service, the job can be found again.
        click.echo(f"job {job.id}: waiting; `hashreel jobs show {job.id}` shows it, too", err=True)
        status = job.wait(progress=job_progress(as_json=as_json)).status()
        if as_json:
            print_json(status)
        else:
            report_job(client, status)
    if status.counts.failed:
        sys.exit(1)


def _listed(content: bytes) -> list[str]:
    """Return the sources of a list: lines, or parts that end in a zero byte, for names with line breaks."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode()
    if sum(map(content.count, CONTROLS)) > max(MANY_CONTROLS, (len(content) - content.count(b"\0")) / 20):
        raise BadInputError(
            "what is to be a list of sources is no text but data; name a video itself as a source, without --from"
        )
    parts = content.split(b"\0") if b"\0" in content else content.removeprefix(codecs.BOM_UTF8).splitlines()
    return [os.fsdecode(part) for part in parts if part.strip()]


def _as_the_service_sees(sources: tuple[str, ...], url: str) -> list[str]:
    """Return absolute paths for what exists here, if the service is on this machine; say so if it is not."""
    here = [source for source in sources if "://" not in source and (os.path.exists(source) or glob(source))]
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.startswith("127.") or host in {"::1", "0.0.0.0"}:
        return [os.path.abspath(source) if source in here else source for source in sources]
    if here:
        click.echo(
            f"note: {here[0]} exists on this machine, but paths are those of the service at {host}, inside its source "
            "roots; files of this machine have to be uploaded (hashreel upload, Client.upload, the page)",
            err=True,
        )
    return list(sources)
