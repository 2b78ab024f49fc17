"""Webhooks against a real receiver: at least once under one id, whoever dies; never to where they may not go."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery_mirror import WAIT_S, wait_until
from redis_server import RedisServer
from stored_gallery import BITS, FINGERPRINT, fill_video, make_chunk, make_generation

from encoder.codes import code_to_hex
from encoder.model import Model
from hashreel import webhooks
from hashreel.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from hashreel.processes import Child
from hashreel.schemas import NewWatch, Query, RotateRequest, WatchChange, WatchRequest
from hashreel.settings import Settings
from indexer.chunks import Chunk, frame_id
from indexer.generations import Generations
from indexer.store import Store
from indexer.watches import Watches
from search.engine import SearchEngine
from workers.webhooks import WebhookSender

SENDER = """
import threading
from hashreel.settings import Settings
from indexer.store import Store, connect
from workers.webhooks import WebhookSender
settings = Settings()
WebhookSender(Store(connect(settings.redis_url)), settings).run(threading.Event())
"""


@dataclass
class Receiver:
    """What came, and what is answered: a status, after a gate has opened."""

    url: str = ""
    status: int = 204
    gate: threading.Event = field(default_factory=threading.Event)
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def documents(self, secret: str) -> dict[str, Any]:
        """Return the messages by id; fails if one is not signed, or comes with another body."""
        bodies: dict[str, bytes] = {}
        for _, headers, body in list(self.came):
            document = webhooks.verify(secret, headers, body, tolerance_s=1e6)  # a slow machine takes its time
            assert document["id"] == headers["webhook-id"] == headers["idempotency-key"]
            assert bodies.setdefault(document["id"], body) == body
        return {id_: json.loads(body) for id_, body in bodies.items()}

    def frames(self, secret: str) -> list[int]:
        return [int(hit["frame_id"]) for one in self.documents(secret).values() for hit in one["hits"]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            made.gate.wait(60)
            self.send_response(made.status)
            self.send_header("Location", made.url + "/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}"
    made.gate.set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.gate.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_server.url(),
        data=tmp_path,
        index="flat",
        consistency_wait_ms=int(1000 * WAIT_S),
        webhook_hosts=["127.0.0.1"],
        webhook_timeout_s=5.0,
        webhook_retry_s=0.01,
        webhook_tries=4,
    )


@pytest.fixture
def engine(store: Store, settings: Settings) -> Iterator[SearchEngine]:
    def no_model(name: str) -> Model:
        raise AssertionError(f"no picture is encoded here, so {name} is not needed")

    make_generation(store)
    made = SearchEngine(store, settings, no_model)
    yield made
    made.close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def watch_all(engine: SearchEngine, webhook: str, **options: object) -> NewWatch:
    query = Query(code=code_to_hex(np.zeros(2, np.uint8)))
    return engine.add_watch(WatchRequest(queries=[query], radius=BITS, webhook=webhook, **options))  # type: ignore[arg-type]


def send_all(store: Store, settings: Settings) -> None:
    """Send until nothing waits."""
    sender = WebhookSender(store, settings)
    while sender.step() or store.redis.zcard("hr:deliveries"):
        time.sleep(0.001)  # a message that failed is due again in a moment


def test_a_sender_that_is_killed_again_and_again_loses_nothing_and_repeats_under_the_same_id(
    store: Store, settings: Settings, engine: SearchEngine, receiver: Receiver, rng: np.random.Generator
) -> None:
    settings = settings.model_copy(update={"webhook_timeout_s": 2.0, "webhook_tries": 100})
    watch = watch_all(engine, receiver.url + "/hook", name="ü", note="case 17")
    children: list[Child] = []

    def start() -> Child:
        children.append(Child("sender", [sys.executable, "-c", SENDER], environment=settings.environment()))
        children[-1].start()
        return children[-1]

    expected = set()
    try:
        for turn in range(3):
            receiver.gate.clear()
            video = fill_video(
                store, store.collection("main"), [make_chunk(rng, 130)], content=str(turn), tags={"case": "17"}
            )
            expected |= {frame_id(video, 0, index) for index in range(130)}
            child, so_far = start(), len(receiver.came)
            wait_until(lambda so_far=so_far: len(receiver.came) > so_far, "a message comes", seconds=120)  # type: ignore[misc]
            child.signal(signal.SIGKILL)  # between what was sent and what was noted
            child.join(10)
            receiver.status = (503, 204, 204)[turn]
            receiver.gate.set()
        start()
        wait_until(lambda: set(receiver.frames(watch.secret)) == expected, "all has come", seconds=120)
        wait_until(lambda: store.redis.zcard("hr:deliveries") == 0, "nothing waits", seconds=120)
    finally:
        for child in children:
            child.signal(signal.SIGKILL)
            child.join(10)
    frames = receiver.frames(watch.secret)
    assert len(frames) == len(expected), "a hit came under two ids"
    assert len(receiver.came) > len(receiver.documents(watch.secret)), "nothing was ever repeated"
    first = next(iter(receiver.documents(watch.secret).values()))
    assert first["type"] == "watch.hits"
    assert first["watch"] == {"id": watch.id, "name": "ü", "note": "case 17", "collection": "main"}
    assert {hit["source"] for hit in first["hits"]} == {"archive/a.mp4"}
    assert first["hits"][0]["tags"] == {"case": "17"}
    assert engine.watch_deliveries(watch.id, state="dead").deliveries == []


def test_a_receiver_that_fails_is_tried_again_ever_later_and_then_listed(
    store: Store, settings: Settings, engine: SearchEngine, receiver: Receiver, rng: np.random.Generator
) -> None:
    watch = watch_all(engine, receiver.url + "/hook")
    fill_video(store, store.collection("main"), [make_chunk(rng, 3)])
    receiver.status = 500
    sender = WebhookSender(store, settings.model_copy(update={"webhook_retry_s": 3600.0}))
    assert sender.step()
    (waiting,) = engine.watch_deliveries(watch.id).deliveries
    assert (waiting.state, waiting.tries, waiting.status) == ("waiting", 1, 500)
    assert waiting.next_at is not None
    assert waiting.next_at > waiting.created_at + 3000
    assert not sender.step()
    store.redis.zadd("hr:deliveries", {waiting.id: 0})
    send_all(store, settings)
    (dead,) = engine.watch_deliveries(watch.id, state="dead").deliveries
    assert (dead.id, dead.tries, dead.hits, dead.reason) == (waiting.id, 4, 3, "the receiver answered 500")
    assert engine.watch(watch.id).dead == 1
    receiver.status = 204
    send_all(store, settings)
    assert len(receiver.came) == 4
    assert engine.retry_watch_delivery(watch.id, dead.id).state == "waiting"
    send_all(store, settings)
    assert len(receiver.documents(watch.secret)) == 1
    assert engine.watch_deliveries(watch.id, state="delivered").deliveries[0].id == dead.id
    assert engine.watch(watch.id).dead == 0
    with pytest.raises(ConflictError, match="is delivered"):
        engine.retry_watch_delivery(watch.id, dead.id)
    receiver.status = 410
    fill_video(store, store.collection("main"), [make_chunk(rng, 1)], content="b")
    send_all(store, settings)
    assert len(receiver.came) == 6
    assert engine.watch(watch.id).dead == 1
    totals = Watches(store).totals()
    assert (totals["hits"], totals["delivered"], totals["failed"], totals["dead"]) == (4, 1, 3, 2)


def test_messages_go_only_where_they_may(
    store: Store, settings: Settings, engine: SearchEngine, receiver: Receiver, rng: np.random.Generator
) -> None:
    for address in (
        "http://10.0.0.1/",
        "https://metadata.example/",
        "http://[::1]:80/",
        receiver.url + "@evil.example",
    ):
        with pytest.raises((ForbiddenError, BadInputError)):
            watch_all(engine, address)
    watch = watch_all(engine, receiver.url + "/hook")
    assert engine.test_watch(watch.id).state == "delivered"
    assert receiver.documents(watch.secret).popitem()[1]["type"] == "watch.test"
    receiver.status = 302
    assert "redirects are not followed" in engine.test_watch(watch.id).reason
    assert {path for path, *_ in receiver.came} == {"/hook"}
    fill_video(store, store.collection("main"), [make_chunk(rng, 1)])
    count = len(receiver.came)
    send_all(store, settings.model_copy(update={"webhook_hosts": ["other.example"]}))  # the list was changed since
    assert len(receiver.came) == count
    assert "not an allowed host" in engine.watch_deliveries(watch.id, state="dead").deliveries[0].reason
    with pytest.raises(ForbiddenError):
        engine.change_watch(watch.id, WatchChange(webhook="https://evil.example/"))
    assert engine.change_watch(watch.id, WatchChange(webhook="")).webhook == ""
    with pytest.raises(ConflictError, match="no webhook"):
        engine.test_watch(watch.id)


def test_a_new_secret_signs_at_once_and_the_one_before_for_its_grace_alone(
    store: Store, settings: Settings, engine: SearchEngine, receiver: Receiver, rng: np.random.Generator
) -> None:
    numbers = itertools.count()

    def find_some() -> None:
        # Of another source each time: a moment is reported once.
        fill_video(store, store.collection("main"), [make_chunk(rng, 3)], source=f"{next(numbers)}.mp4")

    def send_some() -> tuple[dict[str, str], bytes]:
        before = len(receiver.came)
        find_some()
        send_all(store, settings)
        assert len(receiver.came) > before
        return receiver.came[-1][1:]

    def is_good(secret: str, message: tuple[dict[str, str], bytes]) -> bool:
        try:
            return bool(webhooks.verify(secret, *message, tolerance_s=1e6))
        except ForbiddenError:
            return False

    watch = watch_all(engine, receiver.url + "/hook")
    assert watch.old_secret_until is None
    made = [watch.secret]
    find_some()  # waits, unsent, while the secret is changed
    for grace_s in (3600, 7200, 0):
        begun = time.time()
        rotated = engine.rotate_secret(watch.id, RotateRequest(grace_s=grace_s))
        made.append(rotated.secret)
        until = rotated.old_secret_until
        assert until is None if grace_s == 0 else begun + grace_s <= until <= time.time() + grace_s
        assert engine.watch(watch.id).old_secret_until == until
        good = {secret for secret in made if is_good(secret, send_some())}
        assert good == set(made[-2:] if grace_s else made[-1:])
    assert len(set(made)) == len(made)
    engine.rotate_secret(watch.id, RotateRequest(grace_s=60))
    Watches(store).change(watch.id, lambda stored: replace(stored, old_until=time.time() - 1))  # as after a minute
    assert engine.watch(watch.id).old_secret_until is None
    assert not is_good(made[-1], send_some())
    assert engine.test_watch(watch.id).state == "delivered"
    assert not is_good(made[-1], receiver.came[-1][1:])
    with pytest.raises(NotFoundError):
        engine.rotate_secret("0" * 12, RotateRequest())


def test_a_reason_why_a_message_was_not_taken_hides_the_path(
    store: Store, settings: Settings, engine: SearchEngine, receiver: Receiver
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/T0KEN?key=T0KEN"
    outcome = engine.test_watch(watch_all(engine, url).id)
    assert outcome.state == "dead"
    assert "T0KEN" not in outcome.reason
    assert url.partition("T0KEN")[0] + "..." in outcome.reason


def test_a_message_that_was_changed_or_is_old_is_not_believed() -> None:
    secret, body = webhooks.new_secret(), b'{"id": "a"}'
    headers = webhooks.headers_of(secret, "a", body)
    assert webhooks.verify(secret, headers, body) == {"id": "a"}
    for wrong in ({"webhook-id": "b"}, {"webhook-timestamp": str(int(time.time()) + 1)}, {"webhook-signature": "v1,"}):
        with pytest.raises(ForbiddenError, match="signature"):
            webhooks.verify(secret, headers | wrong, body)
    with pytest.raises(ForbiddenError, match="signature"):
        webhooks.verify(secret, headers, body + b" ")
    with pytest.raises(ForbiddenError, match="signature"):
        webhooks.verify(webhooks.new_secret(), headers, body)
    with pytest.raises(ForbiddenError, match="timestamp"):
        webhooks.verify(secret, webhooks.headers_of(secret, "a", body, time.time() - 3600), body)


def test_another_generation_reports_when_it_is_live_and_only_what_is_new(
    store: Store, settings: Settings, engine: SearchEngine, receiver: Receiver, rng: np.random.Generator
) -> None:
    live, watches, generations = store.collection("main"), Watches(store), Generations(store)
    watch = watch_all(engine, receiver.url)
    chunk = make_chunk(rng, 6)
    old = fill_video(store, live, [chunk], content="a")
    send_all(store, settings)
    assert sorted(receiver.frames(watch.secret)) == [frame_id(old, 0, index) for index in range(6)]

    fresh = store.create_generation("main", model="model-b", fingerprint="c3" * 32, bits=BITS)
    entry = watches.table(live.id, BITS).entries[0]
    narrow = replace(entry, radius=5)
    watches.set_entries(live.id, {watch.id: narrow})
    watches.set_entries(fresh.id, {watch.id: entry})
    # Of a second video the old model's watch finds a part, the new one's all; of the first, both find all.
    other = make_chunk(rng, 40)
    part = fill_video(store, live, [other], source="archive/b.mp4", content="b")
    for one, source, content in ((chunk, "archive/a.mp4", "a"), (other, "archive/b.mp4", "b")):
        again = Chunk(one.times_ms, one.codes, None, BITS, fresh.fingerprint)
        new = fill_video(store, fresh, [again], source=source, content=content)
    send_all(store, settings)
    found = [frame for frame in receiver.frames(watch.secret) if frame >> 32 == part]
    assert 0 < len(found) < 40
    assert {frame >> 32 for frame in receiver.frames(watch.secret)} == {old, part}
    generations.cut_over("main", fresh.id)
    send_all(store, settings)
    rest = [frame for frame in receiver.frames(watch.secret) if frame >> 32 == new]
    assert sorted(frame % 2**20 for frame in found + rest) == list(range(40))
    count = len(receiver.came)
    generations.roll_back("main")
    send_all(store, settings)
    assert len(receiver.came) == count
    assert live.fingerprint == FINGERPRINT
