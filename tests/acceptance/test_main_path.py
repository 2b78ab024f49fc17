"""Videos in, ranked hits out, through everything: HTTP, Redis, Celery, network, index, client, command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from encoder.clips import generate_clip
from encoder.pictures import encode_jpeg
from encoder.video import grab_frame
from hashreel import Client
from hashreel.processes import python_command

STEP_S = 0.5


def run_cli(*arguments: str, code: int = 0) -> str:
    done = subprocess.run(python_command(*arguments), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def indexed(stack_url: str, painted: list[Path]) -> list[Path]:
    with Client(stack_url) as client:
        job = client.enqueue(painted, every_s=STEP_S, tags={"set": "painted"}, again=True).wait(timeout_s=120)
    assert job.counts.indexed == len(painted), job
    return painted


def test_a_frame_between_key_frames_finds_its_own_moment(client: Client, indexed: list[Path]) -> None:
    for path in indexed:
        for time_ms in (800, 2700, 4800):
            frame = grab_frame(path, time_ms)
            hits = client.search(encode_jpeg(frame.image), top=3, tags={"set": "painted"})
            assert Path(hits[0].source).name == path.name
            assert abs(hits[0].time_ms - frame.time_ms) <= 2000  # within the shot of two seconds
            assert not hits.behind


def test_an_indexed_frame_is_its_own_nearest(client: Client, indexed: list[Path]) -> None:
    frame = grab_frame(indexed[0], 1000)
    hits = client.search(frame.image, top=1, tags={"set": "painted"})
    assert hits[0].distance <= 1  # JPEG and scaling may tip a bit that lies on the edge
    again = client.search(f"frame:{hits[0].frame_id}", top=1)
    assert again[0].distance == 0


def test_filters_and_grouping_act_before_truncation(client: Client, indexed: list[Path]) -> None:
    video = next(v for v in client.videos(tags={"set": "painted"}) if Path(v.source).name == indexed[1].name)
    query = grab_frame(indexed[0], 1000).image
    only = client.search(query, top=5, videos=[video.id])
    assert len(only) == 5
    assert {hit.video for hit in only} == {video.id}
    grouped = client.search(query, top=4, group_by="video", tags={"set": "painted"})
    assert len({hit.video for hit in grouped}) == 4
    between = client.search(query, top=50, videos=[video.id], between=(1.0, 2.0))
    assert {hit.time_ms for hit in between} == {1000, 1500}


def test_the_command_line_gives_the_same_answer(
    stack_url: str, client: Client, indexed: list[Path], tmp_path: Path
) -> None:
    picture = tmp_path / "Anfrage ü.jpg"
    picture.write_bytes(encode_jpeg(grab_frame(indexed[2], 2700).image))
    hits = client.search(picture, top=4)
    document = json.loads(run_cli("search", str(picture), "--top", "4", "--json", "--url", stack_url))
    assert [hit["frame_id"] for hit in document["hits"]] == [hit.frame_id for hit in hits]
    lines = run_cli("search", str(picture), "--top", "4", "--csv", "--url", stack_url).splitlines()
    assert len(lines) == 5


def test_every_source_ends_with_an_outcome(client: Client, stack_url: str, tmp_path: Path) -> None:
    good = tmp_path / "in" / "good.mp4"
    good.parent.mkdir()
    generate_clip(good, seed=77, seconds=2.0, size=(96, 64), fps=8, shots=1)
    (good.parent / "empty.mp4").touch()
    (good.parent / "text.mp4").write_text("this is no video\n" * 100)
    (good.parent / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    pictures = good.parent / "pictures"
    pictures.mkdir()
    for index in range(3):
        (pictures / f"{index}.jpg").write_bytes(encode_jpeg(grab_frame(good, 500 * index).image))
    (pictures / "3.jpg").write_bytes(b"\xff\xd8 torn")

    sources = [good.parent, tmp_path / "nowhere.mp4", tmp_path / "none-*.mp4", "http://127.0.0.1/clip.mp4"]
    job = client.enqueue(sources, every_s=STEP_S).wait(timeout_s=120)

    counts = job.counts
    assert counts.total == counts.indexed + counts.failed == 8
    assert counts.indexed == 2  # the good clip and the folder of pictures, one of them torn
    reasons = {Path(f.source).name: f for f in client.failures(job=job.id)}
    assert set(reasons) == {"empty.mp4", "text.mp4", "cut.mp4", "pictures", "nowhere.mp4", "none-*.mp4", "clip.mp4"}
    assert all(failure.reason for failure in reasons.values())
    assert reasons["pictures"].partial
    assert "3.jpg" in reasons["pictures"].reason
    assert "no file matches" in reasons["none-*.mp4"].reason
    listed = json.loads(run_cli("failures", "--job", job.id, "--json", "--url", stack_url))
    assert len(listed["failures"]) == 7
    assert "nowhere.mp4" in run_cli("failures", "--url", stack_url)


def test_a_source_is_encoded_once_unless_asked(client: Client, indexed: list[Path]) -> None:
    before = client.health().frames
    job = client.enqueue(indexed[:2], every_s=STEP_S, tags={"seen": "twice"}).wait(timeout_s=60)
    assert (job.counts.skipped, job.counts.indexed) == (2, 0)
    assert {video.id for video in client.videos(tags={"set": "painted", "seen": "twice"})} == set(job.videos)
    again = client.enqueue(indexed[:1], every_s=STEP_S, tags={"set": "painted"}, again=True).wait(timeout_s=60)
    assert again.counts.indexed == 1
    client.search("code:000000000000", top=1)
    assert client.health().frames == before


def test_a_deleted_video_is_found_no_more(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    generate_clip(path, seed=78, seconds=2.0, size=(96, 64), fps=8, shots=1)
    job = client.enqueue(path).wait(timeout_s=60)
    query = grab_frame(path, 1000).image
    assert client.search(query, top=1)[0].video == job.videos[0]
    client.delete_video(job.videos[0])
    assert all(hit.video != job.videos[0] for hit in client.search(query, top=1000))


def test_a_cancelled_job_leaves_nothing_behind(client: Client, tmp_path: Path) -> None:
    paths = []
    for seed in range(6):
        paths.append(tmp_path / f"{seed}.mp4")
        generate_clip(paths[-1], seed=seed, seconds=8.0, size=(96, 64), fps=8)
    job = client.enqueue(paths, every_s=0.2)
    job.cancel()
    job.wait(timeout_s=60)
    counts = job.counts
    assert counts.total == counts.indexed + counts.cancelled == 6
    assert counts.cancelled >= 1
    cancelled = {v.id for v in client.videos() if v.id in job.videos and v.state == "cancelled"}
    assert all(hit.video not in cancelled for hit in client.search("code:000000000000", top=5000))
