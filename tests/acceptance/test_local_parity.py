"""The same suite against a client of an address and one of a folder: nobody can tell them apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoder.clips import generate_clip
from encoder.video import grab_frame
from hashreel import Client
from hashreel.errors import BadInputError, NotFoundError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parity") / "clip.mp4"
    generate_clip(path, seed=61, seconds=4.0, size=(160, 90), fps=8)
    return path


@pytest.fixture(params=["address", "folder"])
def either(request: pytest.FixtureRequest, stack_url: str, stack_folder: Path) -> Iterator[Client]:
    with Client(stack_url) if request.param == "address" else Client.local(stack_folder) as client:
        assert client.url == stack_url
        yield client


def test_the_life_of_a_video(either: Client, clip: Path) -> None:
    job = either.enqueue(clip, every_s=0.5, tags={"set": "parity"}, again=True).wait(timeout_s=120)
    assert (job.counts.indexed, job.counts.total) == (1, 1)
    assert either.job(job.id).counts == job.counts
    (number,) = job.videos
    assert either.video(number).frames == 8
    hits = either.search(grab_frame(clip, 1200).image, top=3, videos=[number])
    assert [hit.video for hit in hits] == [number] * 3
    assert either.search(hits[0], top=1)[0].distance == 0
    assert either.thumbnail(hits[0].frame_id).startswith(b"\xff\xd8")
    (many,) = either.search_many([hits[0]], top=2, videos=[number])
    assert len(many) == 2
    assert either.search_clip(clip, top=1, videos=[number])[0].video == number
    assert either.set_tags(number, {"seen": "yes"}).tags == {"set": "parity", "seen": "yes"}
    assert number in {video.id for video in either.videos(tags={"seen": "yes"})}
    either.delete_video(number)
    assert either.search("code:000000000000", videos=[number]) == []
    with pytest.raises(NotFoundError):
        either.video(number)


def test_uploads_and_failures(either: Client, clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / f"{os.urandom(4).hex()}.mp4"
    copy.write_bytes(clip.read_bytes())
    job = either.enqueue(either.upload(copy), every_s=1.0, again=True).wait(timeout_s=120)
    assert job.counts.indexed == 1
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    job = either.enqueue([broken, tmp_path / "missing.mp4"]).wait(timeout_s=60)
    assert job.counts.failed == 2
    assert {Path(f.source).name for f in either.failures(job=job.id)} == {"broken.mp4", "missing.mp4"}


def test_the_rest_reads_the_same(either: Client, tmp_path: Path) -> None:
    assert either.health().ready
    assert "main" in {collection.name for collection in either.collections()}
    assert either.index().collection == "main"
    assert either.evidence("code:000000000000", tmp_path / "e.zip", top=1) > 0
    with pytest.raises(BadInputError, match="top"):
        either.search("code:000000000000", top=-1)
    with pytest.raises(BadInputError, match="exactly one"):
        either.search()
