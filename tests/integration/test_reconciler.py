"""Lost work is found and sent again; work that waits is let alone."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis
from gallery_mirror import wait_until
from redis_server import RedisServer
from stored_gallery import FINGERPRINT, add_video, make_generation

from hashreel.settings import Settings
from indexer.records import Generation, NewVideo
from indexer.store import Store
from workers.app import make_app
from workers.backlog import Backlog
from workers.messages import Unit, queue_name
from workers.reconciler import Reconciler
from workers.sending import MAX_WAITING, Dispatcher, Sender
from workers.units import Units

LEASE_S = 60.0


@dataclass
class Setup:
    store: Store
    units: Units
    broker: redis.Redis
    sender: Sender
    reconciler: Reconciler
    generation: Generation
    settings: Settings

    def waiting(self) -> list[str]:
        """Return the names of the units that messages wait for, in the order in which they are taken."""
        raw = self.broker.lrange(queue_name(FINGERPRINT), 0, -1)
        return [json.loads(message)["headers"]["id"] for message in reversed(raw)]

    def enqueue(self, count: int) -> list[Unit]:
        """Register videos and send their first units, as a job does."""
        sources = [NewVideo(f"a/{n}", "/a") for n in range(count)]
        numbers = self.store.register(self.generation.id, "", sources, first_unit=lambda n: str(Unit(n)))
        units = [Unit(number) for number in numbers]
        self.sender(units, FINGERPRINT)
        return units

    def age(self, unit: Unit) -> None:
        """Make a queued unit look as if it had been sent long ago."""
        self.store.redis.zadd("hr:units:queued", {str(unit): 1.0}, xx=True)

    def start(self, unit: Unit, worker: str) -> None:
        """Let a worker start a unit, long enough ago to be looked at."""
        self.units.lease(worker, unit, LEASE_S)
        assert self.units.claim(unit, worker, 9) == "run"
        self.store.redis.zadd("hr:units:running", {str(unit): 1.0})


@pytest.fixture
def setup(redis_server: RedisServer, store: Store) -> Iterator[Setup]:
    settings = Settings(redis_url=redis_server.url(), reconcile_s=0.2)
    app, units, broker = make_app(settings), Units(store.redis), redis_server.client(1)
    sender = Sender(app)
    made = make_generation(store)
    yield Setup(store, units, broker, sender, Reconciler(store, units, sender, broker, settings), made, settings)
    app.close()


def test_work_that_waits_or_runs_is_let_alone(setup: Setup) -> None:
    waiting, running, fresh = setup.enqueue(3)
    setup.age(waiting)
    setup.broker.lrem(queue_name(FINGERPRINT), 1, message_of(setup, running))
    setup.start(running, "alive")
    setup.broker.lrem(queue_name(FINGERPRINT), 1, message_of(setup, fresh))  # it may be in a worker's hands just now
    for _ in range(5):
        assert setup.reconciler.check() == 0
    assert setup.waiting() == [str(waiting)]


def message_of(setup: Setup, unit: Unit) -> bytes:
    raw = setup.broker.lrange(queue_name(FINGERPRINT), 0, -1)
    return next(message for message in raw if json.loads(message)["headers"]["id"] == str(unit))


def test_lost_message_is_sent_again_once(setup: Setup) -> None:
    units = setup.enqueue(5)
    lost = units[2]
    setup.broker.lrem(queue_name(FINGERPRINT), 1, message_of(setup, lost))
    for unit in units:
        setup.age(unit)
    assert setup.reconciler.check() == 1
    assert setup.waiting().count(str(lost)) == 1
    for _ in range(5):
        for unit in units:
            setup.age(unit)
        assert setup.reconciler.check() == 0
    assert sorted(setup.waiting()) == sorted(str(unit) for unit in units)


def test_unit_whose_message_a_worker_holds_is_not_sent_at_every_look(setup: Setup) -> None:
    (unit,) = setup.enqueue(1)
    setup.broker.flushdb()
    setup.age(unit)
    assert setup.reconciler.check() == 1
    # A worker has taken the message and not claimed the unit yet.
    setup.broker.flushdb()
    for _ in range(5):
        assert setup.reconciler.check() == 0


def test_all_messages_lost_at_once_are_sent_again(setup: Setup) -> None:
    units = setup.enqueue(50)
    setup.broker.flushdb()
    for unit in units:
        setup.age(unit)
    assert setup.reconciler.check() == 50
    assert sorted(setup.waiting()) == sorted(str(unit) for unit in units)


def test_unit_of_a_dead_worker_is_sent_again_once(setup: Setup) -> None:
    (unit,) = setup.enqueue(1)
    setup.broker.flushdb()
    setup.start(unit, "doomed")
    assert setup.reconciler.check() == 0
    setup.units.end_lease("doomed")
    assert setup.reconciler.check() == 1
    assert setup.waiting() == [str(unit)]
    assert setup.units.running() == []
    assert setup.units.tries(unit) == 1
    for _ in range(5):
        assert setup.reconciler.check() == 0
    assert setup.waiting() == [str(unit)]


def test_unit_whose_workers_die_waits_longer_each_time(setup: Setup) -> None:
    (unit,) = setup.enqueue(1)
    for wait_s in (0, 5, 10, 20):
        setup.start(unit, "doomed")
        setup.units.end_lease("doomed")
        asked = time.time()
        setup.reconciler.check()
        due = setup.store.redis.zscore("hr:units:queued", str(unit))
        # What was sent at once is due at the time at which it was sent.
        assert asked + wait_s <= due <= time.time() + wait_s
        setup.age(unit)
    assert setup.units.tries(unit) == 4


def test_unit_of_a_worker_that_runs_something_else_is_sent_again(setup: Setup) -> None:
    first, second = setup.enqueue(2)
    setup.broker.flushdb()
    setup.start(first, "a")
    setup.start(second, "a")
    assert setup.reconciler.check() == 1
    assert setup.waiting() == [str(first)]


def test_unit_that_was_started_just_now_is_let_alone(setup: Setup) -> None:
    (unit,) = setup.enqueue(1)
    # The claim is recorded, the lease of the worker is not yet seen.
    assert setup.units.claim(unit, "a", 3) == "run"
    assert setup.reconciler.check() == 0


def test_released_unit_is_sent_when_it_is_due(setup: Setup) -> None:
    (unit,) = setup.enqueue(1)
    setup.broker.flushdb()
    setup.start(unit, "a")
    setup.units.release(unit, worker="a", delay_s=1000)
    assert setup.reconciler.check() == 0
    setup.store.redis.zincrby("hr:units:queued", -1000, str(unit))
    assert setup.reconciler.check() == 1
    assert setup.reconciler.check() == 0
    assert setup.waiting() == [str(unit)]


def test_units_of_cancelled_and_deleted_videos_are_dropped(setup: Setup) -> None:
    cancelled, deleted, purged, kept = setup.enqueue(4)
    setup.broker.flushdb()
    setup.store.cancel(cancelled.video)
    setup.store.delete(deleted.video)
    setup.store.delete(purged.video)
    setup.store.redis.delete(f"hr:v:{purged.video}")
    for unit in (cancelled, deleted, purged, kept):
        setup.age(unit)
    setup.reconciler.check()
    assert setup.waiting() == [str(kept)]
    assert setup.units.queued_before(1e12) == [kept]


def test_units_go_to_the_queue_of_their_own_model(setup: Setup) -> None:
    other = make_generation(setup.store, "other", fingerprint="b7" * 32)
    video = add_video(setup.store, other, 2)
    setup.units.queue([Unit(video, 1)])
    setup.age(Unit(video, 1))
    assert setup.reconciler.check() == 1
    assert setup.waiting() == []
    assert setup.broker.llen(queue_name("b7" * 32)) == 1


def test_work_of_a_generation_that_is_being_made_is_let_alone(setup: Setup) -> None:
    fresh = setup.store.create_generation("main", model="model-b", fingerprint="b7" * 32, bits=12)
    video = add_video(setup.store, fresh, 2)
    setup.units.queue([Unit(video, 1)])
    for _ in range(3):
        setup.age(Unit(video, 1))
        setup.reconciler.check()
    assert setup.broker.llen(queue_name("b7" * 32)) == 1


def test_units_of_a_dropped_generation_are_dropped(setup: Setup) -> None:
    fresh = setup.store.create_generation("main", model="model-b", fingerprint="b7" * 32, bits=12)
    video = add_video(setup.store, fresh, 2)
    (kept,) = setup.enqueue(1)
    setup.broker.flushdb()
    setup.units.queue([Unit(video, 1)])
    setup.store.redis.delete(*setup.store.keys.of_generation(fresh.id))
    setup.store.redis.zrem(setup.store.keys.generations("main"), fresh.id)
    for unit in (kept, Unit(video, 1)):
        setup.age(unit)
    setup.reconciler.check()
    assert setup.waiting() == [str(kept)]
    assert setup.units.queued_before(1e12) == [kept]


def test_queue_longer_than_a_page_is_read_to_its_end(setup: Setup) -> None:
    units = setup.enqueue(1100)
    setup.broker.lrem(queue_name(FINGERPRINT), 1, message_of(setup, units[0]))
    setup.store.redis.zadd("hr:units:queued", {str(unit): 1.0 for unit in units})
    assert setup.reconciler.check() == 1
    # There is no room for another message: what was lost waits for its turn, and is no loss at the next look.
    assert setup.broker.llen(queue_name(FINGERPRINT)) == 1099
    assert setup.reconciler.check() == 0
    assert Backlog(setup.store.redis).take(queue_name(FINGERPRINT), 10) == [units[0]]


def test_queues_are_filled_up_as_messages_are_taken(setup: Setup) -> None:
    sources = [NewVideo(f"a/{n}", "/a") for n in range(MAX_WAITING + 50)]
    numbers = setup.store.register(setup.generation.id, "", sources, first_unit=lambda n: str(Unit(n)))
    units, queue = [Unit(number) for number in numbers], queue_name(FINGERPRINT)
    Backlog(setup.store.redis).add(queue, "", units)
    assert setup.reconciler.check() == 0
    assert setup.waiting() == [str(unit) for unit in units[:MAX_WAITING]]
    setup.broker.rpop(queue, 100)
    assert setup.reconciler.check() == 0
    assert setup.waiting() == [str(unit) for unit in units[100:]]


def test_what_waits_for_a_dropped_generation_is_forgotten(setup: Setup) -> None:
    fresh = setup.store.create_generation("main", model="model-b", fingerprint="b7" * 32, bits=12)
    (video,) = setup.store.register(fresh.id, "", [NewVideo("a", "/a")], first_unit=lambda n: str(Unit(n)))
    (kept,) = setup.enqueue(1)
    Backlog(setup.store.redis).add(queue_name("b7" * 32), "", [Unit(video)])
    setup.store.redis.delete(*setup.store.keys.of_generation(fresh.id))
    setup.store.redis.zrem(setup.store.keys.generations("main"), fresh.id)
    setup.reconciler.check()
    assert setup.units.queued_before(float("inf")) == [kept]
    assert setup.store.redis.keys("hr:units:backlog:*") + setup.store.redis.keys("hr:units:turns:*") == []


def test_two_who_fill_a_queue_keep_its_bound(setup: Setup, redis_server: RedisServer) -> None:
    sources = [NewVideo(f"a/{n}", "/a") for n in range(2 * MAX_WAITING)]
    numbers = setup.store.register(setup.generation.id, "", sources, first_unit=lambda n: str(Unit(n)))
    Backlog(setup.store.redis).add(queue_name(FINGERPRINT), "", [Unit(number) for number in numbers])
    feeders = [Dispatcher(Store(redis_server.client()), setup.sender) for _ in range(4)]
    threads = [threading.Thread(target=feeder.feed, args=(FINGERPRINT,)) for feeder in feeders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(setup.waiting()) == len(set(setup.waiting())) == MAX_WAITING


def test_strange_messages_and_records_do_not_end_the_search(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    (unit,) = setup.enqueue(1)
    setup.broker.flushdb()
    setup.broker.lpush(queue_name(FINGERPRINT), b"no json", b"{}", b"[]", b'{"headers": null}')
    setup.age(unit)
    setup.store.redis.zadd("hr:units:queued", {"nonsense": 1.0})
    stop = threading.Event()
    with caplog.at_level(logging.CRITICAL):
        thread = threading.Thread(target=setup.reconciler.run, args=(stop,))
        thread.start()
        wait_until(lambda: setup.store.redis.exists("hr:reconciler") == 1, "a first check")
        setup.store.redis.zrem("hr:units:queued", "nonsense")
        wait_until(lambda: setup.broker.llen(queue_name(FINGERPRINT)) == 5, "the unit is sent again")
        stop.set()
        thread.join(30)


def test_one_process_at_a_time_checks(setup: Setup) -> None:
    other = Reconciler(setup.store, setup.units, setup.sender, setup.broker, setup.settings)
    assert setup.reconciler._is_mine()
    assert not other._is_mine()
    assert setup.reconciler._is_mine()
    setup.store.redis.delete("hr:reconciler")
    assert other._is_mine()
    assert not setup.reconciler._is_mine()


def test_reconciler_goes_on_after_an_outage(
    private_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = private_redis()
    store = Store(server.client())
    settings = Settings(redis_url=server.url(), reconcile_s=0.2)
    app, units = make_app(settings), Units(store.redis)
    make_generation(store)
    (number,) = store.register("1", "", [NewVideo("a", "/a")], first_unit=lambda n: str(Unit(n)))
    store.redis.zadd("hr:units:queued", {str(Unit(number)): 1.0})
    server.kill()
    stop = threading.Event()
    broker = server.client(1)
    reconciler = Reconciler(store, units, Sender(app), broker, settings)
    with caplog.at_level(logging.CRITICAL):
        thread = threading.Thread(target=reconciler.run, args=(stop,))
        thread.start()
        server.start()
        wait_until(lambda: broker.llen(queue_name(FINGERPRINT)) == 1, "the unit is sent")
        stop.set()
        thread.join(30)
    app.close()


def test_housekeeping_purges_trims_and_forgets(setup: Setup) -> None:
    setup.settings.delete_grace_s = 0.0
    setup.settings.log_max_entries = 1000
    gone = add_video(setup.store, setup.generation, 1)
    setup.store.delete(gone)
    setup.store.redis.hset("hr:j:old", mapping={"created_at": 1, "finished_at": 1})
    setup.store.redis.hset("hr:j:running", mapping={"created_at": 1})
    setup.store.redis.zadd("hr:jobs", {"old": 1, "running": 1})
    for number in range(3000):
        setup.store.redis.xadd("hr:g:1:log", {"n": number})
    setup.reconciler.check()
    assert setup.store.find_video(gone) is None
    assert setup.store.redis.xlen("hr:g:1:log") < 1200
    assert setup.store.redis.zrange("hr:jobs", 0, -1) == [b"running"]
