"""Sources that go wrong in every way: each is told of with its reason, and costs nothing but itself."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import run_cli
from farm import Farm, make_clips
from memory_service import MemoryEngine, serve
from PIL import Image

from hashreel.client.local import absolute_sources
from search.http import make_app
from workers import reading
from workers.messages import Unit


@pytest.fixture
def url(farm: Farm) -> Iterator[str]:
    with serve(make_app(MemoryEngine(), farm.queue, farm.settings)) as address:
        yield address


def reasons_of(farm: Farm, job: str) -> dict[str, str]:
    return {failure.source: failure.reason for failure in farm.queue.failures(job=job).failures}


def newest(farm: Farm) -> str:
    return farm.queue.jobs(1)[0].id


def latin(folder: Path) -> Path:
    """Return the path of a file whose name is not UTF-8."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4"))
    path.write_bytes(b"no video")
    return path


def paint(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(len(names))
    for name in names:
        Image.fromarray(rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)).save(folder / name, "PNG")


# Names and lists


def test_a_name_that_is_not_utf8_costs_only_itself(farm: Farm, url: str, tmp_path: Path) -> None:
    (clip,) = make_clips(farm.folder / "clips", 1)
    bad, listed = latin(farm.folder / "clips"), tmp_path / "list"
    listed.write_bytes(os.fsencode(bad) + b"\r\n" + os.fsencode(clip) + b"\n\n")
    run_cli("enqueue", "--from", str(listed), "--url", url, code=1)
    job = farm.queue.job(newest(farm))
    assert (job.counts.total, job.counts.failed, job.counts.queued) == (2, 1, 1)
    (reason,) = reasons_of(farm, job.id).values()
    assert "not valid UTF-8" in reason
    run_cli("upload", str(bad), "--no-index", "--url", url)
    assert [path.name for path in (farm.settings.data / "uploads").iterdir()] == ["caf_.mp4"]


def test_a_list_may_be_of_windows_and_is_no_video(farm: Farm, url: str, tmp_path: Path) -> None:
    (clip,) = make_clips(farm.folder / "clips", 1)
    (tmp_path / "list.txt").write_text(f"{clip}\r\n", encoding="utf-16")
    run_cli("enqueue", "--from", str(tmp_path / "list.txt"), "--url", url)
    job = farm.queue.job(newest(farm))
    assert (job.counts.total, job.counts.queued) == (1, 1)
    run_cli("enqueue", "--from", str(clip), "--url", url, code=1)
    assert newest(farm) == job.id
    # Control characters are no reason to refuse a list.
    odd = clip.rename(clip.with_name("\x07\x08.mp4"))
    (tmp_path / "odd").write_bytes(bytes(odd) + b"\0")
    run_cli("enqueue", "--from", str(tmp_path / "odd"), "--url", url)
    assert farm.queue.job(newest(farm)).counts.queued == 1


def test_ingest_tells_at_once_what_failed_at_once(farm: Farm, url: str, tmp_path: Path) -> None:
    make_clips(farm.folder / "clips", 1)
    bad = latin(farm.folder / "clips")
    words = ["--settle", "0s", "--poll", "50ms", "--url", url]
    run_cli("ingest", str(farm.folder / "clips"), *words, "--state", str(tmp_path / "one"), code=1)
    job = farm.queue.job(newest(farm))
    assert (job.counts.total, job.counts.failed) == (2, 1)
    assert list(reasons_of(farm, job.id)) == [f"clips/{os.fsencode(bad.name).decode(errors='replace')}"]
    bad.unlink()
    assert run_cli("ingest", str(farm.folder / "clips"), *words, "--state", str(tmp_path / "one")) == ""
    wrong = ["--as", "elsewhere", "--state", str(tmp_path / "two")]
    run_cli("ingest", str(farm.folder / "clips"), *words, *wrong, code=1)
    (reason,) = reasons_of(farm, newest(farm)).values()
    assert "not inside a source root" in reason


def test_an_empty_name_is_not_the_working_folder(farm: Farm, url: str) -> None:
    for command in (["enqueue", ""], ["ingest", ""]):
        run_cli(*command, "--url", url, code=1)
    assert farm.queue.jobs() == []
    assert absolute_sources(["", " ", "a", "http://x/y"]) == ["", " ", os.path.abspath("a"), "http://x/y"]


# Folders of pictures


