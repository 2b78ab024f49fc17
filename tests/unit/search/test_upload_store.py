"""The uploads folder: names, bounds, and what is left when something goes wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashreel.errors import BadInputError, StorageFullError, TooLargeError
from hashreel.schemas import Upload
from search.http.upload_store import PART, STALE_PART_S, UploadStore, safe_name


@given(st.text(max_size=400))
def test_a_name_is_one_plain_file_name_or_refused(text):
    try:
        name = safe_name(text)
    except BadInputError:
        return
    assert name == os.path.basename(name)
    assert not name.startswith((".", " ", "-"))
    assert not set(name) & set('/\\*?[]<>:|"\0\n')
    assert 0 < len(name.encode()) <= 120
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("a.mp4", "a.mp4"),
        ("C:\\videos\\a.mp4", "a.mp4"),
        ("../../etc/passwd", "passwd"),
        ("clip[1]*.mkv", "clip_1__.mkv"),
        ("e\u0301t\u00e9.mp4", "\u00e9t\u00e9.mp4"),
        ("x" * 300 + ".mp4", "x" * 116 + ".mp4"),
        ("ж" * 300 + ".mp4", "ж" * 58 + ".mp4"),
    ],
)
def test_names_worked_by_hand(given_name, kept):
    assert safe_name(given_name) == kept


def put(store: UploadStore, name: str, data: bytes) -> Upload:
    incoming = store.begin(name)
    try:
        incoming.write(data)
        return incoming.finish()
    except BaseException:
        incoming.abort()
        raise


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def store(tmp_path: Path) -> UploadStore:
    return UploadStore(tmp_path / "uploads", max_bytes=1000, total_bytes=3000)


def test_uploads_of_one_name_at_once_all_keep_their_bytes(store):
    blobs = [bytes([number]) * 50 for number in range(20)]
    sources: list[Upload] = []
    threads = [threading.Thread(target=lambda blob=blob: sources.append(put(store, "a.mp4", blob))) for blob in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {f"uploads/{name}": data for name, data in files(store.folder).items()}
    assert sorted(kept.values()) == blobs
    assert {upload.source: upload.sha256 for upload in sources} == {
        source: hashlib.sha256(data).hexdigest() for source, data in kept.items()
    }


def test_two_uploads_on_their_way_share_the_bound(tmp_path):
    store = UploadStore(tmp_path, max_bytes=1000, total_bytes=1000)
    first, second = store.begin("a"), store.begin("b")
    first.write(b"x" * 600)
    with pytest.raises(StorageFullError):
        second.write(b"x" * 600)
    second.abort()
    first.finish()
    assert list(files(tmp_path)) == ["a"]


def test_the_bound_of_one_upload_is_inclusive(store):
    assert put(store, "a.mp4", b"x" * 1000).bytes == 1000
    with pytest.raises(TooLargeError, match="1000"):
        put(store, "b.mp4", b"x" * 1001)
    assert list(files(store.folder)) == ["a.mp4"]


def test_an_aborted_upload_frees_its_room(store):
    for _ in range(10):
        incoming = store.begin("a.mp4")
        incoming.write(b"x" * 900)
        incoming.abort()
    assert put(store, "a.mp4", b"x" * 900).bytes == 900


def test_parts_of_a_killed_service_are_removed_and_young_ones_kept(store):
    put(store, "a.mp4", b"a")
    old, young = store.folder / f"{PART}old", store.folder / f"{PART}young"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, os.stat(old).st_mtime - STALE_PART_S - 1))
    put(store, "b.mp4", b"b")
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(store, monkeypatch, code):
    incoming = store.begin("a.mp4")

    def full(file, data):
        raise OSError(code, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFullError, match="disk"):
        incoming.write(b"x")
    incoming.abort()
    assert files(store.folder) == {}


def test_a_name_that_is_taken_by_a_folder_is_passed_over(store):
    put(store, "first.mp4", b"first")
    (store.folder / "a.mp4").mkdir()
    stored = put(store, "a.mp4", b"bytes")
    assert stored.source.startswith("uploads/a-")
