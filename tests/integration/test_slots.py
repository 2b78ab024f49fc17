"""Several units at a time in one worker process: mixed, apart where one is suspect, and given back at the end."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from farm import Codes, Farm, make_clips
from gallery_mirror import wait_until
from numpy.typing import NDArray

from encoder.clips import generate_clip
from encoder.model import Model
from encoder.runtime import RawOutput
from workers.messages import Unit
from workers.room import Room
from workers.slots import Slots, process_of, slot_name

LONG_S = 120.0
OFTEN = {"kind": "every", "seconds": 0.25}


class Gated:
    """A model whose batches wait until they are let through; it notes how large they were."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.sizes: list[int] = []
        self.runtime = copy.copy(model.runtime)
        self.runtime.batch_size = 4
        run = model.runtime.run

        def start(pixels: NDArray[np.uint8]) -> Callable[[], RawOutput]:
            self.begun.set()
            assert self.may_go_on.wait(LONG_S)
            self.sizes.append(len(pixels))
            result = run(pixels)
            return lambda: result

        self.runtime.start = start  # type: ignore[method-assign]

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)


def gated(farm: Farm) -> Gated:
    return Gated(farm.model)


def undisturbed(farm: Farm, **options: object) -> Codes:
    """Return the codes of all clips as one runner makes them, and forget them."""
    farm.enqueue("clips", **options)
    farm.run_all()
    codes = farm.codes()
    farm.store.redis.flushall()
    farm.store.ensure_collection(
        "main", model=farm.model.name, fingerprint=farm.model.fingerprint, bits=farm.model.bits
    )
    return codes


def test_units_side_by_side_share_batches_and_have_the_codes_of_a_run_alone(farm: Farm) -> None:
    make_clips(farm.folder / "clips", 3)
    alone = undisturbed(farm, policy=OFTEN)
    job = farm.enqueue("clips", policy=OFTEN)
    model, room = gated(farm), Room(farm.settings.decode_bytes)
    slots = Slots([farm.runner(slot_name("one", n), model=model, room=room) for n in range(3)], room)  # type: ignore[arg-type]
    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(slots.run, Unit(video)) for video in job.videos]
        wait_until(lambda: len(farm.batchers[-1]._items) >= 8, "decoders have filled the queue")
        model.may_go_on.set()
        for one in done:
            one.result(LONG_S)
    assert farm.codes() == alone
    assert farm.queue.job(job.id).counts.indexed == 3
    # All but the first and the last few batches are full, though a video has no multiple of four key-frames.
    assert sum(model.sizes) == 36
    assert model.sizes.count(4) >= 6


def test_suspect_waits_unclaimed_until_it_is_alone(farm: Farm) -> None:
    make_clips(farm.folder / "clips", 1)
    job = farm.enqueue("clips")
    suspect, room = Unit(job.videos[0]), Room(farm.settings.decode_bytes)
    farm.store.redis.hset("hr:units:tries", str(suspect), 1)
    with ThreadPoolExecutor(1) as threads:
        with room.hold(1):
            waiting = threads.submit(farm.runner("one", room=room).run, suspect)
            wait_until(lambda: len(room._waiting) == 1, "the suspect waits")
            # Should the process die now, that is none of its tries.
            assert farm.units.tries(suspect) == 1
            assert farm.units.running() == []
        waiting.result(LONG_S)
    assert farm.queue.job(job.id).counts.indexed == 1


def test_unit_is_given_back_uncounted_and_done_by_another(farm: Farm, tmp_path: Path) -> None:
    generate_clip(farm.folder / "clips/long.mp4", seed=5, seconds=25.0, size=(160, 90), fps=4, shots=3)
    alone = undisturbed(farm, policy=OFTEN)
    job = farm.enqueue("clips", policy=OFTEN)
    model = gated(farm)
    room = Room(farm.settings.decode_bytes)
    slots = Slots([farm.runner("leaving", model=model, room=room)], room)  # type: ignore[arg-type]
    farm.batchers[-1]._bound = 2
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(slots.run, Unit(job.videos[0]))
        assert model.begun.wait(LONG_S)
        slots.begin_nothing()
        slots.give_back()
        model.may_go_on.set()
        done.result(LONG_S)
    chunk = Unit(job.videos[0], 0)
    assert farm.codes() == {}
    assert farm.units.running() == []
    assert farm.units.queued_before(1e12) == [chunk]
    assert farm.units.tries(chunk) == 0
    slots.run(chunk)
    assert farm.units.queued_before(1e12) == [chunk], "a process that ends begins nothing"
    farm.runner("other").run(chunk)
    assert farm.codes() == alone


@pytest.mark.parametrize("number", [0, 1, 12])
def test_slots_are_named_after_their_process(number: int) -> None:
    name = slot_name("host.example-cpu0", number)
    assert process_of(name) == "host.example-cpu0"
    assert len({slot_name("a", n) for n in range(3)}) == 3