def test_pictures_that_cannot_be_read_are_told_of_one_by_one(farm: Farm) -> None:
    day = farm.folder / "clips/day"
    paint(day, "1.png", os.fsdecode(b"7\xff.png"))
    (day / "2.png").symlink_to(day / "nowhere.png")
    os.mkfifo(day / "3.png")
    (day / "4.png").symlink_to(day / "4.png")
    (day / "5.png").mkdir()
    (day / "6.png").write_bytes(b"no picture")
    job = farm.enqueue("clips/day")
    farm.run_all()
    assert farm.queue.job(job.id).counts.indexed == 1
    record = farm.store.video(job.videos[0])
    assert record.frames == 2
    told = [warning["reason"] for warning in record.warnings]
    assert [reason.partition(": ")[0] for reason in told] == ["2.png", "3.png", "4.png", "6.png"]
    assert "no such file" in told[0]
    assert "not a file" in told[1]
    assert "symbolic links" in told[2]
    assert told[3].startswith("6.png: not a picture of a known format")


def test_pictures_that_change_or_go_after_planning_are_told_of(farm: Farm) -> None:
    day = farm.folder / "clips/day"
    paint(day, "2.png", "3.png")
    job = farm.enqueue("clips/day")
    # What comes before it is looked into is in; what comes, changes or goes later is not.
    paint(day, "1.png")
    video, runner = job.videos[0], farm.runner()
    runner._plan(video)
    later = 1 + max(path.stat().st_mtime_ns for path in day.iterdir())
    paint(day, "0.png")
    os.utime(day / "0.png", ns=(later, later))
    os.utime(day / "2.png", ns=(later, later))
    (day / "3.png").unlink()
    runner.run(Unit(video, 0))
    record = farm.store.video(video)
    assert (record.state, record.frames) == ("indexed", 1)
    assert [warning["reason"] for warning in record.warnings] == [
        "2.png: it was changed after it was enqueued; enqueue the folder again",
        "3.png: there is no such file",
    ]


# Files that change while they are decoded


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def replace(path: Path) -> None:
    path.with_suffix(".new").write_bytes(b"another one")
    path.with_suffix(".new").replace(path)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def meddle(monkeypatch: pytest.MonkeyPatch, what: str, change: Callable[[], None]) -> None:
    """Have something happen to a source once its second key-frame is decoded."""
    frames_of = getattr(reading, what)

    def met(*arguments: object, **options: object) -> Iterator[object]:
        for number, frame in enumerate(frames_of(*arguments, **options)):
            if number == 1:
                change()
            yield frame

    monkeypatch.setattr(reading, what, met)


@pytest.mark.parametrize("change", [append, replace, cut])
@pytest.mark.parametrize("kind", ["video", "archive"])
def test_file_that_changes_while_it_is_decoded_is_not_indexed(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, kind: str, change: Callable[[Path], None]
) -> None:
    path, what = source_of(farm, kind)
    original = path.read_bytes()
    job = farm.enqueue(f"clips/{path.name}")
    with monkeypatch.context() as patch:
        meddle(patch, what, lambda: change(path))
        farm.run_all()
    (failure,) = farm.queue.failures(job=job.id).failures
    assert (failure.stage, failure.retryable, failure.partial) == ("source", True, False)
    assert "changed after it was enqueued" in failure.reason
    assert farm.store.video(failure.video or 0).frames == 0
    path.write_bytes(original)
    farm.queue.retry(job.id)
    farm.run_all()
    assert farm.queue.job(job.id).counts.indexed == 1


@pytest.mark.parametrize("kind", ["video", "archive"])
def test_file_that_goes_while_it_is_decoded_was_read_to_its_end(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path, what = source_of(farm, kind)
    job = farm.enqueue(f"clips/{path.name}")
    meddle(monkeypatch, what, path.unlink)
    farm.run_all()
    assert farm.queue.job(job.id).counts.indexed == 1
    assert farm.store.video(job.videos[0]).frames == 3


def source_of(farm: Farm, kind: str) -> tuple[Path, str]:
    """Return a source of three key-frames, and what reads it."""
    if kind == "video":
        return make_clips(farm.folder / "clips", 1)[0], "iter_key_frames"
    pictures = farm.folder / "pictures"
    paint(pictures, "1.png", "2.png", "3.png")
    with zipfile.ZipFile(farm.folder / "clips/day.zip", "w") as file:
        for path in pictures.iterdir():
            file.write(path, path.name)
    return farm.folder / "clips/day.zip", "iter_folder_frames"
