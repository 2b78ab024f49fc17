"""Sources by s3, gs and sftp from real servers, through a whole stack: indexed like files, or failed with a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from farm import make_clips
from gallery_mirror import wait_until
from remote_servers import Place, remote_places
from stacks import embedded_stack

from encoder.clips import generate_clip
from hashreel import Client
from hashreel.schemas import Failure
from indexer.chunks import decode_chunk
from indexer.store import Store, connect

# What the servers and their clients are warned of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

KINDS = ("s3", "gs", "sftp")
LARGEST = 2_000_000
CUT_AFTER = 20_000
PASSWORD = "Geheimnis-4711"
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("remote")
    (made / "clips").mkdir()
    return made


@pytest.fixture(scope="module")
def places(folder: Path) -> Iterator[dict[str, Place]]:
    with remote_places(folder) as served:
        yield served


def environment(places: dict[str, Place]) -> dict[str, str]:
    return {name: value for place in places.values() for name, value in place.environment.items()}


@pytest.fixture(scope="module")
def url(folder: Path, places: dict[str, Place]) -> Iterator[str]:
    """Return the address of a stack that may read from all places, and says all that it can in its log."""
    settings = {
        "HASHREEL_SOURCE_HOSTS": json.dumps([place.url for place in places.values()]),
        "HASHREEL_ROOTS": json.dumps({"clips": str(folder / "clips")}),
        "HASHREEL_MAX_SOURCE_BYTES": str(LARGEST),
        "HASHREEL_MAX_TRIES": "1",
        "HASHREEL_LOG_LEVEL": "debug",
        "OMP_NUM_THREADS": "1",
    }
    with embedded_stack(folder / "data", **environment(places), **settings) as address:
        yield address


@pytest.fixture
def client(url: str, folder: Path, places: dict[str, Place]) -> Iterator[Client]:
    """Return a client of the stack; afterwards no secret stands in its records (the append-only file) or its log."""
    with Client(url) as opened:
        yield opened
    secrets = [secret.encode() for place in places.values() for secret in place.secrets]
    secrets += [PASSWORD.encode(), b"AWS4-HMAC-SHA256"]  # how a header with a signature begins
    for path in (folder / "data").rglob("*"):
        with suppress(FileNotFoundError):  # a local copy goes soon after its video is done
            content = path.read_bytes() if path.is_file() else b""
            assert not [secret for secret in secrets if secret in content], path


def codes(folder: Path, source: str) -> tuple[list[int], bytes]:
    """Return times and codes of the only chunk of a source."""
    store = Store(connect(json.loads((folder / "data" / "stack.json").read_text())["redis_url"]))
    records = [store.video(number) for number in store.video_numbers("1")]
    numbers = [record.id for record in records if (record.source, record.state) == (source, "indexed")]
    (value,) = store.chunk_values(numbers)[0].values()
    store.redis.close()
    chunk = decode_chunk(value)
    return chunk.times_ms.tolist(), chunk.codes.tobytes()


def test_videos_and_folders_are_indexed_like_files(client: Client, folder: Path, places: dict[str, Place]) -> None:
    clips = make_clips(folder / "clips", 3)
    sources = ["clips"]
    for place in places.values():
        for clip, name in zip(clips, ("tag 1/a.mp4", "tag 1/größe/b.mp4", "[c] film.mp4"), strict=True):
            place.put(name, clip.read_bytes())
        sources += [f"{place.url}tag 1", f"{place.url}[c] film.mp4", f"{place.url}*.mp4"]
    job = client.enqueue(sources, again=True).wait(timeout_s=240)
    assert (job.counts.total, job.counts.indexed) == (12, 12)
    found = {video.source: video for video in client.videos()}
    for place in places.values():
        for clip, name in zip(clips, ("tag 1/a.mp4", "tag 1/größe/b.mp4", "[c] film.mp4"), strict=True):
            local, remote = found[f"clips/{clip.name}"], found[place.url + name]
            assert (remote.frames, remote.duration_s, remote.codec) == (local.frames, local.duration_s, local.codec)
            assert codes(folder, remote.source) == codes(folder, local.source)
    # What came into a folder since is seen the next time.
    for kind, place in places.items():
        place.put("tag 1/later.mp4", make_clips(folder / kind, 1, seconds=2.0)[0].read_bytes())
    again = client.enqueue([f"{place.url}tag 1" for place in places.values()]).wait(timeout_s=240)
    assert again.counts.total == 9
    assert {f"{place.url}tag 1/later.mp4" for place in places.values()} <= {v.source for v in client.videos()}
    local = folder / "data" / "cache" / "sources"
    wait_until(lambda: not list(local.glob("*/*.mp4")), "the local copies are gone", seconds=120)


def failure(client: Client, source: str) -> Failure:
    job = client.enqueue(source).wait(timeout_s=240)
    assert (job.counts.total, job.counts.failed) == (1, 1)
    (found,) = client.failures(job=job.id)
    assert (found.stage, found.retryable) == ("source", True)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_trouble_has_its_reason(kind: str, client: Client, folder: Path, places: dict[str, Place]) -> None:
    place = places[kind]
    assert failure(client, f"{place.url}none.mp4").reason == f"{place.url}none.mp4: there is no such file"
    assert failure(client, f"{place.url}none/*.mp4").reason == "no file matches this pattern"
    if kind == "s3":  # what its console makes of a new folder
        place.put("empty/", b"")
        assert failure(client, f"{place.url}empty").reason == "the folder holds no files"
    place.put("large.mp4", bytes(LARGEST + 1))
    assert f"it has {LARGEST + 1} bytes; at most {LARGEST}" in failure(client, f"{place.url}large.mp4").reason
    other = place.url.replace("films", "secret").replace("reader", "root")
    assert "no allowed address begins like it" in failure(client, f"{other}a.mp4").reason
    typed = failure(client, f"{kind}://reader:{PASSWORD}@127.0.0.1/a.mp4")
    assert (typed.source, "with a password is not read" in typed.reason) == (f"{kind}://***@127.0.0.1/a.mp4", True)


@pytest.mark.parametrize("kind", KINDS)
def test_lost_connection_costs_a_try_and_no_frame(
    kind: str, client: Client, folder: Path, places: dict[str, Place]
) -> None:
    place, clip = places[kind], folder / f"{kind}.mp4"
    generate_clip(clip, seed=20 + KINDS.index(kind), seconds=8.0, size=(640, 360), fps=12)
    assert CUT_AFTER * 3 < clip.stat().st_size < LARGEST
    place.put("cut.mp4", clip.read_bytes())
    if kind != "gs":  # whose library would try for more than half a minute by itself
        place.proxy.cut(1000, CUT_AFTER)
        lost = failure(client, f"{place.url}cut.mp4")
        assert f"{place.url}cut.mp4 cannot be read: " in lost.reason
    place.proxy.cut(1 if kind != "sftp" else 0, CUT_AFTER)  # one loss is mended by the libraries of the others
    job = client.enqueue(f"{place.url}cut.mp4").wait(timeout_s=240)
    assert (job.counts.total, job.counts.indexed, place.proxy.cuts_left) == (1, 1, 0)
    assert codes(folder, f"{place.url}cut.mp4")[0] == [1000 * second for second in range(8)]


STEPS = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace

import redis

from hashreel.errors import HashreelError
from hashreel.settings import Settings
from indexer.store import Store
from workers.copies import LocalCopies
from workers.filesystems import file_system
from workers.reading import SourceReader

def told(action):
    try:
        action()
    except HashreelError as exc:
        return f"{type(exc).__name__}: {exc}"

url, folder, wrong = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
one, other = (Settings(data=folder / name, source_hosts=[url]) for name in ("one", "other"))
planned = LocalCopies(one).fetch(url)
with file_system(url) as files:
    blocks = files.read(files.stat(), 0, 2**40, time.monotonic() + 600)
    next(blocks)
    print("overwrite it now", flush=True)
    sys.stdin.readline()
    found = [told(lambda: list(blocks))]
# Another machine, which has no copy of what was planned.
reader = SourceReader(other, Store(redis.Redis(unix_socket_path="/nowhere")))
record = SimpleNamespace(id=1, path=url, version=planned.version, bounds=[0])
found.append(told(lambda: reader.frames(record, 0, short_side=64, warnings=[])))
for variables in wrong:
    os.environ.update(variables)
    found.append(told(lambda: LocalCopies(other).fetch(url)))
print(json.dumps(found))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_overwritten_files_and_refused_credentials(kind: str, folder: Path, places: dict[str, Place]) -> None:
    place = places[kind]
    place.put("film.mp4", bytes(5000))
    wrong = [place.wrong, *([place.stranger] if kind == "sftp" else [])]  # type: ignore[attr-defined]
    arguments = [f"{place.url}film.mp4", str(folder / f"steps-{kind}"), json.dumps([dict(one) for one in wrong])]
    variables = {**os.environ, **place.environment, "PYTHONPATH": f"{SUPPORT}{os.pathsep}{SUPPORT.parents[1]}"}
    with subprocess.Popen(
        [sys.executable, "-c", STEPS, *arguments], env=variables, stdin=-1, stdout=-1, stderr=-1, text=True
    ) as steps:
        assert steps.stdin is not None
        assert steps.stdout is not None
        assert steps.stdout.readline() == "overwrite it now\n"
        place.put("film.mp4", bytes(6000))
        told, log = steps.communicate("\n", timeout=240)
    assert steps.returncode == 0, log
    read, planned, refused, *stranger = json.loads(told)
    assert read == f"UnavailableError: {place.url}film.mp4 was changed while it was read"
    assert planned.startswith("SourceChangedError: The file was changed after it was enqueued")
    assert refused.startswith(f"ForbiddenError: {place.url}film.mp4 may not be read (")
    assert "check the credentials of services and workers" in refused
    if kind == "sftp":
        assert "is not known; check it, and add it to known_hosts" in stranger[0]
    assert not [secret for secret in place.secrets if secret in told + log]
