"""A searcher that starts from a snapshot is one that has read the whole log; a damaged snapshot is passed over."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import Writer, check_now
from stored_gallery import make_generation

from hashreel.errors import ConflictError
from indexer.gallery import Gallery
from indexer.snapshots import Snapshots
from indexer.store import Store


class Searcher:
    """A gallery with snapshots in a folder, closed and opened again at will."""

    def __init__(self, store: Store, folder: Path, kind: str = "flat") -> None:
        self.store, self.folder, self.kind = store, folder, kind
        self.gallery = self.open()

    def open(self) -> Gallery:
        generation = self.store.collection("main")
        self.gallery = Gallery(
            self.store, generation, kind=self.kind, snapshots=Snapshots(self.folder, generation, kind=self.kind)
        )
        self.gallery.start()
        return self.gallery

    def restart(self) -> Gallery:
        self.gallery.close()
        return self.open()


@pytest.fixture
def writer(store: Store) -> Writer:
    return Writer(store, make_generation(store), seed=5)


@pytest.fixture
def searcher(writer: Writer, tmp_path: Path):  # type: ignore[no-untyped-def]
    opened = Searcher(writer.store, tmp_path / "snapshots")
    yield opened
    opened.gallery.close()


def write(writer: Writer, steps: int = 40) -> None:
    for _ in range(steps):
        writer.step()


def snapshot(searcher: Searcher, writer: Writer) -> Path:
    check_now(searcher.gallery, writer)
    path = searcher.gallery.snapshot()
    assert path is not None
    return path


def messages(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("kind", ["flat", "exact", "auto"])
def test_a_restart_continues_from_the_snapshot(
    writer: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.INFO)
    searcher = Searcher(writer.store, tmp_path / "snapshots", kind)
    write(writer)
    snapshot(searcher, writer)
    write(writer)
    caplog.clear()
    check_now(searcher.restart(), writer)
    assert "snapshot opened" in messages(caplog)
    assert "gallery built" not in messages(caplog)
    write(writer)
    check_now(searcher.gallery, writer)
    snapshot(searcher, writer)
    check_now(searcher.restart(), writer)
    searcher.gallery.close()


def test_an_unchanged_gallery_is_not_written_again(writer: Writer, searcher: Searcher) -> None:
    write(writer)
    snapshot(searcher, writer)
    assert searcher.gallery.snapshot() is None


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "manifest", "empty manifest", "format"])
def test_a_damaged_snapshot_is_passed_over_for_the_one_before(
    writer: Writer, searcher: Searcher, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    caplog.set_level(logging.INFO)
    write(writer)
    snapshot(searcher, writer)
    write(writer)
    newest = snapshot(searcher, writer)
    searcher.gallery.close()
    target = newest / "times.npy"
    manifest = newest / "manifest.json"
    if damage == "flip":
        raw = bytearray(target.read_bytes())
        raw[-1] ^= 1
        target.write_bytes(raw)
    elif damage == "cut":
        target.write_bytes(target.read_bytes()[:-8])
    elif damage == "missing":
        target.unlink()
    elif damage == "manifest":
        manifest.write_text(manifest.read_text().replace('"frames": ', '"frames": 1'))
    elif damage == "empty manifest":
        manifest.write_text("")
    else:
        document = json.loads(manifest.read_text())
        document["manifest"]["format"] = 999
        manifest.write_text(json.dumps(document))
    caplog.clear()
    check_now(searcher.open(), writer)
    assert f"snapshot {newest.name} is passed over" in messages(caplog)
    assert "snapshot opened" in messages(caplog)


def test_every_bit_of_a_small_snapshot_is_covered(writer: Writer, searcher: Searcher) -> None:
    write(writer, 10)
    path = snapshot(searcher, writer)
    searcher.gallery.close()
    snapshots = Snapshots(searcher.folder, writer.store.collection("main"), kind="flat")
    rng = np.random.default_rng(0)
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.stat().st_size):
        raw = file.read_bytes()
        for place in rng.integers(0, len(raw), 12).tolist():
            torn = bytearray(raw)
            torn[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(torn)
            assert [s for s in snapshots.newest_first() if s.path == path] == [], (file.name, place)
        file.write_bytes(raw)
    assert next(s.path for s in snapshots.newest_first()) == path


def as_format_1(path: Path) -> None:
    """Turn a snapshot into what the format before would have been: SHA-256 of every file."""
    document = json.loads((path / "manifest.json").read_text())
    manifest = document["manifest"] | {"format": 1}
    for name, facts in manifest["files"].items():
        del facts["xxh3"]
        facts["sha256"] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    own = hashlib.sha256(json.dumps(manifest, indent=1).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps({"manifest": manifest, "sha256": own}, indent=1))


def test_a_snapshot_of_the_format_before_is_read_and_checked(writer: Writer, searcher: Searcher) -> None:
    write(writer)
    path = snapshot(searcher, writer)
    searcher.gallery.close()
    as_format_1(path)
    snapshots = Snapshots(searcher.folder, writer.store.collection("main"), kind="flat")
    assert [s.path for s in snapshots.newest_first()] == [path]
    check_now(searcher.open(), writer)
    torn = bytearray((path / "times.npy").read_bytes())
    torn[-1] ^= 1
    (path / "times.npy").write_bytes(torn)
    assert list(snapshots.newest_first()) == []


def test_a_snapshot_of_a_log_that_was_rolled_back_is_of_no_use(
    writer: Writer, searcher: Searcher, caplog: pytest.LogCaptureFixture
) -> None:
    write(writer)
    snapshot(searcher, writer)
    searcher.gallery.close()
    writer.store.redis.flushall()
    other = Writer(writer.store, make_generation(writer.store), seed=6)
    write(other)
    caplog.clear()
    check_now(searcher.open(), other)
    assert "is of no use" in messages(caplog)


def test_a_snapshot_of_another_model_is_refused(writer: Writer, searcher: Searcher) -> None:
    write(writer)
    snapshot(searcher, writer)
    searcher.gallery.close()
    writer.store.redis.hset(writer.store.keys.generation(writer.generation.id), "fingerprint", "ab" * 32)
    snapshots = Snapshots(searcher.folder, writer.store.collection("main"), kind="flat")
    assert list(snapshots.newest_first()) == []


def test_two_snapshots_are_kept_and_leftovers_go(writer: Writer, searcher: Searcher) -> None:
    for _ in range(4):
        write(writer, 5)
        snapshot(searcher, writer)
    left = searcher.folder / f".{writer.generation.id}-0000000099"
    left.mkdir()
    (left / "torn.npy").write_bytes(b"\0" * 10)
    write(writer, 5)
    snapshot(searcher, writer)
    assert not left.exists()
    assert len(list(searcher.folder.glob(f"{writer.generation.id}-*"))) == 2


def test_only_one_process_writes(writer: Writer, searcher: Searcher) -> None:
    write(writer)
    check_now(searcher.gallery, writer)
    snapshots = Snapshots(searcher.folder, writer.store.collection("main"), kind="flat")
    searcher.folder.mkdir(parents=True, exist_ok=True)
    with snapshots._exclusive(), pytest.raises(ConflictError, match="another process"):
        searcher.gallery.snapshot()


def test_a_full_disk_leaves_the_snapshot_before(
    writer: Writer, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer)
    first = snapshot(searcher, writer)
    write(writer)
    check_now(searcher.gallery, writer)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        searcher.gallery.snapshot()
    monkeypatch.undo()
    assert [path.name for path in sorted(searcher.folder.glob("[!.]*-*"))] == [first.name]
    check_now(searcher.restart(), writer)


@pytest.mark.parametrize("kind", ["flat", "exact", "auto"])
def test_a_view_stays_what_it_was(writer: Writer, tmp_path: Path, kind: str) -> None:
    searcher = Searcher(writer.store, tmp_path / "snapshots", kind)
    write(writer)
    check_now(searcher.gallery, writer)
    view = searcher.gallery.view()
    before = [(ids.copy(), codes.copy()) for ids, codes in view.index.items()]
    write(writer)
    check_now(searcher.gallery, writer)
    after = list(view.index.items())
    assert len(view.index) == sum(len(ids) for ids, _ in before)
    for (ids, codes), (ids_now, codes_now) in zip(before, after, strict=True):
        assert np.array_equal(ids, ids_now)
        assert np.array_equal(codes, codes_now)
    searcher.gallery.close()
