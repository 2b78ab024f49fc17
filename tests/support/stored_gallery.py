"""What Redis says a gallery holds, read in the most obvious way: the whole log from its beginning."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import redis
from numpy.typing import NDArray

from encoder.codes import num_code_bytes
from indexer.chunks import Chunk
from indexer.records import Generation, NewVideo
from indexer.store import Store

BITS = 12  # few enough that most distances are shared by many frames
FINGERPRINT = "5a" * 32


@dataclass(frozen=True)
class Frame:
    id: int
    code: bytes
    time_ms: int


def make_generation(
    store: Store, name: str = "main", *, fingerprint: str = FINGERPRINT, bits: int = BITS
) -> Generation:
    return store.ensure_collection(name, model="model-a", fingerprint=fingerprint, bits=bits)


def make_chunk(
    rng: np.random.Generator, frames: int, *, start_ms: int = 0, bits: int = BITS, fingerprint: str = FINGERPRINT
) -> Chunk:
    bytes_ = rng.integers(0, 256, (frames, num_code_bytes(bits)), dtype=np.uint8)
    if bits % 8:
        bytes_[:, -1] &= (1 << bits % 8) - 1
    times = start_ms + 1000 * np.arange(frames, dtype=np.uint32)
    return Chunk(times.astype(np.uint32), bytes_, None, bits, fingerprint)


def add_video(store: Store, generation: Generation, chunks: int, *, job: str = "", **fields: object) -> int:
    """Register and plan a video; return its number."""
    source = str(fields.pop("source", "archive/a.mp4"))
    new = NewVideo(source=source, path="/archive/a.mp4", **fields)  # type: ignore[arg-type]
    number = store.register(generation.id, job, [new])[0]
    store.plan(number, {"chunks": chunks, "bounds": json.dumps([600_000 * i for i in range(chunks)])})
    return number


def fill_video(store: Store, generation: Generation, chunks: list[Chunk], **fields: object) -> int:
    """Register, plan and commit a video; return its number."""
    number = add_video(store, generation, len(chunks), **fields)
    for place, chunk in enumerate(chunks):
        store.commit(number, place, chunk)
    return number


def raw_log(client: redis.Redis, generation: str) -> list[tuple[str, dict[str, str]]]:
    entries = client.xrange(f"hr:g:{generation}:log")
    return [(i.decode(), {k.decode(): v.decode() for k, v in fields.items()}) for i, fields in entries]


def expected_chain(client: redis.Redis, generation: str) -> str:
    """Return the running hash over the whole log, by the definition."""
    chain = client.hget(f"hr:g:{generation}:head", "epoch").decode()
    for _, fields in raw_log(client, generation):
        del fields["h"]
        flat = [text for pair in fields.items() for text in pair]
        chain = hashlib.sha1("\0".join([chain, *flat]).encode()).hexdigest()
    return chain


def alive_chunks(client: redis.Redis, generation: str, up_to: str | None = None) -> set[tuple[int, int]]:
    """Return (video, chunk) of all that the log says is alive after an entry (None: after the last)."""
    alive: set[tuple[int, int]] = set()
    for log_id, fields in raw_log(client, generation):
        if up_to is not None and _order(log_id) > _order(up_to):
            break
        video = int(fields["v"])
        if fields["op"] == "put":
            alive.add((video, int(fields["c"])))
        elif fields["op"] in {"delete", "replace"}:
            alive = {pair for pair in alive if pair[0] != video}
    return alive


def frames_of(client: redis.Redis, chunks: set[tuple[int, int]], bits: int = BITS) -> list[Frame]:
    """Return the frames of stored chunks in the order of their ids, parsed by hand from the values."""
    width = (bits + 7) // 8
    frames = []
    for video, chunk in sorted(chunks):
        value = client.hget(f"hr:c:{video}", str(chunk))
        assert value is not None, f"no value of chunk {chunk} of video {video}"
        records = value[48:]
        size = 4 + width
        for index in range(len(records) // size):
            record = records[index * size : (index + 1) * size]
            frame_id = video * 2**32 + chunk * 2**20 + index
            frames.append(Frame(frame_id, record[4:], int.from_bytes(record[:4], "little")))
    return frames


def nearest(frames: list[Frame], query: NDArray[np.uint8], top: int) -> list[tuple[int, int]]:
    """Return the (distance, id) pairs of the nearest frames by counting bits in Python."""
    wanted = int.from_bytes(query.tobytes(), "little")
    pairs = [((wanted ^ int.from_bytes(frame.code, "little")).bit_count(), frame.id) for frame in frames]
    return sorted(pairs)[:top]


def _order(log_id: str) -> tuple[int, ...]:
    return tuple(map(int, log_id.split("-")))
