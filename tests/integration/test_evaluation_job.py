"""Evaluations over a real Redis: the numbers of the plain computation, whoever dies, cancels or writes meanwhile."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from evaluation_truths import (
    Stretches,
    make_labelled_clips,
    numbers_of,
    numbers_of_run,
    plain_run,
    stretches_of,
    truth_text,
)
from farm import Farm, processes_with
from gallery_mirror import wait_until
from redis_server import RedisServer

from encoder.clips import Shot
from encoder.model import Model
from encoder.pictures import encode_jpeg
from hashreel.errors import BadInputError, ConflictError, NotFoundError
from hashreel.schemas import EvaluationModel, EvaluationRequest
from indexer.chunks import Chunk, decode_chunk
from indexer.records import NewVideo
from workers.evaluation import EvaluationRunner
from workers.evaluation_records import MAX_KEPT, EvaluationRecords
from workers.messages import EVALUATION_QUEUE
from workers.reconciler import Reconciler


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Shot]]]:
    folder = tmp_path_factory.mktemp("labelled")
    return folder, make_labelled_clips(folder / "clips", 5)


@pytest.fixture(scope="module")
def stored(session_redis: RedisServer, shots: tuple[Path, dict[str, list[Shot]]], model: Model) -> dict[bytes, bytes]:
    """Return all keys of a collection that holds the clips."""
    client = session_redis.client()
    client.flushall()
    farm = Farm(session_redis, shots[0], model)
    farm.enqueue("clips", policy={"kind": "every", "seconds": 0.25})
    farm.run_all()
    farm.close()
    return {key: client.dump(key) for key in client.scan_iter()}


Indexed = tuple[Farm, Stretches]


@pytest.fixture
def indexed(
    stored: dict[bytes, bytes], redis_server: RedisServer, shots: tuple[Path, dict[str, list[Shot]]], model: Model
) -> Iterator[Indexed]:
    """Return a farm whose collection holds the clips, and what they show."""
    folder, clips = shots
    for key, value in stored.items():
        redis_server.client().restore(key, 0, value)
    farm = Farm(redis_server, folder, model)
    yield farm, stretches_of(clips)
    farm.close()


def ask(farm: Farm, truth: str, **options: object) -> EvaluationModel:
    return farm.queue.evaluations.create(EvaluationRequest(truth=truth, source="truth.csv", **options))


def run_all(farm: Farm, worker: str = "here") -> None:
    """Run what waits in the queue, as a worker would."""
    runner = EvaluationRunner(farm.store, farm.settings, worker)
    while (raw := farm.server.client(1).rpop(EVALUATION_QUEUE)) is not None:
        runner.run(json.loads(raw)["headers"]["id"])


def result_of(farm: Farm, evaluation: str) -> dict:
    return json.loads(farm.queue.evaluations.report(evaluation, "json"))


def test_job_gives_the_numbers_of_the_plain_computation(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches), top=[1, 5, 10], by="an analyst")
    assert (asked.state, asked.by, asked.source, asked.bits) == ("queued", "an analyst", "truth.csv", farm.model.bits)
    run_all(farm)
    done = farm.queue.evaluations.get(asked.id)
    assert done.state == "done", done.problem
    assert done.position == farm.store.redis.hget("hr:g:1:head", "id").decode()
    assert done.fingerprint == farm.model.fingerprint
    expected = plain_run(farm.store.redis, "1", stretches, top=(1, 5, 10))
    result = result_of(farm, asked.id)
    assert numbers_of(result["runs"][0][0]) == numbers_of_run(expected)
    metric = next(m for m in expected.metrics if m.key == "map@10:minKR")
    assert done.scores["map@10:minKR"] == expected.macro(metric)
    assert 0 < done.scores["map@10:minKR"] <= 1


def test_all_queries_without_their_own_videos(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches), queries_per_concept="all", exclude="video")
    run_all(farm)
    expected = plain_run(farm.store.redis, "1", stretches, per_concept=None, by_video=True)
    assert numbers_of(result_of(farm, asked.id)["runs"][0][0]) == numbers_of_run(expected)


def test_shots_by_frame_number_are_the_same_truth(indexed: Indexed) -> None:
    farm, stretches = indexed
    rows = ["video,first_frame,frames,clip,tags"]
    for video, parts in stretches.items():
        rows += [f"{video},{s * 8 / 1000:.0f},{(e - s) * 8 / 1000:.0f},c,{' '.join(n)}" for s, e, n in parts]
    first = ask(farm, truth_text(stretches))
    second = ask(farm, "\n".join(rows), format="shots", frame_rate=8.0)
    run_all(farm)
    assert numbers_of(result_of(farm, first.id)["runs"][0][0]) == numbers_of(result_of(farm, second.id)["runs"][0][0])


def test_listed_queries_are_asked_and_not_returned(indexed: Indexed) -> None:
    farm, stretches = indexed
    first, *others = stretches
    rows = ["video,concepts,role", f"{first},any,query", *(f"{name},any,gallery" for name in others[:2])]
    rows += [f"{others[2]},,gallery"]
    asked = ask(farm, "\n".join(rows))
    run_all(farm)
    (run,) = result_of(farm, asked.id)["runs"][0]
    assert {key.partition(" @ ")[0] for key in run["queries"]} == {first}
    assert run["gallery_size"] == 16 * 3
    assert run["total_relevant"] == [32] * 16


def test_full_source_names_and_unique_file_names_match(indexed: Indexed) -> None:
    farm, stretches = indexed
    by_source = {f"clips/{name}" if number % 2 else name: rows for number, (name, rows) in enumerate(stretches.items())}
    asked = ask(farm, truth_text(by_source))
    run_all(farm)
    expected = plain_run(farm.store.redis, "1", by_source)
    assert numbers_of(result_of(farm, asked.id)["runs"][0][0]) == numbers_of_run(expected)


def test_uncovered_frames_are_left_out_and_counted(indexed: Indexed) -> None:
    farm, stretches = indexed
    first_shots = {
        video: [(s, e, ["any", f"odd {number % 2}"])]
        for number, (video, [(s, e, _), _]) in enumerate(stretches.items())
    }
    asked = ask(farm, truth_text(first_shots))
    run_all(farm)
    result = result_of(farm, asked.id)
    assert result["runs"][0][0]["gallery_size"] == 5 * 8
    assert any(note.startswith("40 of 80 key-frames") for note in result["notes"])


def test_videos_that_are_not_there_or_not_unique_fail_by_name(indexed: Indexed) -> None:
    farm, stretches = indexed
    video = next(iter(stretches))
    text = f"video,concepts\n{video},a\nclips/{video},b\nnowhere.mp4,a\n"
    asked = ask(farm, text)
    run_all(farm)
    failed = farm.queue.evaluations.get(asked.id)
    assert failed.state == "failed"
    assert failed.problem is not None
    assert failed.problem.type == "urn:hashreel:bad-input"
    assert "'nowhere.mp4' is not in the collection" in failed.problem.detail
    assert f"'clips/{video}' is the same video as '{video}'" in failed.problem.detail
    with pytest.raises(ConflictError, match="is failed"):
        farm.queue.evaluations.report(asked.id, "html")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("video,concepts\na.mp4,x\n,y\n", "row 3"),
        ("video,start_s,end_s,concepts\na.mp4,5,2,x\n", "row 2.*not after"),
        ("picture,concepts\na.jpg,x\n", "pictures in row 2.*--offline"),
        ("film,concepts\na.mp4,x\n", "columns film"),
    ],
)
def test_wrong_truth_is_refused_at_once_with_its_rows(farm: Farm, text: str, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason):
        ask(farm, text)
    assert farm.queue.evaluations.newest() == []
    assert farm.store.redis.keys("hr:e:*") == []


def test_comparison_with_an_earlier_evaluation(indexed: Indexed) -> None:
    farm, stretches = indexed
    first = ask(farm, truth_text(stretches))
    with pytest.raises(ConflictError, match="not done"):
        ask(farm, truth_text(stretches), against=first.id)
    with pytest.raises(NotFoundError):
        ask(farm, truth_text(stretches), against="feedface")
    run_all(farm)
    second = ask(farm, truth_text(stretches), against=first.id)
    other = ask(farm, truth_text(stretches), against=first.id, exclude="video", seed=1, queries_per_concept=3)
    run_all(farm)
    result = result_of(farm, second.id)
    assert result["arms"] == [farm.model.name, f"{farm.model.name} ({first.id})"]
    assert {row["difference"] for row in result["comparisons"]} == {0.0}
    failed = farm.queue.evaluations.get(other.id)
    assert failed.state == "failed"
    assert "answered different questions" in failed.problem.detail


def test_report_in_every_format_with_pictures(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches), name="proposed")
    run_all(farm)
    page = farm.queue.evaluations.report(asked.id, "html")
    assert page.count('src="data:image/jpeg;base64,') >= 20
    assert '<span class="blank">' not in page
    assert farm.queue.evaluations.report(asked.id, "csv").startswith("arm,scope,concept,metric")
    assert "| proposed" in farm.queue.evaluations.report(asked.id, "markdown")
    assert farm.store.redis.ttl(f"hr:e:{asked.id}") > 60
    assert farm.store.redis.ttl(f"hr:e:{asked.id}:result") > 60
    assert farm.store.redis.exists(f"hr:e:{asked.id}:truth", f"hr:e:{asked.id}:lease") == 0
    assert farm.store.redis.zcard("hr:evaluations:open") == 0


def test_sources_that_have_gone_leave_empty_frames(indexed: Indexed) -> None:
    farm, stretches = indexed
    for number in farm.store.video_numbers("1"):
        farm.store.redis.hset(f"hr:v:{number}", "path", "/nowhere.mp4")
    asked = ask(farm, truth_text(stretches))
    run_all(farm)
    assert "could not be cut" in " ".join(result_of(farm, asked.id)["notes"])
    assert "data:image" not in farm.queue.evaluations.report(asked.id, "html")


def test_cancelled_evaluations_leave_nothing(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches))
    assert farm.queue.evaluations.cancel(asked.id).state == "cancelled"
    run_all(farm)
    assert farm.queue.evaluations.get(asked.id).state == "cancelled"
    assert farm.store.redis.exists(f"hr:e:{asked.id}:truth", f"hr:e:{asked.id}:result") == 0
    done = ask(farm, truth_text(stretches))
    run_all(farm)
    assert farm.queue.evaluations.cancel(done.id).state == "done"


class Meddling(EvaluationRunner):
    """Lets something happen in the middle of a run."""

    def __init__(self, farm: Farm, meddle: Callable[[str], None]) -> None:
        super().__init__(farm.store, farm.settings, "meddler")
        self._meddle = meddle

    def _baseline(self, against, scores):  # type: ignore[no-untyped-def]
        self._meddle(against)
        return super()._baseline(against, scores)


def test_run_that_was_cancelled_or_taken_over_writes_nothing(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches))
    Meddling(farm, lambda _: farm.queue.evaluations.cancel(asked.id)).run(asked.id)
    assert farm.queue.evaluations.get(asked.id).state == "cancelled"
    assert farm.store.redis.exists(f"hr:e:{asked.id}:result") == 0

    slow = ask(farm, truth_text(stretches))

    def take_over(_: str) -> None:
        # As if its lease had run out: another worker claims it, and is still busy when the first one ends.
        farm.store.redis.delete(f"hr:e:{slow.id}:lease")
        claim, _run = records(farm).claim(slow.id, "other", 3, 60)
        assert claim == "run"

    Meddling(farm, take_over).run(slow.id)
    assert farm.queue.evaluations.get(slow.id).state == "running"
    assert farm.store.redis.exists(f"hr:e:{slow.id}:result") == 0
    assert farm.store.redis.hget(f"hr:e:{slow.id}", "worker") == b"other"


def records(farm: Farm) -> EvaluationRecords:
    return EvaluationRecords(farm.store.redis, farm.store.keys, farm.settings.job_keep_s)


def test_errors_are_tried_again_and_then_reported(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches))
    tries = []

    def fail(_: str) -> None:
        tries.append(1)
        raise RuntimeError("a bad day")

    for number in range(farm.settings.max_tries):
        Meddling(farm, fail).run(asked.id)
        model = farm.queue.evaluations.get(asked.id)
        assert model.state == ("queued" if number + 1 < farm.settings.max_tries else "failed")
    assert len(tries) == farm.settings.max_tries
    assert "RuntimeError: a bad day" in model.problem.detail


def test_reconciler_sends_lost_evaluations_again(indexed: Indexed) -> None:
    farm, stretches = indexed
    reconciler = Reconciler(farm.store, farm.units, farm.send, farm.server.client(1), farm.settings)
    asked = ask(farm, truth_text(stretches))
    queue = farm.server.client(1)
    age(farm, asked.id)
    assert reconciler.check() == 0  # its message waits
    queue.delete(EVALUATION_QUEUE)
    assert reconciler.check() == 1
    assert reconciler.check() == 0
    queue.delete(EVALUATION_QUEUE)
    # A worker takes it and dies: while its lease lives nobody else may have it, afterwards it is sent again.
    assert records(farm).claim(asked.id, "dead", 3, 60)[0] == "run"
    age(farm, asked.id)
    assert reconciler.check() == 0
    assert records(farm).claim(asked.id, "other", 3, 60)[0] == "busy"
    farm.store.redis.delete(f"hr:e:{asked.id}:lease")
    assert reconciler.check() == 1
    run_all(farm)
    done = farm.queue.evaluations.get(asked.id)
    assert (done.state, done.tries) == ("done", 2)


def age(farm: Farm, evaluation: str) -> None:
    farm.store.redis.zadd("hr:evaluations:open", {evaluation: time.time() - 60})


def test_evaluation_that_kills_its_workers_is_given_up(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches))
    for _ in range(farm.settings.max_tries):
        assert records(farm).claim(asked.id, "dead", farm.settings.max_tries, 60)[0] == "run"
        farm.store.redis.delete(f"hr:e:{asked.id}:lease")
    run_all(farm)
    failed = farm.queue.evaluations.get(asked.id)
    assert failed.state == "failed"
    assert "died or hung 3 times" in failed.problem.detail


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_worker_killed_in_the_middle_of_an_evaluation(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches))
    supervisor = farm.start("--processes", "1", "--gpus", "none")
    wait_until(lambda: farm.queue.evaluations.get(asked.id).state == "running", "it runs", seconds=120)
    os.kill(worker_of(farm), signal.SIGKILL)
    assert farm.store.redis.exists(f"hr:e:{asked.id}:result") == 0
    wait_until(lambda: farm.queue.evaluations.get(asked.id).state == "done", "it is done", seconds=120)
    assert farm.queue.evaluations.get(asked.id).tries == 2
    supervisor.signal(signal.SIGTERM)
    supervisor.join(60)
    assert "Traceback" not in farm.log()
    expected = plain_run(farm.store.redis, "1", stretches)
    assert numbers_of(result_of(farm, asked.id)["runs"][0][0]) == numbers_of_run(expected)


def worker_of(farm: Farm) -> int:
    """Return the process that runs units and evaluations."""
    (worker,) = [
        pid for pid in processes_with(farm.server.url()) if b"--single" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return worker


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_worker_that_hangs_in_an_evaluation_is_replaced(indexed: Indexed) -> None:
    farm, stretches = indexed
    farm.settings.unit_timeout_s = 10.0
    asked = ask(farm, truth_text(stretches))
    farm.start("--processes", "1", "--gpus", "none")
    wait_until(lambda: farm.queue.evaluations.get(asked.id).state == "running", "it runs", seconds=120)
    os.kill(worker_of(farm), signal.SIGSTOP)
    wait_until(lambda: farm.queue.evaluations.get(asked.id).state == "done", "it is done", seconds=120)
    assert "hangs; replacing it" in farm.log()


def test_folder_of_key_frames_is_a_video_with_a_second_a_picture(farm: Farm) -> None:
    folder = farm.folder / "clips" / "keys"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        picture = rng.integers(0, 60, (60, 80, 3), dtype=np.uint8)
        picture[..., number // 3] += 190
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(picture))
    farm.enqueue("clips/keys")
    farm.run_all()
    asked = ask(farm, "video,start_s,end_s,concepts\nkeys,0,3,red\nkeys,3,,green\n")
    run_all(farm)
    done = farm.queue.evaluations.get(asked.id)
    assert done.state == "done", done.problem
    assert done.scores["map@10:minKR"] == 1.0
    assert "<span" not in farm.queue.evaluations.report(asked.id, "html")


def test_another_generation_is_evaluated_on_the_same_questions(indexed: Indexed) -> None:
    farm, stretches = indexed
    first = ask(farm, truth_text(stretches))
    store = farm.store
    other = store.create_generation("main", model="other", fingerprint="cd" * 32, bits=farm.model.bits)
    for number in store.video_numbers("1"):
        record = store.video(number)
        (copy,) = store.register(other.id, "job", [NewVideo(source=record.source, path=record.path)])
        store.plan(copy, {"chunks": record.chunks, "bounds": str(record.bounds)})
        for chunk, value in store.chunk_values([number])[0].items():
            shuffled = np.random.default_rng(number).permuted(decode_chunk(value).codes, axis=1)
            changed = dataclasses.replace(decode_chunk(value), codes=shuffled, fingerprint=other.fingerprint)
            store.commit(copy, chunk, changed)
    run_all(farm)
    second = ask(farm, truth_text(stretches), generation=other.id, against=first.id)
    run_all(farm)
    result = result_of(farm, second.id)
    assert result["arms"] == ["other", farm.model.name]
    assert numbers_of(result["runs"][0][0]) == numbers_of_run(plain_run(store.redis, other.id, stretches))
    assert numbers_of(result["runs"][1][0]) == numbers_of_run(plain_run(store.redis, "1", stretches))
    with pytest.raises(NotFoundError, match="there is no generation 77"):
        ask(farm, truth_text(stretches), generation="77")


def test_only_so_many_wait_and_are_kept(farm: Farm) -> None:
    text = "video,concepts\na.mp4,x\n"
    names = [ask(farm, text).id for _ in range(20)]
    with pytest.raises(ConflictError, match="20 evaluations wait"):
        ask(farm, text)
    for name in names:
        farm.queue.evaluations.cancel(name)
    store = farm.store.redis
    store.zadd("hr:evaluations", {f"old{number}": number for number in range(MAX_KEPT)})
    fresh = ask(farm, text)
    assert store.zcard("hr:evaluations") == MAX_KEPT
    # Names whose records have expired leave the list when it is read.
    assert [e.id for e in farm.queue.evaluations.newest(500)] == [fresh.id, *reversed(names)]
    assert store.zcard("hr:evaluations") == 21


def test_codes_are_those_of_one_log_position_while_others_write(farm: Farm) -> None:
    """Chunks that are committed while it reads are in, up to the position that it names; deletes make it read anew."""
    numbers = commit_videos(farm, range(3), chunks=(0,))
    truth = "video,start_s,end_s,concepts\n" + "".join(f"v{n}.mp4,,,{'a' if n else 'b; a'}\n" for n in range(3))
    asked = ask(farm, truth)
    done: list[int] = []
    reader = farm.store.chunk_values

    def values(videos):  # type: ignore[no-untyped-def]
        found = reader(videos)
        if not done:
            done.append(1)
            commit(farm, numbers[0], 1)
        return found

    farm.store.chunk_values = values  # type: ignore[method-assign]
    EvaluationRunner(farm.store, farm.settings, "here").run(asked.id)
    model = farm.queue.evaluations.get(asked.id)
    assert model.state == "done", model.problem
    assert model.position == farm.store.redis.hget("hr:g:1:head", "id").decode()
    assert result_of(farm, asked.id)["runs"][0][0]["gallery_size"] == 4 * 4


def commit_videos(farm: Farm, names: range, chunks: tuple[int, ...]) -> list[int]:
    """Register videos of two chunks and commit some of these."""
    new = [NewVideo(source=f"v{name}.mp4", path=f"/nowhere/v{name}.mp4") for name in names]
    numbers = farm.store.register("1", "job", new)
    for number in numbers:
        farm.store.plan(number, {"chunks": 2 if number == numbers[0] else 1, "bounds": "[0,1000]"})
        for chunk in chunks:
            commit(farm, number, chunk)
    farm.store.redis.hset(f"hr:v:{numbers[0]}", "state", "indexed")
    return numbers


def commit(farm: Farm, video: int, number: int) -> None:
    rng = np.random.default_rng([video, number])
    if number:
        farm.store.redis.hset(f"hr:v:{video}", "state", "encoding")
    chunk = Chunk(
        times_ms=np.arange(4, dtype=np.uint32) * 100 + 1000 * number,
        codes=rng.integers(0, 256, (4, farm.model.bits // 8), dtype=np.uint8),
        concepts=None,
        bits=farm.model.bits,
        fingerprint=farm.model.fingerprint,
    )
    assert farm.store.commit(video, number, chunk) not in {"gone", "exists"}


def test_results_are_stored_compressed_and_whole(indexed: Indexed) -> None:
    farm, stretches = indexed
    asked = ask(farm, truth_text(stretches))
    run_all(farm)
    stored = farm.store.redis.hgetall(f"hr:e:{asked.id}:result")
    assert set(stored) == {b"json", b"html", b"csv", b"markdown"}
    assert sum(map(len, stored.values())) < 1_000_000
    assert json.loads(zlib.decompress(stored[b"json"]))["format"] == "hashreel-evaluation"
