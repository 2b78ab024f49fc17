"""The simulation of many GPUs, where the answer can be worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.gpu_scaling import Load, Machine, bend, simulate

MACHINE = Machine(cores=4, gpu_rate=1000.0, bit_rate=1e6, redis_s=0.001, unit_s=0.0)
LOAD = Load("films", decode_rate=10.0, frames_rate=1.0, median_s=1000.0, storage=80.0)
CHUNKS = np.full(4096, 100.0)


@pytest.mark.parametrize("gpus", [1, 2, 64])
def test_decoders_that_share_nothing_add_up(gpus: int) -> None:
    outcome = simulate(CHUNKS, gpus, MACHINE, LOAD)
    assert outcome.rate == pytest.approx(gpus * 4 * 10.0, rel=0.05)
    assert outcome.busy["decoders"] == pytest.approx(1.0, abs=0.05)


def test_what_is_shared_is_the_limit() -> None:
    slow_gpu = dataclasses.replace(MACHINE, gpu_rate=20.0)
    assert simulate(CHUNKS, 2, slow_gpu, LOAD).rate == pytest.approx(2 * 20.0, rel=0.05)
    slow_storage = dataclasses.replace(LOAD, storage=0.4)
    assert simulate(CHUNKS, 8, MACHINE, slow_storage).rate == pytest.approx(0.4e9 / 8 / 1e6, rel=0.05)
    slow_redis = dataclasses.replace(MACHINE, redis_s=2.0)
    assert simulate(CHUNKS, 8, slow_redis, LOAD).rate == pytest.approx(100.0 / 2.0, rel=0.05)


def test_few_chunks_leave_most_decoders_idle_and_the_line_bends() -> None:
    outcomes = [simulate(CHUNKS[:8], gpus, MACHINE, LOAD) for gpus in (1, 2, 4)]
    assert outcomes[1].rate == pytest.approx(outcomes[2].rate, rel=0.01)
    assert bend(outcomes) == "bends between 2 and 4 GPUs: too few chunks for so many decoders"


def test_archives_are_the_same_every_time_and_as_long_as_asked() -> None:
    chunks = LOAD.chunks(100.0)
    np.testing.assert_array_equal(chunks, LOAD.chunks(100.0))
    assert chunks.sum() / 3600 == pytest.approx(100.0, rel=0.05)
    assert 0 < chunks.min() <= chunks.max() <= LOAD.chunk_s
