"""What it costs to take many sources in, to look at their job, and to check it for lost work.

    python -m benchmarks.enqueue_speed [--sources 100000]

Empty files in folders of a hundred are enqueued as a service does it, into a Redis of its own; no worker runs. Figures
are wall-clock seconds of one run; measure on an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hashreel.schemas import EnqueueRequest
from hashreel.settings import Settings
from hashreel.stack import redis_program
from indexer.store import Store, connect
from workers.app import make_app
from workers.queue import JobQueue
from workers.reconciler import Reconciler
from workers.sending import Sender
from workers.units import Units

FINGERPRINT = "ab" * 32


@contextlib.contextmanager
def redis_in(folder: Path) -> Iterator[str]:
    """Run a Redis with an append-only file and yield its URL."""
    address = folder / "r.sock"
    options = ["--port", "0", "--unixsocket", str(address), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    with subprocess.Popen([redis_program(), *options], stdout=subprocess.DEVNULL) as server:
        try:
            while not address.exists():
                time.sleep(0.01)
            yield f"unix://{address}?db=0"
        finally:
            server.terminate()


def make_sources(folder: Path, count: int) -> None:
    """Write empty files, a hundred a folder."""
    for number in range(count):
        path = folder / f"{number // 100:05}" / f"{number:07}.mp4"
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        path.touch()


def timed(what: str, call: Callable[[], object], per: int = 1) -> None:
    """Do something and print how long it took, a call and a source."""
    begun = time.perf_counter()
    call()
    seconds = time.perf_counter() - begun
    each = f"  {1000 * seconds / per:8.3f} ms each" if per > 1 else ""
    print(f"{what:45} {seconds:9.3f} s{each}")


def measure(folder: Path, url: str, count: int) -> None:
    """Enqueue the sources and look at their job."""
    settings = Settings(redis_url=url, data=folder, roots={"archive": folder / "archive"})
    store = Store(connect(url))
    store.ensure_collection("main", model="m", fingerprint=FINGERPRINT, bits=48)
    app = make_app(settings)
    units, send = Units(store.redis, store.keys), Sender(app)
    queue = JobQueue(store, units, send, settings)
    broker = connect(url.replace("db=0", "db=1"))
    request = EnqueueRequest(sources=["archive"])
    timed(f"enqueue {count} sources", lambda: queue.enqueue(request), count)
    print(f"{'messages in the broker':45} {sum(broker.llen(key) for key in broker.keys('hashreel*')):9}")
    (job,) = queue.jobs()
    timed("look at the job (as progress does)", lambda: queue.job(job.id))
    print(f"{'bytes of its answer':45} {len(queue.job(job.id).model_dump_json()):9}")
    timed("list jobs", queue.jobs)
    reconciler = Reconciler(store, units, send, broker, settings)
    time.sleep(11)  # until what was sent is old enough to be looked at
    timed("check for lost work", reconciler.check)
    timed(f"enqueue the same {count} sources again", lambda: queue.enqueue(request), count)
    timed("cancel both jobs", lambda: [queue.cancel(job.id) for job in queue.jobs()], 2 * count)
    app.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=100_000)
    count = parser.parse_args().sources
    with tempfile.TemporaryDirectory(prefix="hr-") as name:
        folder = Path(name)
        make_sources(folder / "archive", count)
        with redis_in(folder) as url:
            measure(folder, url, count)


if __name__ == "__main__":
    sys.exit(main())
