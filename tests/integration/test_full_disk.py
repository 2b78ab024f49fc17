"""A disk without room for snapshots: searches go on, the snapshot before stays, and the next one follows by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import Writer, check_now, wait_until
from stored_gallery import add_video, make_chunk, make_generation

from encoder.model import Model
from hashreel.errors import StorageFullError
from hashreel.settings import Settings
from indexer.gallery import Gallery
from indexer.snapshots import Snapshots
from indexer.store import Store
from search.upkeep import IndexUpkeep

DISK_BYTES = 2 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a disk of its own, with room for little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "hashreel-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is refused here: {done.stderr.strip()}")
    yield folder
    # Lazily: snapshots that are mapped into memory keep it busy.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(disk: Path) -> Path:
    """Take all room that is left; return the file that takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return ballast


def whole_snapshots(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.parametrize("kind", ["flat", "exact", "hnsw"])
def test_a_full_disk_costs_a_snapshot_and_nothing_else(store: Store, small_disk: Path, kind: str) -> None:
    generation = make_generation(store)
    writer = Writer(store, generation, seed=8)
    folder = small_disk / "snapshots"
    snapshots = Snapshots(folder, generation, kind=kind)
    gallery = Gallery(store, generation, kind=kind, snapshots=snapshots)
    gallery.start()
    for _ in range(20):
        writer.step()
    check_now(gallery, writer) if kind != "hnsw" else gallery.catch_up(30)
    first = gallery.snapshot()
    assert first is not None

    ballast = fill_up(small_disk)
    writer.commit_new(3000)
    assert gallery.catch_up(30)
    for _ in range(2):
        with pytest.raises(OSError):
            gallery.snapshot()
    assert whole_snapshots(folder) == [first.name]
    gallery.close()

    # A start from the snapshot before reads the rest from the log.
    again = Gallery(store, generation, kind=kind, snapshots=Snapshots(folder, generation, kind=kind))
    again.start()
    if kind != "hnsw":
        check_now(again, writer)
    assert again.catch_up(30)
    assert again.verify().is_equal
    ballast.unlink()
    second = again.snapshot()
    assert second is not None
    assert whole_snapshots(folder) == [first.name, second.name]
    again.close()


def load_nothing(name: str) -> Model:
    raise AssertionError(f"nobody asked for model {name}")


def test_a_service_says_that_its_disk_is_full_and_makes_up_for_it(store: Store, small_disk: Path) -> None:
    generation, rng = make_generation(store), np.random.default_rng(4)
    for number in range(30):
        video = add_video(store, generation, 1, source=f"archive/{number}.mp4")
        store.commit(video, 0, make_chunk(rng, 100))
    settings = Settings(data=small_disk, index="flat", snapshot_s=0.2, model="model-a")
    upkeep = IndexUpkeep(store, settings, load_nothing)
    gallery = upkeep._open_gallery(generation)
    assert gallery.catch_up(30)
    ballast = fill_up(small_disk)
    with pytest.raises(StorageFullError, match=r"no room for a snapshot below .* make room and try again"):
        upkeep.index_snapshot()
    assert upkeep.index_status().frames == 3000
    with pytest.raises(StorageFullError, match="no room for the file"):
        upkeep.index_export(small_disk / "gallery.npz", "npz")
    assert not list(small_disk.glob("*gallery*"))
    ballast.unlink()
    # The thread that writes one now and then is still there.
    wait_until(lambda: len(whole_snapshots(small_disk / "snapshots")) == 1, "a snapshot is written by itself")
    upkeep.close()
