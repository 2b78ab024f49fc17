"""The same content under several names: encoded once, told of, and never lost when the one that was encoded goes."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from farm import Farm, make_clips
from PIL import Image as PillowImage

from hashreel.schemas import JobModel
from indexer.records import VideoRecord
from search.replies import video_model
from workers.messages import Unit


def put(farm: Farm, **contents: str) -> None:
    """Write the files NAME.mp4; their content stands for what a video holds."""
    for name, content in contents.items():
        (farm.folder / "clips" / f"{name}.mp4").write_text(content)


def plan(farm: Farm, video: int, identity: str) -> str:
    reply = farm.store.plan(video, {"chunks": 1, "bounds": "[0]", "identity": identity, "sha256": identity})
    farm.units.finish([Unit(video)])
    return reply


def index(farm: Farm, video: int, identity: str) -> None:
    assert plan(farm, video, identity) == "ok"
    commit(farm, video)


def commit(farm: Farm, video: int, frames: int = 1) -> None:
    from stored_gallery import make_chunk

    model = farm.model
    chunk = make_chunk(np.random.default_rng(0), frames, bits=model.bits, fingerprint=model.fingerprint)
    farm.store.commit(video, 0, chunk)


def counts(farm: Farm, job: JobModel) -> dict[str, int]:
    found = farm.queue.job(job.id).counts.model_dump()
    assert found["total"] == sum(number for name, number in found.items() if name != "total"), found
    return {name: number for name, number in found.items() if number}


def record(farm: Farm, video: int) -> VideoRecord:
    found = farm.store.find_video(video)
    assert found is not None
    return found


@pytest.fixture
def pair(farm: Farm) -> tuple[Farm, int, int]:
    """Return a farm, a video that is indexed, and a copy of it that was skipped."""
    put(farm, a="X", b="X")
    holder, copy = farm.enqueue("clips").videos
    index(farm, holder, "X")
    assert plan(farm, copy, "X") == "same"
    return farm, holder, copy


def test_copy_is_encoded_once_and_told_of(farm: Farm) -> None:
    (clip,) = make_clips(farm.folder / "clips", 1)
    shutil.copy(clip, farm.folder / "clips" / "copy.mp4")
    job = farm.enqueue("clips", tags={"case": "17"})
    farm.run_all()
    assert counts(farm, job) == {"total": 2, "indexed": 1, "skipped": 1}
    assert farm.queue.job(job.id).state == "done"
    holder, copy = (record(farm, video) for video in job.videos)
    assert (holder.state, copy.state, copy.frames, copy.same_as) == ("indexed", "skipped", 0, holder.id)
    assert copy.sha256 == holder.sha256 != ""
    assert len(farm.codes()) == 1
    shown = video_model(copy)
    assert (shown.state, shown.same_as) == ("skipped", holder.id)
    assert shown.reason == f"the same content as video {holder.id} (clips/clip 00.mp4)"
    # Once more: nothing is even hashed. With another policy, or where it is asked for, it is encoded.
    assert counts(farm, farm.enqueue("clips")) == {"total": 2, "skipped": 2}
    assert farm.take() is None
    other = farm.enqueue("clips/copy.mp4", policy={"kind": "every", "seconds": 2})
    again = farm.enqueue("clips/copy.mp4", again=True)
    farm.run_all()
    assert counts(farm, other) == counts(farm, again) == {"total": 1, "indexed": 1}
    assert record(farm, copy.id).state == "deleted"
    assert farm.store.redis.keys("hr:units:*") == []


def test_folder_of_the_same_pictures_is_a_copy(farm: Farm) -> None:
    for name in ("one", "two"):
        (farm.folder / "clips" / name).mkdir()
        PillowImage.new("RGB", (32, 32), "red").save(farm.folder / "clips" / name / "1.png")
    PillowImage.new("RGB", (32, 32), "red").save(farm.folder / "clips/two/2.png")
    job = farm.enqueue("clips")
    farm.run_all()
    assert counts(farm, job) == {"total": 2, "indexed": 2}
    (farm.folder / "clips/two/2.png").unlink()
    again = farm.enqueue("clips/two")
    farm.run_all()
    assert counts(farm, again) == {"total": 1, "skipped": 1}
    # What was indexed of that folder is not there any more.
    assert [source for source, _ in farm.codes()] == ["clips/one"]


@pytest.mark.parametrize("end", ["fail", "cancel", "overwrite", "empty"])
def test_copies_are_taken_up_when_what_they_are_copies_of_goes(farm: Farm, end: str) -> None:
    put(farm, a="X")
    first = farm.enqueue("clips/a.mp4")
    put(farm, b="X")
    second = farm.enqueue("clips/b.mp4")
    (holder,), (copy,) = first.videos, second.videos
    assert plan(farm, holder, "X") == "ok"
    assert plan(farm, copy, "X") == "same"
    assert record(farm, copy).reason == f"the same content as video {holder} (clips/a.mp4)"
    if end == "fail":
        farm.store.fail(holder, "decode", "damaged", retryable=False)
    elif end == "cancel":
        farm.queue.cancel(first.id)
    elif end == "empty":
        commit(farm, holder, 0)
    else:
        commit(farm, holder)
        put(farm, a="another content")
        index(farm, farm.enqueue("clips/a.mp4").videos[0], "Y")
    assert (record(farm, copy).state, record(farm, copy).same_as) == ("queued", None)
    assert counts(farm, second) == {"total": 1, "queued": 1}
    assert Unit(copy) in farm.units.queued_before(float("inf"))
    index(farm, copy, "X")
    assert counts(farm, second) == {"total": 1, "indexed": 1}
    assert record(farm, copy).reason == ""
    put(farm, c="X")
    assert plan(farm, farm.enqueue("clips/c.mp4").videos[0], "X") == "same"


def test_cancelled_job_begins_no_copy(farm: Farm) -> None:
    put(farm, a="X", b="X")
    job = farm.enqueue("clips")
    holder, copy = job.videos
    assert (plan(farm, holder, "X"), plan(farm, copy, "X")) == ("ok", "same")
    farm.queue.cancel(job.id)
    assert counts(farm, job) == {"total": 2, "cancelled": 2}
    assert farm.units.count_queued() == 0


def test_deleted_content_takes_its_copies_along(pair: tuple[Farm, int, int]) -> None:
    farm, holder, copy = pair
    farm.store.delete(holder)
    assert record(farm, copy).state == "cancelled"
    assert (
        record(farm, copy).reason
        == f"the same content was deleted as video {holder}; enqueue this source again to index it"
    )
    job = farm.enqueue("clips/b.mp4")
    assert counts(farm, job) == {"total": 1, "queued": 1}
    index(farm, job.videos[0], "X")


def test_deleted_copy_leaves_the_content(pair: tuple[Farm, int, int]) -> None:
    farm, holder, copy = pair
    farm.store.delete(copy)
    farm.store.delete(holder)
    assert record(farm, copy).state == "deleted"


def test_file_that_was_only_touched_keeps_its_video(farm: Farm) -> None:
    put(farm, a="X")
    (video,) = farm.enqueue("clips/a.mp4").videos
    index(farm, video, "X")
    os.utime(farm.folder / "clips/a.mp4", ns=(1, 5_000_000_000))
    job = farm.enqueue("clips/a.mp4")
    (touched,) = job.videos
    assert plan(farm, touched, "X") == "same"
    assert counts(farm, job) == {"total": 1, "skipped": 1}
    assert farm.queue.job(job.id).videos == [video]
    assert farm.store.video_numbers("1") == [video]
    assert record(farm, video).modified_ns == 5_000_000_000
    assert counts(farm, farm.enqueue("clips/a.mp4")) == {"total": 1, "skipped": 1}
    assert farm.take() == Unit(video)


def test_encoding_again_keeps_the_copies(pair: tuple[Farm, int, int]) -> None:
    farm, holder, copy = pair
    (again,) = farm.enqueue("clips/a.mp4", again=True).videos
    index(farm, again, "X")
    assert record(farm, holder).state == "deleted"
    assert (record(farm, copy).state, record(farm, copy).same_as) == ("skipped", again)
    put(farm, c="X")
    assert plan(farm, farm.enqueue("clips/c.mp4").videos[0], "X") == "same"


def test_name_that_holds_a_copy_now_gives_up_what_it_held(farm: Farm) -> None:
    put(farm, a="X", b="Y")
    first, second = farm.enqueue("clips").videos
    index(farm, first, "X")
    index(farm, second, "Y")
    put(farm, b="X, longer")
    (copy,) = farm.enqueue("clips/b.mp4").videos
    assert plan(farm, copy, "X") == "same"
    assert farm.store.video_numbers("1") == [first, copy]
    put(farm, b="Z, longer still")
    (third,) = farm.enqueue("clips/b.mp4").videos
    index(farm, third, "Z")
    assert farm.store.video_numbers("1") == [first, third]


def test_tags_of_a_copy_find_the_content(farm: Farm) -> None:
    put(farm, a="X")
    (holder,) = farm.enqueue("clips/a.mp4", tags={"case": "17"}).videos
    index(farm, holder, "X")
    put(farm, b="X")
    (copy,) = farm.enqueue("clips/b.mp4", tags={"case": "18", "town": "Bonn"}).videos
    assert plan(farm, copy, "X") == "same"
    assert record(farm, holder).tags == {"case": "17", "town": "Bonn"}
    assert record(farm, copy).reason.endswith("(clips/a.mp4); its tags differ in case")


def test_copies_of_a_collection_are_copies_in_its_next_generation(pair: tuple[Farm, int, int]) -> None:
    farm, _, _ = pair
    model = farm.model
    new = farm.store.create_generation("main", model=model.name, fingerprint=model.fingerprint, bits=model.bits)
    job = farm.queue.reencode("main", new.id)
    assert counts(farm, job) == {"total": 2, "queued": 2}
    assert [plan(farm, video, "X") for video in job.videos] == ["ok", "same"]
