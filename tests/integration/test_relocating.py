"""A moved archive: videos are found under their new names, and only if the files there are those that were indexed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, make_clips
from gallery_mirror import wait_until
from memory_service import MemoryEngine, serve

from hashreel import Client
from hashreel.errors import BadInputError, ForbiddenError, NotFoundError
from hashreel.schemas import Relocation
from indexer.gallery import Gallery
from search.http import make_app
from search.http.access import Access, make_access


@pytest.fixture
def access(farm: Farm) -> Iterator[Access]:
    made = make_access(farm.settings, farm.store.redis)
    yield made
    assert made.audit is not None
    made.audit.close()


@pytest.fixture
def url(farm: Farm, access: Access) -> Iterator[str]:
    """Return the address of an app over the farm's queue; no query is sent to its engine."""
    with serve(make_app(MemoryEngine(), farm.queue, farm.settings, access)) as address:
        yield address


@pytest.fixture
def gallery(farm: Farm, archive: Path) -> Iterator[Gallery]:
    made = Gallery(farm.store, farm.store.generation("1"), kind="flat")
    made.start()
    yield made
    made.close()


@pytest.fixture
def archive(farm: Farm) -> Path:
    """Return the root, with three clips in its folder ``old`` that are indexed."""
    root = farm.folder / "clips"
    make_clips(root / "old" / "deep", 3, seconds=1.0)
    farm.enqueue("clips/old")
    farm.run_all()
    return root


def told(relocations: list[Relocation]) -> dict[str, str]:
    return {one.new: one.reason for one in relocations}


def test_archive_is_found_under_its_new_name(farm: Farm, archive: Path, gallery: Gallery, url: str) -> None:
    wait_until(lambda: gallery.catch_up(60), "the gallery is built")
    with Client(url) as client:
        shutil.copytree(archive / "old", archive / "new")  # with other times of change
        shutil.rmtree(archive / "old")
        (archive / "new/deep/clip 01.mp4").write_bytes(b"another film")
        with (archive / "new/deep/clip 02.mp4").open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")  # as large as before
        dry = list(client.relocate("clips/old", "clips/new", dry_run=True))
        assert [one.moved for one in dry] == [False, False, True]
        assert farm.store.video(1).source == "clips/old/deep/clip 00.mp4"
        found = told(list(client.relocate("clips/old/", "clips/new")))
        assert found.pop("clips/new/deep/clip 00.mp4") == ""
        assert "another SHA-256" in found.pop("clips/new/deep/clip 02.mp4")
        assert "has 12 bytes" in found.pop("clips/new/deep/clip 01.mp4")
        assert found == {}
        record = farm.store.video(1)
        assert (record.source, record.path) == ("clips/new/deep/clip 00.mp4", str(archive / "new/deep/clip 00.mp4"))
        assert record.modified_ns == (archive / "new/deep/clip 00.mp4").stat().st_mtime_ns
        # A searcher reads it in the log; what is enqueued from the new place is known.
        assert gallery.catch_up(60)
        assert gallery.frame(1 << 32).source == "clips/new/deep/clip 00.mp4"
        assert farm.enqueue("clips/new/deep/clip 00.mp4").counts.skipped == 1
        assert farm.enqueue("clips/old/deep/clip 00.mp4").counts.failed == 1
        # By number, and by size alone.
        (one,) = client.relocate(3, "clips/new/deep/clip 02.mp4", check="size")
        assert (one.moved, one.old, farm.store.video(3).source) == (True, "clips/old/deep/clip 02.mp4", one.new)
        (taken,) = client.relocate(3, "clips/new/deep/clip 00.mp4")
        assert not taken.moved
        notes = [entry.notes["relocation"] for entry in client.audit() if "relocation" in entry.notes]
        assert [(note["moved"], note["refused"], note["dry_run"]) for note in notes] == [
            (0, 1, False),
            (1, 0, False),
            (1, 2, False),
            (1, 2, True),
        ]
        assert notes[2]["videos"] == [1]


def test_two_videos_never_share_a_place(farm: Farm, archive: Path) -> None:
    shutil.copyfile(archive / "old/deep/clip 00.mp4", archive / "copy.mp4")
    content, place = "c" * 32, farm.store.redis.hget("hr:v:2", "place").decode()
    facts = {"source": "clips/x.mp4", "path": "/x", "modified_ns": 1, "content": content, "place": place}
    assert farm.store.relocate(farm.store.video(1), **facts) == "taken"
    stale = farm.store.video(3)
    free = facts | {"place": "p" * 32}
    assert farm.store.relocate(stale, **free) not in {"taken", "gone", "moved"}
    assert farm.store.relocate(stale, **free) == "moved"
    farm.store.delete(3)
    assert farm.store.relocate(stale, **free) == "gone"
    assert farm.store.redis.hget("hr:g:1:contents", content) is None


def test_bad_relocations_are_refused(farm: Farm, archive: Path, access: Access, url: str) -> None:
    with Client(url) as client:
        with pytest.raises(NotFoundError, match="below 'clips/ol'"):
            list(client.relocate("clips/ol", "clips/new"))
        with pytest.raises(NotFoundError, match="no video 99"):
            list(client.relocate(99, "clips/new"))
        with pytest.raises(BadInputError, match="both"):
            list(client.relocate("clips/old", "clips/old/"))
        assert {one.reason for one in client.relocate("clips/old", "/etc")} != {""}
        (one,) = client.relocate(1, "http://h/x.mp4")
        assert "only files" in one.reason
        assert farm.store.video(1).source == "clips/old/deep/clip 00.mp4"
    assert access.keyring is not None
    access.keyring.create("root", "admin")
    secret = access.keyring.create("writer", "write")[1]
    with Client(url, api_key=secret) as client, pytest.raises(ForbiddenError, match="admin"):
        list(client.relocate("clips/old", "clips/new"))
