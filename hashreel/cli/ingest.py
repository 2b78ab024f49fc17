"""``hashreel ingest``."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from hashreel.cli.indexing import indexing_options, key_frame_policy
from hashreel.cli.options import client_options, connect, json_option, parse_duration_s, parse_tags
from hashreel.cli.reports import tell_failures
from hashreel.cli.texts import visible
from hashreel.errors import BadInputError, HashreelError, UnavailableError

if TYPE_CHECKING:
    from hashreel.arrivals import Arrivals, Journal, Request
    from hashreel.client import Client

JOB_SOURCES = 1000
# Looking takes at most about a tenth of the time, however large the folder is.
LOOK_SHARE = 10


@click.command(epilog="Example: hashreel ingest --follow /srv/incoming --every 1s --tag source=incoming")
@click.argument("folder_name", type=click.Path(file_okay=False), metavar="DIR")
@click.option("--follow", is_flag=True, help="Go on looking for new files until Ctrl-C.")
@click.option(
    "--settle", default="10s", show_default=True, metavar="TIME", help="A file is complete when unchanged so long."
)
@click.option("--poll", default="5s", show_default=True, metavar="TIME", help="Pause between two looks.")
@click.option(
    "--ignore", multiple=True, metavar="GLOB", help="Names to leave alone, such as '*.proxy.mp4'; repeatable."
)
@click.option("--as", "known_as", metavar="PREFIX", help="What the service calls DIR, such as archive/incoming.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that remembers what was taken.  [default: one for this folder and service in ~/.local/state/hashreel]",
)
@indexing_options
@click.option("--interactive/--bulk", "is_interactive", default=None, help="As for `hashreel enqueue`.")
@client_options
@json_option
def cli(
    folder_name: str,
    follow: bool,
    settle: str,
    poll: str,
    ignore: tuple[str, ...],
    known_as: str | None,
    state: Path | None,
    every: str | None,
    keyframes: str | None,
    scenes: bool,
    drop: tuple[str, ...],
    tags: tuple[str, ...],
    collection: str | None,
    is_interactive: bool | None,
    url: str | None,
    data: Path | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Index the videos of a folder once they are complete, each once; with --follow, also those that come later.

    A file is complete when its size and time of change have not changed for the time of --settle; names that end in
    .part, .tmp and the like, hidden files, and what is no video are left alone. What was taken is remembered: after a
    restart nothing is enqueued twice, and a file that was overwritten is indexed anew. DIR is a folder of this machine;
    where the service knows it by another name, --as says by which. With --json, one JSON document a line and job.
    Exit code 1 if a source failed at once, or a folder could not be listed; what fails later is in `hashreel failures`.
    """
    from hashreel.arrivals import Arrivals, Journal

    folder = Path(folder_name).absolute()
    if not folder_name or not folder.is_dir():
        raise BadInputError(f"{folder_name or 'an empty name'} is no folder of this machine")
    options: dict[str, Any] = {"tags": parse_tags(tags), "collection": collection}
    options |= key_frame_policy(every, keyframes, scenes, drop)
    options |= {"lane": "interactive" if is_interactive else "bulk"} if is_interactive is not None else {}
    arrivals = Arrivals(folder, settle_s=parse_duration_s(settle), ignore=ignore)
    with connect(url, data, api_key) as client:
        journal = Journal(state or _default_state(folder, client.url if data is None else str(data.absolute())))
        try:
            keeper = _Keeper(client, folder, known_as, journal, arrivals, options, as_json=as_json)
            keeper.run(follow=follow, poll_s=parse_duration_s(poll))
        finally:
            journal.close()
    if keeper.failed:
        sys.exit(1)


def _default_state(folder: Path, service: str) -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    digest = hashlib.sha256(f"{service}\0{folder}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return base / "hashreel" / f"ingest-{digest}.jsonl"


class _Keeper:
    """Looks, asks, and writes down what was asked."""

    def __init__(
        self,
        client: Client,
        folder: Path,
        known_as: str | None,
        journal: Journal,
        arrivals: Arrivals,
        options: dict[str, Any],
        *,
        as_json: bool,
    ) -> None:
        self._client = client
        self._folder = folder
        self._known_as = known_as
        self._journal = journal
        self._arrivals = arrivals
        self._options = options
        self._as_json = as_json
        self._trouble = ""
        self._closed: set[str] = set()
        self.failed = 0

    def run(self, *, follow: bool, poll_s: float) -> None:
        """Look until nothing is left to come, or until told to end."""
        # A service manager ends it by SIGTERM: what was written down is whole at any moment.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if follow:
            click.echo(f"following {self._folder}; Ctrl-C ends it", err=True)
        while True:
            begun = time.monotonic()
            self._look(begun)
            is_left = self._arrivals.pending or self._journal.unanswered
            if not follow and not is_left:
                return
            time.sleep(max(poll_s, LOOK_SHARE * (time.monotonic() - begun)))

    def _look(self, now: float) -> None:
        try:
            for request in self._journal.unanswered:
                self._send(request)
            complete = self._arrivals.look(now, self._journal.is_taken)
            self._tell_closed()
            for start in range(0, len(complete), JOB_SOURCES):
                files = complete[start : start + JOB_SOURCES]
                request = self._journal.ask(files, self._options | {"sources": [self._named(f.path) for f in files]})
                self._arrivals.forget(files)
                self._send(request)
            self._is_well()
        except (UnavailableError, OSError) as exc:
            # A share or a service that is away comes back.
            self._say(str(exc))

    def _send(self, request: Request) -> None:
        options = dict(request.options)
        try:
            job = self._client.enqueue(options.pop("sources"), key=request.key, **options)
        except UnavailableError:
            raise
        except HashreelError:
            # It would be refused again: its files wait for better options.
            self._journal.refused(request)
            raise
        self._journal.accepted(request)
        paths = [_printable(found.path) for found in request.files]
        if self._as_json:
            click.echo(json.dumps({"job": job.id, "files": paths}))
        else:
            click.echo(visible(f"job {job.id}: {len(paths)} files, first {paths[0]}"))
        sys.stdout.flush()
        if failed := job.model.counts.failed:
            self.failed += failed
            tell_failures(self._client, job.id, failed)

    def _named(self, path: str) -> str:
        if self._known_as is None:
            return path
        return str(PurePosixPath(self._known_as) / PurePosixPath(path).relative_to(self._folder.as_posix()))

    def _tell_closed(self) -> None:
        """Say once of each folder that it cannot be listed."""
        for path, reason in self._arrivals.closed.items():
            if path not in self._closed:
                click.echo(visible(f"{_printable(path)}: cannot be listed: {reason}"), err=True)
        self.failed += len(self._arrivals.closed.keys() - self._closed)
        self._closed = set(self._arrivals.closed)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            click.echo(f"waiting: {trouble}", err=True)

    def _is_well(self) -> None:
        if self._trouble:
            self._trouble = ""
            click.echo("going on", err=True)


def _printable(path: str) -> str:
    """Return a path as text that can be shown."""
    return path.encode("utf-8", "replace").decode()
