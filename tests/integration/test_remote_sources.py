"""Sources by URL and archives, from their names to codes: a real web server, real files, a real Redis."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from farm import Farm, make_clips
from PIL import Image as PillowImage
from web_files import Web, web_files

from encoder.clips import generate_clip
from encoder.video import grab_frame
from hashreel.schemas import ClipOptions, Failure, FramesRequest, JobModel, Query, SearchRequest, WatchRequest
from indexer.records import VideoRecord
from search.engine import SearchEngine


@pytest.fixture
def web(farm: Farm) -> Iterator[Web]:
    farm.settings.source_hosts = ["127.0.0.1/32", "memory://remote/"]
    farm.settings.max_tries = 1
    with web_files() as served:
        yield served


def record(farm: Farm, job: JobModel, number: int = 0) -> VideoRecord:
    found = farm.store.find_video(farm.queue.job(job.id).videos[number])
    assert found is not None
    return found


def copies(farm: Farm) -> list[Path]:
    folder = farm.settings.data / "cache" / "sources"
    return list(folder.iterdir()) if folder.is_dir() else []


def run(farm: Farm, *sources: object, **options: object) -> JobModel:
    job = farm.enqueue(*sources, **options)
    farm.run_all()
    done = farm.queue.job(job.id)
    counts = done.counts.model_dump()
    assert counts.pop("total") == sum(counts.values())
    assert done.state == "done"
    return done


def pictures(*colours: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, colour in enumerate(colours):
            picture = io.BytesIO()
            PillowImage.new("RGB", (48, 48), colour).save(picture, "PNG")
            archive.writestr(f"größe/{number}.png", picture.getvalue())
    return buffer.getvalue()


def test_video_by_url_is_indexed_like_a_file_and_its_copy_goes(farm: Farm, web: Web) -> None:
    path = farm.folder / "clips" / "long.mp4"
    generate_clip(path, seed=5, seconds=25.0, size=(160, 90), fps=4, shots=3)
    farm.settings.chunk_s = 10.0
    run(farm, "clips/long.mp4")
    expected = {chunk: codes for (_, chunk), codes in farm.codes().items()}
    assert len(expected) == 3
    web.put("/films/long.mp4", path.read_bytes())
    url = web.url("/films/long.mp4")
    job = run(farm, url, again=True)
    assert (job.counts.indexed, record(farm, job).source, record(farm, job).size) == (1, url, path.stat().st_size)
    assert {chunk: codes for (source, chunk), codes in farm.codes().items() if source == url} == expected
    assert [wanted for _, wanted in web.asked] == [""]
    assert copies(farm) == []
    # It is fetched to see whether it was changed; the same content keeps its video.
    same = run(farm, url)
    assert (same.counts.skipped, same.videos, copies(farm)) == (1, job.videos, [])
    web.put("/films/long.mp4", make_clips(farm.folder / "made", 1)[0].read_bytes(), etag='"2"')
    changed = run(farm, url)
    assert changed.counts.indexed == 1
    assert [source for source, _ in farm.codes() if source == url] == [url]
    assert copies(farm) == []


def failure(farm: Farm, job: JobModel) -> Failure:
    (found,) = farm.queue.failures(job=job.id).failures
    return found


def test_every_trouble_ends_in_the_ledger_with_its_reason(farm: Farm, web: Web) -> None:
    farm.settings.max_source_bytes = 1000
    web.put("/gone.mp4", status=[410])
    web.put("/busy.mp4", status=[503])
    web.put("/text.mp4", b"no video")
    web.put("/large.mp4", bytes(2000))
    web.put("/away.mp4", location="http://169.254.169.254/latest/meta-data/")
    for path, stage, retryable, words in [
        ("/none.mp4", "source", True, "answers with status 404"),
        ("/gone.mp4", "source", True, "answers with status 410"),
        ("/busy.mp4", "source", True, "answers with status 503"),
        ("/text.mp4", "decode", False, "text.mp4: not a video file"),
        ("/large.mp4", "source", True, "max_source_bytes"),
        ("/away.mp4", "source", True, "169.254.169.254:80 is not an allowed host"),
    ]:
        found = failure(farm, run(farm, web.url(path)))
        assert (found.stage, found.retryable) == (stage, retryable), found
        assert words in found.reason, found
    for url, words in [
        ("http://example.com/a.mp4", "example.com:80 is not an allowed host; allowed: 127.0.0.1/32"),
        ("http://u:p@127.0.0.1/a.mp4", "an address with a user or a password"),
        ("s3://bucket/a.mp4", "no allowed address begins like it"),
        ("zip://x::file:///etc/passwd", "(::)"),
        ("http://", "no http or https address"),
        ("memory://remote/*.none", "no file matches this pattern"),
    ]:
        job = farm.enqueue(url)
        assert (job.counts.failed, job.counts.total) == (1, 1)
        assert words in failure(farm, job).reason
    farm.settings.source_hosts = []
    assert "none, so that no address is read" in failure(farm, farm.enqueue(web.url("/text.mp4"))).reason


def test_source_that_changes_between_its_chunks_is_told_of(farm: Farm, web: Web) -> None:
    path = farm.folder / "long.mp4"
    generate_clip(path, seed=5, seconds=25.0, size=(160, 90), fps=4, shots=3)
    farm.settings.chunk_s = 10.0
    page = web.put("/f.mp4", path.read_bytes())
    job = farm.enqueue(web.url("/f.mp4"))
    unit = farm.take()
    assert unit is not None
    farm.runner("one").run(unit)
    # Another host, which has no copy, finds another version.
    for place in copies(farm):
        if place.is_dir():
            for file in place.iterdir():
                file.unlink()
    page.etag = '"2"'
    farm.run_all()
    found = record(farm, job)
    assert found.state == "indexed"
    assert {warning["stage"] for warning in found.warnings} == {"source"}
    assert "changed after it was enqueued" in found.warnings[0]["reason"]


def test_archive_by_url_and_by_path_names_the_very_file_of_a_hit(farm: Farm, web: Web) -> None:
    (farm.folder / "clips" / "keys.zip").write_bytes(pictures("red", "lime", "blue"))
    folder = farm.folder / "clips" / "loose"
    folder.mkdir()
    for name in ("frame2.png", "frame10.png"):
        PillowImage.new("RGB", (48, 48), "white" if "2" in name else "black").save(folder / name)
    web.put("/export?set=9", pictures("yellow", "magenta"))
    sources = ["clips/keys.zip", "clips/loose", web.url("/export?set=9")]
    job = run(farm, *sources)
    assert job.counts.indexed == 3
    assert [record(farm, job, n).kind for n in range(3)] == ["pictures"] * 3
    assert [record(farm, job, n).frames for n in range(3)] == [3, 2, 2]
    engine = SearchEngine(farm.store, farm.settings, lambda _: farm.model)
    try:
        hits = engine.search(SearchRequest(query=Query(code="00" * 6), top=100)).hits
        assert {(hit.source, hit.time_ms): hit.member for hit in hits} == {
            ("clips/keys.zip", 0): "größe/0.png",
            ("clips/keys.zip", 1000): "größe/1.png",
            ("clips/keys.zip", 2000): "größe/2.png",
            ("clips/loose", 0): "frame2.png",
            ("clips/loose", 1000): "frame10.png",
            (sources[2], 0): "größe/0.png",
            (sources[2], 1000): "größe/1.png",
        }
        found = engine.look_up(FramesRequest(frames=[hit.frame_id for hit in hits]))
        assert [frame.file for frame in found.frames] == [hit.file for hit in hits]
        watch = engine.add_watch(WatchRequest(queries=[Query(code="00" * 6)], radius=48))
        seen = engine.watch_hits(watch.id).hits
        assert {(hit.frame_id, hit.member) for hit in seen} == {(hit.frame_id, hit.member) for hit in hits}
        by_file = {hit.file: int(hit.frame_id) for hit in hits}
        # The picture of a hit is that file's, whatever came into the folder since.
        PillowImage.new("RGB", (48, 48), "red").save(folder / "frame1.png")
        for file, colour in (("clips/loose: frame10.png", (0, 0, 0)), ("clips/keys.zip: größe/1.png", (0, 255, 0))):
            shown = PillowImage.open(io.BytesIO(engine.frame_png(by_file[file])))
            assert shown.getpixel((5, 5)) == colour
    finally:
        engine.close()


def test_a_clip_that_matches_an_album_names_the_file_in_the_middle(farm: Farm, tmp_path: Path) -> None:
    clip, album = tmp_path / "clip.mp4", farm.folder / "clips" / "album"
    generate_clip(clip, seed=5, seconds=8.0, size=(96, 72), fps=8)
    album.mkdir()
    for second in range(8):
        PillowImage.fromarray(grab_frame(clip, 1000 * second).image).save(album / f"{second} s.png")
    assert run(farm, "clips/album").counts.indexed == 1
    engine = SearchEngine(farm.store, farm.settings, lambda _: farm.model)
    try:
        stretch = engine.search_clip(clip, ClipOptions(top=1)).stretches[0]
    finally:
        engine.close()
    assert stretch.member == f"{int(stretch.frame_id) & 0xFFFFF} s.png"


def test_long_album_is_cut_into_chunks(farm: Farm, web: Web) -> None:
    farm.settings.chunk_s = 10.0
    colours = [f"rgb({n}, 9, 9)" for n in range(25)]
    (farm.folder / "clips" / "keys.zip").write_bytes(pictures(*colours))
    job = run(farm, "clips/keys.zip")
    found = record(farm, job)
    assert (found.chunks, found.bounds, found.frames) == (3, [0, 10_000, 20_000], 25)
    times = [time for (_, chunk), (times, _) in sorted(farm.codes().items()) for time in times]
    assert times == [1000 * n for n in range(25)]


def test_archive_without_a_picture_and_one_that_is_none(farm: Farm) -> None:
    with zipfile.ZipFile(farm.folder / "clips" / "docs.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    (farm.folder / "clips" / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    job = run(farm, "clips")
    reasons = {f.source: (f.stage, f.reason) for f in farm.queue.failures(job=job.id).failures}
    assert reasons["clips/docs.zip"] == (
        "decode",
        "no picture is in it; 1 files in it are no pictures and were left out: a.txt",
    )
    assert reasons["clips/broken.zip"][1].startswith("broken.zip: not an archive that can be read")


def test_other_file_systems_take_patterns_and_folders(farm: Farm, web: Web) -> None:
    clips = [clip.read_bytes() for clip in make_clips(farm.folder / "made", 2)]
    memory = fsspec.filesystem("memory")
    memory.pipe({"/remote/a/1.mp4": clips[0], "/remote/a/2.mp4": clips[1]})
    memory.pipe({"/remote/p/1.png": b"", "/remote/z.zip": pictures("red")})
    try:
        job = run(farm, "memory://remote/a/*.mp4", "memory://remote/", "memory://remote/a/1.mp4")
        states = {r.source: r.state for n in range(job.counts.total) if (r := record(farm, job, n))}
        assert states == {
            "memory://remote/a/1.mp4": "indexed",
            "memory://remote/a/2.mp4": "indexed",
            "memory://remote/z.zip": "indexed",
            "memory://remote/": "failed",
        }
        assert "pack them into a zip or tar file" in farm.queue.failures(job=job.id).failures[0].reason
    finally:
        memory.rm("/remote", recursive=True)


def test_file_url_is_a_path_inside_the_roots(farm: Farm) -> None:
    (clip,) = make_clips(farm.folder / "clips", 1)
    job = farm.enqueue(f"file://{clip}".replace(" ", "%20"), "file:///etc/passwd")
    assert [(r.source, r.state) for n in range(2) if (r := record(farm, job, n))] == [
        ("clips/clip 00.mp4", "queued"),
        ("/etc/passwd", "failed"),
    ]
    assert json.dumps(job.model_dump())
