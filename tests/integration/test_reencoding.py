"""A collection is encoded anew beside the live one: whoever is killed meanwhile, every source comes once and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from farm import Farm, make_clips
from gallery_mirror import wait_until
from stored_gallery import add_video, fill_video, make_chunk

from encoder.model import Model
from hashreel.errors import ConflictError
from indexer.chunks import decode_chunk
from indexer.generations import Generations
from indexer.records import Generation
from search.engine import SearchEngine

# As the service does it; killed when the first sources stand in the records.
KILLED = """
import os, signal, sys
from hashreel.settings import Settings
from indexer.store import Store, connect
from workers import reencoding
from workers.app import make_app
from workers.intake import Intake
from workers.queue import JobQueue
from workers.sending import Sender
from workers.units import Units
settings = Settings()
store = Store(connect(settings.redis_url))
reencoding.SLICE = 2
begin = Intake.begin
def once(self, *arguments):
    begin(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)
Intake.begin = once
JobQueue(store, Units(store.redis), Sender(make_app(settings)), settings).reencode("main", sys.argv[1])
"""
SOURCES = 6


def values_of(farm: Farm, generation: str) -> dict[tuple[str, int], tuple[list[int], bytes]]:
    """Return times and codes of a generation's indexed videos by (source, chunk); fails if a source is there twice."""
    found: dict[tuple[str, int], tuple[list[int], bytes]] = {}
    for number in farm.store.video_numbers(generation):
        record = farm.store.video(number)
        if record.state != "indexed":
            continue
        for chunk, value in farm.store.chunk_values([number])[0].items():
            decoded = decode_chunk(value)
            assert (record.source, chunk) not in found, f"{record.source} is there twice"
            found[record.source, chunk] = (decoded.times_ms.tolist(), decoded.codes.tobytes())
    return found


def test_reencoding_goes_on_after_the_service_and_a_worker_were_killed(farm: Farm) -> None:
    make_clips(farm.folder / "clips", SOURCES)
    farm.enqueue("clips", tags={"case": "17"})
    farm.run_all()
    live = farm.store.collection("main")
    before = values_of(farm, live.id)
    assert len(before) == SOURCES
    # Of the same model, so that every code is known; through the service another model is asked for.
    facts = {"model": live.model, "fingerprint": live.fingerprint, "bits": live.bits}
    fresh = farm.store.create_generation("main", **facts)
    environment = {**os.environ, **farm.settings.environment()}
    killed = subprocess.run([sys.executable, "-c", KILLED, fresh.id], env=environment, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert farm.store.count_videos(fresh.id) == 2
    worker = farm.start()
    wait_until(lambda: len(values_of(farm, fresh.id)) >= 1, "a source is encoded", seconds=240)
    worker.signal(signal.SIGKILL)
    worker.join(10)

    job = farm.queue.reencode("main", fresh.id)
    assert job.counts.total == SOURCES
    assert job.counts.skipped == 2  # one is in, and one on its way or in
    farm.queue.reencode("main", fresh.id)
    assert farm.store.count_videos(fresh.id) == SOURCES
    farm.start("--gpus", "none", "--processes", "1")  # with a reconciler, which finds what the dead one held
    wait_until(lambda: values_of(farm, fresh.id) == before, "all are encoded, byte for byte", seconds=240)
    wait_until(lambda: farm.is_done(job.id), "the job ends", seconds=240)
    assert all(farm.store.video(number).tags == {"case": "17"} for number in farm.store.video_numbers(fresh.id))
    assert farm.store.collection("main") == live
    generations = Generations(farm.store)
    generations.cut_over("main", fresh.id)
    assert farm.store.collection("main").id == fresh.id
    generations.roll_back("main")
    assert values_of(farm, farm.store.collection("main").id) == before


def test_nothing_is_left_behind_and_nothing_comes_back_at_a_cut_over(farm: Farm) -> None:
    def no_model(name: str) -> Model:
        raise AssertionError(f"no picture is encoded here, so {name} is not needed")

    engine = SearchEngine(farm.store, farm.settings, no_model)
    live, rng = farm.store.collection("main"), np.random.default_rng(5)

    def add(generation: Generation, source: str, **fields: object) -> int:
        chunk = make_chunk(rng, 2, bits=live.bits, fingerprint=live.fingerprint)
        return fill_video(farm.store, generation, [chunk], source=source, place=source, **fields)

    try:
        first, second = (add(live, source, tags={"case": "1"}) for source in ("a", "b"))
        facts = {"model": live.model, "fingerprint": live.fingerprint, "bits": live.bits}
        fresh = farm.store.create_generation("main", **facts)
        twin = add(fresh, "a", tags={"case": "1"})
        with pytest.raises(ConflictError, match="lacks 1 of 2 sources"):
            engine.cut_over("main", fresh.id)
        engine.set_tags(first, {"seen": "yes"})
        assert farm.store.video(twin).tags == {"case": "1", "seen": "yes"}
        coming = add_video(farm.store, fresh, 1, source="b", place="b")
        engine.delete_video(second)  # while it is being encoded anew
        assert farm.store.find_video(coming).state == "deleted"
        assert engine.cut_over("main", fresh.id).videos == 1
        engine.delete_video(twin)
        engine.roll_back("main")
        assert engine.collection("main").frames == 0
        add(live, "c")
        assert engine.cut_over("main", fresh.id, anyway=True).videos == 0
    finally:
        engine.close()
