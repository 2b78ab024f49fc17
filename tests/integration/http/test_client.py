"""Both clients against a real server: the same calls, results and errors."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import io
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from memory_service import code_of, frame_id_of, picture_code
from PIL import Image

from hashreel import AsyncClient, Client
from hashreel.client import Hits
from hashreel.errors import (
    BadInputError,
    ConflictError,
    DecodeError,
    ForbiddenError,
    HashreelError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    WaitTimeoutError,
)


class Blocking:
    """An async client or job, called as if it were the blocking one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: Any) -> None:
        self.loop, self.inner = loop, inner

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.inner, name)
        if not callable(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._settle(member(*args, **kwargs))

        return call

    def _settle(self, result: Any) -> Any:
        if inspect.isasyncgen(result):

            async def collect() -> list[Any]:
                return [item async for item in result]

            return self.loop.run_until_complete(collect())
        if inspect.isawaitable(result):
            result = self.loop.run_until_complete(result)
        if isinstance(result, list) and not isinstance(result, Hits):
            return [self._wrap(item) for item in result]
        return self._wrap(result)

    def _wrap(self, value: Any) -> Any:
        return Blocking(self.loop, value) if type(value).__name__ == "AsyncJob" else value


@pytest.fixture(params=["sync", "async"])
def client(service, request) -> Iterator[Any]:
    if request.param == "sync":
        with Client(service.url) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        inner = AsyncClient(service.url)
        yield Blocking(loop, inner)
        runner.run(inner.close())


@pytest.fixture
def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), (120, 10, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_hits_come_with_what_the_answer_says(client, service):
    hits = client.search("code:" + code_of("archive/news.mp4#3").hex(), top=3)
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
    best = hits[0]
    assert (best.video, best.source, best.time_ms, best.time_s) == (3, "archive/news.mp4", 3000, 3.0)
    assert (best.distance, best.frame_id) == (0, str(frame_id_of(3, 3)))
    assert best.code == hits.code == code_of("archive/news.mp4#3").hex()
    assert best.tags == {"case": "17"}
    assert hits.position.log_id == "22-0"
    assert (hits.behind, hits.stale, hits.gallery, hits.tie_band >= 1) == (False, False, 22, True)
    assert len(hits) == 3


def test_options_turn_into_the_wire_format(client, service):
    client.search(
        f"frame:{frame_id_of(1, 1)}",
        top=4,
        radius=40,
        tags={"case": "17"},
        videos=(1, 3),
        between=(0.5, 8.25),
        group_by="video",
        exclude_video=2,
        consistency="eventual",
    )
    sent = service.engine.requests[-1]
    assert sent.between == (500, 8250)
    assert sent.videos == [1, 3]
    assert (sent.radius, sent.tags, sent.group_by, sent.exclude_video) == (40, {"case": "17"}, "video", 2)


def test_every_form_of_picture_reaches_the_engine(client, service, jpeg, tmp_path):
    path = tmp_path / "frame:1"  # an existing path wins over the prefix
    path.write_bytes(jpeg)
    for query in (path, str(path), jpeg, bytearray(jpeg), memoryview(jpeg)):
        assert client.search(query, top=1).code == picture_code(jpeg).hex()
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    for query in (picture, np.asarray(picture)):
        client.search(query, top=1, box=(0, 0, 0.5, 0.5))
        sent = service.engine.requests[-1].query
        assert sent.box == (0, 0, 0.5, 0.5)
        assert np.array_equal(decoded(sent.image), np.asarray(picture))


def decoded(image: str) -> np.ndarray:
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image))))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_arrays_of_all_channel_counts_arrive_unchanged(client, service, shape):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    client.search(array, top=1)
    assert np.array_equal(decoded(service.engine.requests[-1].query.image), array.reshape(decodable(shape)))


def decodable(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1,) else shape


def test_a_hit_is_a_query_too(client, service):
    first = client.search("code:" + "00" * 6, top=1)[0]
    again = client.search(first, top=1)[0]
    assert (again.frame_id, again.distance) == (first.frame_id, 0)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("nowhere.jpg", "'nowhere.jpg' does not exist"),
        (".", "is a folder"),
        ("a\x00b", "does not exist"),
        ("frame:", "does not exist"),
        ("frame:12a", "refused"),
        ("code:xyz", "refused"),
        (12, "type int"),
        (np.zeros((4, 4), np.float32), "float32"),
    ],
)
def test_a_query_that_is_none_says_what_is_accepted(client, query, words):
    with pytest.raises(BadInputError, match=words):
        client.search(query)


@pytest.mark.parametrize("address", ["https://pictures.example/a.jpg?size=2", "HTTP://pictures.example"])
def test_an_address_is_sent_for_the_service_to_read(client, service, address):
    with pytest.raises(ForbiddenError, match="no hosts are allowed"):
        client.search(address, box=(0, 0, 0.5, 1))
    query = service.engine.requests[-1].query
    assert (query.url, query.box) == (address.replace("HTTP", "http"), (0, 0, 0.5, 1))
    with pytest.raises(BadInputError, match="does not exist"):
        client.search("https:pictures.example")


