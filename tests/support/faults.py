"""A load of thirty chunks, and everything that must be so when it has ended, whatever was done to it meanwhile."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis
from farm import Codes
from gallery_mirror import wait_until
from stored_gallery import alive_chunks

from encoder.clips import generate_clip
from encoder.codes import code_to_hex, hamming_distances
from hashreel import Client
from hashreel.errors import HashreelError
from hashreel.schemas import Failure, JobModel
from indexer.chunks import decode_chunk
from indexer.store import Store

CHUNK_S = 10
LONG, LONG_CHUNKS = 4, 5
SHORT = 10
CHUNKS = LONG * LONG_CHUNKS + SHORT
BAD = ("empty.mp4", "text.mp4")
WAIT_S = 600.0
SEED_VARIABLE = "HASHREEL_FAULT_SEED"
MOMENTS_VARIABLE = "HASHREEL_FAULT_MOMENTS"


def make_load(folder: Path) -> Path:
    """Write films of five chunks, clips of one, and two files that are no videos; return their folder."""
    clips = folder / "clips"
    clips.mkdir(parents=True)
    for seed in range(LONG):
        seconds = LONG_CHUNKS * CHUNK_S - 1
        generate_clip(clips / f"film {seed}.mp4", seed=seed, seconds=seconds, size=(96, 64), fps=4, shots=5)
    for seed in range(LONG, LONG + SHORT):
        generate_clip(clips / f"clip {seed}.mp4", seed=seed, seconds=6.0, size=(96, 64), fps=4, shots=2)
    (clips / BAD[0]).touch()
    (clips / BAD[1]).write_text("this is no video\n" * 100)
    return clips


def fault_seed() -> int:
    """Return the seed of a campaign, and print it; the environment may name another than the usual one."""
    seed = int(os.environ.get(SEED_VARIABLE, "1"))
    print(f"{SEED_VARIABLE}={seed}")
    return seed


@dataclass(frozen=True)
class Moment:
    """When a fault strikes: so long after so many chunks of the load were committed."""

    chunks: int
    delay_s: float


def moments(seed: int) -> Iterator[Moment]:
    """Yield ten random moments of a load, the same for the same seed; the environment may ask for more or fewer."""
    rng = random.Random(seed)
    for number in range(int(os.environ.get(MOMENTS_VARIABLE, "10"))):
        moment = Moment(rng.randrange(CHUNKS), rng.uniform(0.0, 0.5))
        print(f"moment {number}: {moment.delay_s:.3f} s after {moment.chunks} of {CHUNKS} chunks", flush=True)
        yield moment


def log_length(store: Store) -> int:
    """Return how many entries the log has; 0 while Redis does not answer."""
    with suppress(Exception):
        return int(store.redis.xlen("hr:g:1:log"))
    return 0


def puts_of(store: Store) -> Counter[tuple[int, int]]:
    """Return how often the log says that each chunk was committed."""
    entries = store.redis.xrange("hr:g:1:log")
    return Counter((int(f[b"v"]), int(f[b"c"])) for _, f in entries if f[b"op"] == b"put")


def wait_no_unit_left(store: Store) -> None:
    """Wait until no unit is queued or runs: one is forgotten just after its commit, or, by a crash, taken up again."""
    names = ("queued", "running", "tries", "owner", "attempt")

    def is_empty() -> bool:
        with suppress(redis.RedisError):
            return not store.redis.exists(*(f"hr:units:{name}" for name in names))
        return False

    wait_until(is_empty, "no unit is left", seconds=WAIT_S)


def check_records(store: Store, job: JobModel, failures: list[Failure], undisturbed: Codes) -> None:
    """Assert that a load has ended as it does when nothing happens.

    Every source is indexed or failed with its reason, the counts add up, no unit is left, no chunk was committed twice
    or in part, and the codes are those of the undisturbed run, byte for byte.
    """
    sources = LONG + SHORT + len(BAD)
    assert job.counts.model_dump() == {
        "total": sources,
        "queued": 0,
        "encoding": 0,
        "indexed": sources - len(BAD),
        "failed": len(BAD),
        "cancelled": 0,
        "skipped": 0,
    }
    assert {(Path(failure.source).name, failure.stage, failure.partial) for failure in failures} == {
        (name, "decode", False) for name in BAD
    }
    assert all(failure.reason for failure in failures)
    wait_no_unit_left(store)
    puts = puts_of(store)
    assert set(puts.values()) == {1}, "a chunk was committed twice"
    records = [store.video(number) for number in job.videos]
    assert len(records) == sources
    found: Codes = {}
    for record in records:
        assert record.state == ("failed" if Path(record.source).name in BAD else "indexed")
        values, shas = store.chunk_values([record.id])[0], store.chunk_shas([record.id])[0]
        assert set(values) == set(shas) == set(range(record.done))
        chunks = {number: decode_chunk(value) for number, value in values.items()}
        assert record.frames == sum(map(len, chunks.values()))
        assert all(puts[record.id, number] == 1 for number in chunks)
        for number, chunk in chunks.items():
            found[record.source, number] = (chunk.times_ms.tolist(), chunk.codes.tobytes())
    assert found == undisturbed
    assert len(found) == job.chunks == job.chunks_done == CHUNKS
    assert job.frames == sum(len(times) for times, _ in found.values())
    # No video of this or of an earlier load is left on its way, and none is there twice.
    states = {record.state for record in store.find_videos(store.video_numbers("1")) if record is not None}
    assert states <= {"indexed", "failed"}


def check_index(store: Store, client: Client, *, queries: int = 4, top: int = 25) -> None:
    """Assert that the service's index is what the log says: chunk by chunk, and by answers against brute force."""
    verified = wait_verified(client)
    ids, codes = gallery_of(store)
    assert verified.frames == len(ids)
    for query in np.random.default_rng(3).choice(codes, queries) ^ np.uint8(5):
        distances = hamming_distances(query[None], codes)[0]
        order = np.lexsort((ids, distances))[:top]
        expected = list(zip(distances[order].tolist(), ids[order].tolist(), strict=True))
        hits = client.search(f"code:{code_to_hex(query)}", top=top)
        assert [(hit.distance, int(hit.frame_id)) for hit in hits] == expected


def wait_verified(client: Client):  # type: ignore[no-untyped-def]
    """Return the outcome of a comparison of index and store, once the service has caught up."""
    found = []

    def is_equal() -> bool:
        with suppress(HashreelError):
            found.append(client.index_verify())
            return found[-1].equal
        return False

    wait_until(is_equal, f"the index equals the store: {found[-1:]}", seconds=WAIT_S)
    return found[-1]


def gallery_of(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and codes of all frames that the log says are alive, in the order of the ids."""
    ids, codes = [], []
    for video, number in sorted(alive_chunks(store.redis, "1")):
        value = store.values_of([(video, number)])[0]
        assert value is not None, f"no value of chunk {number} of video {video}"
        chunk = decode_chunk(value)
        ids.append(video * 2**32 + number * 2**20 + np.arange(len(chunk), dtype=np.int64))
        codes.append(chunk.codes)
    return np.concatenate(ids), np.concatenate(codes)
