"""Thumbnails that are kept for the day on which a source has gone."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from farm import Farm, make_clips
from PIL import Image

from encoder.video import iter_key_frames
from hashreel.backups import restore_backup, write_backup
from hashreel.errors import NotFoundError
from indexer.chunks import frame_id
from indexer.generations import Generations
from indexer.thumbnail_store import ThumbnailStore
from search.engine import SearchEngine
from workers.messages import Unit
from workers.reconciler import Reconciler


@pytest.fixture
def keeping(farm: Farm) -> Farm:
    """Return a farm that keeps thumbnails, with two clips of three frames in chunks of their own length."""
    farm.settings.thumbnail_store = farm.folder / "kept"
    farm.settings.every_s = 1.0
    make_clips(farm.folder / "clips", 2, seconds=3.0)
    return farm


@pytest.fixture
def engine(keeping: Farm) -> Iterator[SearchEngine]:
    def no_model(name: str) -> None:
        raise AssertionError(name)

    made = SearchEngine(keeping.store, keeping.settings, no_model)  # type: ignore[arg-type]
    yield made
    made.close()


def kept_of(farm: Farm) -> ThumbnailStore:
    return ThumbnailStore(farm.store, farm.settings.thumbnail_store, farm.settings.thumbnail_store_bytes)


def width_of(picture: bytes) -> int:
    with Image.open(io.BytesIO(picture)) as image:
        return image.width


def test_frames_of_a_source_that_has_gone_are_still_seen(keeping: Farm, engine: SearchEngine) -> None:
    keeping.enqueue("clips")
    keeping.run_all()
    assert width_of(engine.thumbnail(frame_id(1, 0, 1), 64)) == 64
    for path in (keeping.folder / "clips").iterdir():
        path.rename(path.with_suffix(".away"))
    assert width_of(engine.thumbnail(frame_id(1, 0, 2), 320)) == 160
    # Each is that of its own frame.
    away = keeping.folder / "clips/clip 00.away"
    for index, frame in enumerate(iter_key_frames(str(away), _every_second())):
        with Image.open(io.BytesIO(kept_of(keeping).get(frame_id(1, 0, index)) or b"")) as image:
            shown = np.asarray(image.convert("RGB").resize((4, 4)), np.int16)
        whole = np.asarray(Image.fromarray(frame.image).resize((4, 4)), np.int16)
        assert np.abs(shown - whole).max() < 40, index
    # When the source is back, it is asked again.
    away.rename(away.with_suffix(".mp4"))
    assert width_of(engine.thumbnail(frame_id(1, 0, 2), 64)) == 64
    with pytest.raises(NotFoundError):
        engine.thumbnail(frame_id(1, 0, 3), 64)


def _every_second():  # type: ignore[no-untyped-def]
    from encoder.policies import parse_policy

    return parse_policy({"kind": "every", "seconds": 1.0})


def test_kept_thumbnails_go_with_their_video(keeping: Farm) -> None:
    keeping.enqueue("clips")
    keeping.run_all()
    files = sorted((keeping.folder / "kept").rglob("*.zip"))
    assert len(files) == 2
    assert kept_of(keeping).used_bytes == sum(path.stat().st_size for path in files)
    with zipfile.ZipFile(files[0]) as file:
        assert len(file.namelist()) == 3
    keeping.settings.delete_grace_s = 0.0
    keeping.store.delete(1)
    broker = keeping.server.client(1)
    Reconciler(keeping.store, keeping.units, keeping.send, broker, keeping.settings).check()
    assert sorted((keeping.folder / "kept").rglob("*.zip")) == files[1:]
    assert kept_of(keeping).used_bytes == files[1].stat().st_size


@pytest.mark.parametrize("is_whole", [False, True], ids=["a generation", "a collection"])
def test_kept_thumbnails_go_with_what_is_dropped(keeping: Farm, is_whole: bool) -> None:
    facts = {"model": keeping.model.name, "fingerprint": keeping.model.fingerprint, "bits": keeping.model.bits}
    generations = Generations(keeping.store)
    name = "other" if is_whole else "main"
    fresh = keeping.store.create_generation(name, **facts)
    if is_whole:
        generations.cut_over(name, fresh.id)
    keeping.enqueue("clips")
    keeping.run_all()
    kept = sorted((keeping.folder / "kept").rglob("*.zip"))
    used = kept_of(keeping).used_bytes
    keeping.queue.reencode("main", fresh.id)
    keeping.run_all()
    assert len(list((keeping.folder / "kept").rglob("*.zip"))) == 2 * len(kept) == 4
    dropped = generations.drop_collection(name) if is_whole else generations.drop(fresh.id)
    assert dropped == 2
    keeping.settings.delete_grace_s = 0.0
    broker = keeping.server.client(1)
    Reconciler(keeping.store, keeping.units, keeping.send, broker, keeping.settings).check()
    assert sorted((keeping.folder / "kept").rglob("*.zip")) == kept
    assert kept_of(keeping).used_bytes == used > 0
    assert keeping.store.redis.zcard(keeping.store.keys.gone) == 0
    assert len(keeping.codes()) == 2


def test_chunk_that_is_not_committed_leaves_nothing(keeping: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    job = keeping.enqueue("clips/clip 00.mp4")
    runner = keeping.runner()
    commit = keeping.store.commit

    def cancelled_first(video: int, *arguments: object, **options: object) -> str:
        keeping.store.cancel(video)
        return commit(video, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(keeping.store, "commit", cancelled_first)
    runner.run(Unit(job.videos[0]))
    assert [path for path in (keeping.folder / "kept").rglob("*") if path.is_file()] == []
    assert kept_of(keeping).used_bytes == 0


def test_full_store_keeps_what_it_has(keeping: Farm) -> None:
    keeping.settings.thumbnail_store_bytes = 1
    keeping.enqueue("clips")
    keeping.run_all()
    assert len(list((keeping.folder / "kept").rglob("*.zip"))) == 1
    assert len(keeping.codes()) == 2


def test_backup_has_what_is_kept(keeping: Farm, tmp_path: Path, private_redis: Callable[..., object]) -> None:
    keeping.enqueue("clips")
    keeping.run_all()
    backup = tmp_path / "backup.tar"
    write_backup(keeping.settings, backup)
    restored = restore_backup(backup, tmp_path / "back")
    files = list((tmp_path / "back/thumbnails").rglob("*.zip"))
    assert len(files) == 2
    lines = Path(restored.settings_file).read_text().splitlines()
    said = dict(line.split("=", 1) for line in lines)
    assert said["HASHREEL_THUMBNAIL_STORE"].strip("'\"") == str(tmp_path / "back/thumbnails")
    assert json.dumps(restored.videos) == "2"