def test_a_misspelt_value_is_refused_before_it_is_sent(client, service):
    with pytest.raises(BadInputError, match="radius"):
        client.search("code:00", radius=-1)
    with pytest.raises(BadInputError, match="tpo"):
        client.search("code:00", tpo=1)
    assert service.engine.requests == []


def test_a_batch_keeps_the_order(client):
    queries = ["code:" + code_of(f"archive/news.mp4#{index}").hex() for index in (4, 2)]
    assert [hits[0].time_ms for hits in client.search_many(queries, top=1)] == [4000, 2000]
    with pytest.raises(NotFoundError, match="no frame 77"):
        client.search_many([queries[0], "frame:77"])


def test_a_job_from_enqueue_to_failures(client, service):
    job = client.enqueue(["archive/a.mp4", "archive/broken.mp4"], every_s=2.0, tags={"case": "5"})
    seen = []
    job.wait(progress=seen.append)
    assert [model.state for model in seen] == ["running", "done"]
    assert (job.state, job.counts.indexed, job.counts.failed, job.counts.total) == ("done", 1, 1, 2)
    assert service.queue.wishes[job.id].policy.model_dump(exclude_none=True) == {"kind": "every", "seconds": 2.0}
    assert client.video(job.videos[0]).tags == {"case": "5"}
    assert [failure.reason for failure in client.failures(job=job.id)] == ["no video stream"]
    assert [other.id for other in client.jobs()] == [job.id]
    assert client.job(job.id).state == "done"
    with pytest.raises(ConflictError, match="nothing to cancel"):
        job.cancel()
    assert job.retry().state == "queued"


def test_a_job_is_watched_listed_and_deleted(client, service):
    service.queue.paused = True
    job = client.enqueue("archive/a.mp4", lane="bulk", key="a-key-of-mine")
    assert (service.queue.wishes[job.id].lane, service.queue.wishes[job.id].key) == ("bulk", "a-key-of-mine")
    assert [one.id for one in client.jobs(state="queued")] == [job.id]
    with pytest.raises(ConflictError, match="cancel it first"):
        job.delete()
    service.queue.paused = False
    assert [model.state for model in job.watch()] == ["running", "done"]
    assert list(job.iter_videos())[:1] == job.videos
    assert job.delete().state == "done"
    with pytest.raises(NotFoundError):
        client.job(job.id)


def test_a_bar_shows_the_job_on_stderr(client, capsys):
    client.enqueue("archive/a.mp4").wait(progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/1 sources" in err


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, None),
        ({"keyframes": "codec"}, {"kind": "codec"}),
        ({"scenes": True}, {"kind": "scenes"}),
    ],
)
def test_key_frame_policies(client, service, options, policy):
    job = client.enqueue("archive/a.mp4", **options)
    sent = service.queue.wishes[job.id].policy
    assert (sent.model_dump(exclude_none=True) if sent else None) == policy


def test_two_policies_at_once_are_refused(client):
    with pytest.raises(BadInputError, match="only one"):
        client.enqueue("a.mp4", every_s=1.0, scenes=True)
    with pytest.raises(BadInputError, match="codec"):
        client.enqueue("a.mp4", keyframes="all")
    with pytest.raises(BadInputError, match="sources"):
        client.enqueue([])


def test_waiting_ends_in_time_and_the_job_goes_on(client, service):
    service.queue.paused = True
    job = client.enqueue("archive/a.mp4")
    with pytest.raises(WaitTimeoutError, match="goes on"):
        job.wait(timeout_s=0.15)
    assert job.cancel(keep_partial=True).state == "cancelled"
    assert job.wait().state == "cancelled"


def test_an_upload_is_streamed_and_can_be_enqueued(client, service, tmp_path):
    data = bytes(range(256)) * 9000
    clip = tmp_path / "clip one.mp4"
    clip.write_bytes(data)
    stored = client.upload(clip)
    assert (stored.source, stored.bytes) == ("uploads/clip one.mp4", len(data))
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert client.enqueue(stored).wait().counts.indexed == 1
    with pytest.raises(BadInputError, match="no file"):
        client.upload(tmp_path / "absent.mp4")


def test_an_upload_above_the_bound_raises_the_service_s_reason(client, tmp_path):
    clip = tmp_path / "big.mp4"
    clip.write_bytes(b"x" * 3_200_000)
    with pytest.raises(TooLargeError, match="larger than"):
        client.upload(clip)


def test_videos_come_page_by_page(client, service):
    for index in range(450):
        service.engine.add_video(f"archive/{index}.mp4", 0)
    numbers = [video.id for video in client.videos()]
    assert numbers == list(range(453, 0, -1))
    assert [video.id for video in client.videos(tags={"case": "18"})] == [2]
    assert list(client.videos(state="failed")) == []


def test_tags_deletes_and_collections(client, service):
    assert client.set_tags(2, {"case": "", "by": "Ana"}).tags == {"reviewed": "yes", "by": "Ana"}
    assert client.delete_video(2).id == 2
    with pytest.raises(NotFoundError, match="no video 2"):
        client.video(2)
    assert [(found.name, found.frames) for found in client.collections()] == [("main", 17)]


