"""Records of units of work: one worker at a time, however many messages there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import RedisServer

from workers.messages import Unit
from workers.units import Units

LEASE_S = 60.0
TRIES = 3


@pytest.fixture
def units(redis_client: redis.Redis) -> Units:
    return Units(redis_client)


def take(units: Units, unit: Unit, worker: str, tries: int = TRIES) -> str:
    """Claim a unit as a worker does: the lease says what it runs before it runs it."""
    units.lease(worker, unit, LEASE_S)
    return units.claim(unit, worker, tries)


def test_unit_is_queued_once(units: Units) -> None:
    assert units.queue([Unit(1), Unit(2), Unit(1)]) == 2
    assert units.queue([Unit(1)]) == 0
    assert units.count_queued() == 2
    assert take(units, Unit(1), "a") == "run"
    assert units.queue([Unit(1)]) == 0
    assert units.count_queued() == 1


def test_many_units_are_queued_in_slices(units: Units) -> None:
    assert units.queue(Unit(7, chunk) for chunk in range(2500)) == 2500
    assert len(units.queued_before(time.time())) == 2500


def test_second_worker_finds_the_unit_busy(units: Units) -> None:
    units.queue([Unit(1)])
    assert take(units, Unit(1), "a") == "run"
    assert take(units, Unit(1), "b") == "busy"
    assert units.running()[0][:2] == (Unit(1), "a")
    assert units.tries(Unit(1)) == 1


def test_claim_that_is_sent_again_counts_once(units: Units) -> None:
    units.queue([Unit(1)])
    units.lease("a", Unit(1), LEASE_S)
    assert [units.claim(Unit(1), "a", TRIES, "x") for _ in range(2 * TRIES)] == ["run"] * 2 * TRIES
    assert units.tries(Unit(1)) == 1
    # The same worker, started anew, makes another attempt.
    assert units.claim(Unit(1), "a", TRIES, "y") == "run"
    assert units.tries(Unit(1)) == 2
    assert units.claim(Unit(1), "a", 2, "z") == "poison"
    assert units.claim(Unit(1), "a", 2, "z") == "poison"
    assert units.tries(Unit(1)) == 3


def test_unit_that_is_done_or_never_was_is_gone(units: Units) -> None:
    assert take(units, Unit(1), "a") == "gone"
    units.queue([Unit(1)])
    take(units, Unit(1), "a")
    units.finish([Unit(1)])
    units.finish([])
    assert take(units, Unit(1), "b") == "gone"
    assert units.running() == []
    assert units.redis.keys("hr:units:*") == []


def test_unit_of_a_worker_whose_lease_ran_out_is_taken_over(units: Units) -> None:
    units.queue([Unit(1)])
    take(units, Unit(1), "a")
    units.end_lease("a")
    assert units.leased("a") is None
    assert take(units, Unit(1), "b") == "run"
    assert units.running()[0][1] == "b"


def test_unit_of_a_worker_that_went_on_is_taken_over(units: Units) -> None:
    units.queue([Unit(1), Unit(2)])
    take(units, Unit(1), "a")
    units.lease("a", Unit(2), LEASE_S)
    assert take(units, Unit(1), "b") == "run"


def test_lease_runs_out_by_itself(units: Units) -> None:
    units.lease("a", Unit(1), 0.05)
    deadline = time.monotonic() + 10
    while units.leased("a") is not None:
        assert time.monotonic() < deadline
    units.lease("a", None, LEASE_S)
    assert units.leased("a") == ""


def test_message_that_comes_twice_to_the_same_worker_is_run_again(units: Units) -> None:
    units.queue([Unit(1)])
    assert take(units, Unit(1), "a") == "run"
    assert take(units, Unit(1), "a") == "run"
    assert units.tries(Unit(1)) == 2


def test_unit_that_kills_its_workers_is_poison(units: Units) -> None:
    units.queue([Unit(1)])
    for worker in ("a", "b", "c"):
        assert take(units, Unit(1), worker) == "run"
        units.end_lease(worker)
    assert take(units, Unit(1), "d") == "poison"
    # Whoever found that out holds it, so that it is given up once.
    assert take(units, Unit(1), "e") == "busy"
    units.finish([Unit(1)])
    units.queue([Unit(1)])
    assert take(units, Unit(1), "f") == "run"


def test_released_unit_waits_for_its_time(units: Units) -> None:
    units.queue([Unit(1)])
    take(units, Unit(1), "a")
    assert not units.release(Unit(1), worker="b")
    assert units.release(Unit(1), worker="a", delay_s=1000)
    assert not units.release(Unit(1), worker="a")
    now = time.time()
    assert units.queued_before(now + 990) == []
    assert units.queued_before(now + 1010) == [Unit(1)]
    assert units.running() == []


def test_due_units_are_those_with_a_start_behind_them(units: Units) -> None:
    units.queue([Unit(1), Unit(2), Unit(3)])
    take(units, Unit(2), "a")
    units.release(Unit(2))
    take(units, Unit(3), "b")
    units.release(Unit(3), delay_s=1000)
    now = time.time()
    assert units.started_and_due(now - 100, now) == [Unit(2)]
    assert units.started_and_due(now + 100, now + 200) == []


def test_touch_moves_a_queued_unit_and_makes_none(units: Units) -> None:
    units.queue([Unit(1)])
    units.redis.zadd("hr:units:queued", {"1:plan": 5})
    units.touch(Unit(1))
    units.touch(Unit(2))
    assert units.queued_before(100) == []
    assert units.count_queued() == 1


def test_of_many_workers_one_gets_the_unit(redis_server: RedisServer, units: Units) -> None:
    units.queue([Unit(n) for n in range(20)])
    replies: dict[str, list[str]] = {}
    barrier = threading.Barrier(4)

    def work(name: str) -> None:
        own = Units(redis_server.client())
        replies[name] = []
        for number in range(20):
            barrier.wait(30)
            own.lease(name, Unit(number), LEASE_S)
            replies[name].append(own.claim(Unit(number), name, TRIES))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(20):
        assert sorted(replies[name][number] for name in "abcd") == ["busy", "busy", "busy", "run"]


class Model:
    """The records of units as plain sets."""

    def __init__(self) -> None:
        self.queued: set[int] = set()
        self.running: dict[int, str] = {}
        self.tries: dict[int, int] = {}
        self.lease: dict[str, int | None] = {}

    def claim(self, unit: int, worker: str) -> str:
        owner = self.running.get(unit)
        if owner is not None:
            if owner != worker and self.lease.get(owner) == unit:
                return "busy"
        elif unit not in self.queued:
            return "gone"
        self.queued.discard(unit)
        self.running[unit] = worker
        self.tries[unit] = self.tries.get(unit, 0) + 1
        return "run" if self.tries[unit] <= TRIES else "poison"


UNIT, WORKER = st.integers(1, 3), st.sampled_from("ab")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("queue"), UNIT),
        st.tuples(st.just("take"), UNIT, WORKER),
        st.tuples(st.just("claim"), UNIT, WORKER),
        st.tuples(st.just("release"), UNIT, st.sampled_from(["", "a", "b"])),
        st.tuples(st.just("finish"), UNIT),
        st.tuples(st.just("idle"), WORKER),
        st.tuples(st.just("die"), WORKER),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_follow_the_rules_in_any_order(units: Units, steps: list[Any]) -> None:
    check_steps(units, steps)


@pytest.mark.full
@pytest.mark.timeout(900)
@given(steps=STEPS)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_follow_the_rules_in_thousands_of_orders(units: Units, steps: list[Any]) -> None:
    check_steps(units, steps)


def check_steps(units: Units, steps: list[Any]) -> None:
    units.redis.flushall()
    model = Model()
    for name, *values in steps:
        STEP[name](units, model, *values)
        assert {unit.video for unit in units.queued_before(time.time() + 10)} == model.queued
        assert {unit.video: worker for unit, worker, _ in units.running()} == model.running
        assert not model.queued & model.running.keys()


def _queue(units: Units, model: Model, unit: int) -> None:
    is_new = unit not in model.queued and unit not in model.running
    assert units.queue([Unit(unit)]) == is_new
    if is_new:
        model.queued.add(unit)


def _take(units: Units, model: Model, unit: int, worker: str) -> None:
    model.lease[worker] = unit
    units.lease(worker, Unit(unit), LEASE_S)
    _claim(units, model, unit, worker)


def _claim(units: Units, model: Model, unit: int, worker: str) -> None:
    assert units.claim(Unit(unit), worker, TRIES) == model.claim(unit, worker)


def _release(units: Units, model: Model, unit: int, worker: str) -> None:
    may = unit in model.running and worker in {"", model.running[unit]}
    assert units.release(Unit(unit), worker=worker) == may
    if may:
        del model.running[unit]
        model.queued.add(unit)


def _finish(units: Units, model: Model, unit: int) -> None:
    units.finish([Unit(unit)])
    model.queued.discard(unit)
    model.running.pop(unit, None)
    model.tries.pop(unit, None)


def _idle(units: Units, model: Model, worker: str) -> None:
    model.lease[worker] = None
    units.lease(worker, None, LEASE_S)


def _die(units: Units, model: Model, worker: str) -> None:
    model.lease.pop(worker, None)
    units.end_lease(worker)


STEP: dict[str, Callable[..., None]] = {
    "queue": _queue,
    "take": _take,
    "claim": _claim,
    "release": _release,
    "finish": _finish,
    "idle": _idle,
    "die": _die,
}