def test_thumbnails(client):
    assert Image.open(io.BytesIO(client.thumbnail(frame_id_of(1, 1), width=64))).size == (64, 36)
    with pytest.raises(BadInputError, match="no id"):
        client.thumbnail("../videos")


def test_health_speaks_also_while_not_ready(client, service):
    assert client.health().ready
    service.engine.ready = False
    health = client.health()
    assert (health.ready, health.detail, health.frames) == (False, "loading the snapshot", 22)


def test_the_service_s_errors_become_ours(client, service, monkeypatch):
    with pytest.raises(DecodeError, match="accepted are JPEG"):
        client.search(b"no picture")
    with pytest.raises(BadInputError, match="has 1 bytes"):
        client.search("code:00")
    with pytest.raises(NotFoundError, match="no collection 'x'"):
        client.search("code:" + "00" * 6, collection="x")

    def explode(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(service.engine, "collections", explode)
    with pytest.raises(HashreelError, match=r"unexpected error.*[0-9a-f]{16}") as caught:
        client.collections()
    assert caught.value.status == 500


def test_nobody_there_says_what_to_type():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with Client(url) as client, pytest.raises(UnavailableError, match="hashreel up"):
        client.search("code:00")

    async def asynchronous() -> None:
        async with AsyncClient(url) as client:
            await client.health()

    with pytest.raises(UnavailableError, match="hashreel up"):
        asyncio.run(asynchronous())


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(BadInputError, match="url"):
        Client(url)


def test_a_foreign_name_is_explained(service):
    with Client(service.url.replace("127.0.0.1", "localhost")) as client:
        assert client.health().ready
        client._http.headers["Host"] = "evil.example"
        with pytest.raises(ForbiddenError, match="allowed_hosts"):
            client.videos().__next__()


def test_hits_show_themselves_in_a_notebook_with_names_as_text(service):
    with Client(service.url) as client:
        hits = client.search("code:" + "00" * 6, top=22)
        html = hits._repr_html_()
        assert html.count("<tr>") == 23
        assert "<img src=x" not in html
        assert "&lt;img src=x onerror=alert(1)&gt;" in html
        assert html.count("data:image/jpeg;base64,") == 20
    assert "data:image" not in hits._repr_html_()
    with pytest.raises(UnavailableError, match="closed"):
        client.health()


def test_hits_become_a_table(service):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    with Client(service.url) as client:
        hits = client.search("code:" + "00" * 6, top=5)
        table = hits.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["frame_id"]) == [hit.frame_id for hit in hits]


def test_the_life_of_a_watch(client):
    code = "code:" + code_of("archive/news.mp4#3").hex()
    watch = client.watch([code], radius=20, name="ü", note="n", between=(0, 9.5))
    assert (watch.name, watch.examples, watch.secret[:6]) == ("ü", 1, "whsec_")
    assert [one.id for one in client.watches()] == [watch.id]
    assert not hasattr(client.show_watch(watch.id), "secret")
    hits = list(client.watch_hits(watch.id))
    assert len(hits) > 1
    assert (hits[0].source, hits[0].time_s, hits[0].state) == ("archive/news.mp4", 3.0, "new")
    assert client.mark_hits(watch.id, hits[0]) == 1
    assert client.mark_hits(watch.id, [hits[1], "frame:99"], "dismissed", "a poster") == 1
    assert [hit.note for hit in client.watch_hits(watch.id, state="dismissed")] == ["a poster"]
    assert len(list(client.watch_hits(watch.id, state="new"))) == len(hits) - 2
    with pytest.raises(ConflictError, match="no webhook"):
        client.test_webhook(watch.id)
    assert client.change_watch(watch.id, webhook="https://a.example/b", radius=0).webhook == "https://a.example/b"
    assert client.test_webhook(watch.id).status == 204
    (dead,) = client.deliveries(watch.id, state="dead")
    assert client.deliveries(watch.id, state="waiting") == []
    assert client.retry_delivery(watch.id, dead.id).state == "waiting"
    with pytest.raises(NotFoundError, match="no picture"):
        client.watch_picture(watch.id, 3)
    assert client.unwatch(watch.id).id == watch.id
    assert client.watches() == []
    with pytest.raises(NotFoundError, match="no watch"):
        list(client.watch_hits(watch.id))


def test_a_watch_that_makes_no_sense_is_refused(client):
    for options in ({"radius": 300}, {"between": (3, 1)}, {"min_area": 0.5}, {"webhook": "ftp://a"}, {"name": "a\nb"}):
        with pytest.raises(BadInputError, match=next(iter(options))):
            client.watch("code:000000000000", **options)
    with pytest.raises(BadInputError, match="queries"):
        client.watch([])
    with pytest.raises(BadInputError, match="none"):
        client.watch([None])
    with pytest.raises(BadInputError, match="is no id"):
        client.show_watch("../keys")
