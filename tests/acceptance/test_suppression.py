"""Suppression lists through a real service: likes of an example are left out, counted, and come back."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from command_line import run_cli

from encoder.pictures import encode_jpeg
from encoder.video import grab_frame
from hashreel import AsyncClient, Client
from hashreel.errors import BadInputError, DecodeError, NotFoundError
from hashreel.processes import python_command

HOME = "intros"
ALL = "code:000000000000"


@pytest.fixture(scope="module")
def films(stack_url: str, painted: list[Path]) -> list[Path]:
    with Client(stack_url) as client:
        client.create_collection(HOME)
        assert client.enqueue(painted, every_s=0.5, collection=HOME).wait(timeout_s=120).counts.failed == 0
    return painted


def test_likes_of_an_example_are_left_out_and_counted(client: Client, stack_url: str, films: list[Path]) -> None:
    intro = encode_jpeg(grab_frame(films[0], 1000).image, 95)
    likes = client.search(intro, top=1000, radius=6, collection=HOME)
    everything = client.search(ALL, top=1000, collection=HOME)
    assert 0 < len(likes) < len(everything)
    assert everything.answer.suppressed == 0

    entry = client.suppress(intro, radius=6, name="the intro", collection=HOME)
    # The kept picture is a JPEG of the query, so that a frame on the edge may fall to the other side.
    assert abs(entry.frames - len(likes)) <= 2
    rest = client.search(ALL, top=1000, collection=HOME)
    gone = {h.frame_id for h in everything} - {h.frame_id for h in rest}
    assert len(gone) == rest.answer.suppressed == entry.frames
    assert [h.frame_id for h in rest] == [h.frame_id for h in everything if h.frame_id not in gone]
    few = client.search(intro, top=5, collection=HOME)
    assert len(few) == 5  # filled up before truncation
    assert not gone & {h.frame_id for h in few}
    shown = client.search(ALL, top=1000, collection=HOME, include_suppressed=True)
    assert [h.frame_id for h in shown] == [h.frame_id for h in everything]
    grouped = client.search(intro, group_by="video", collection=HOME)
    assert len(grouped) == len(films)
    assert not gone & {h.frame_id for h in grouped}
    marked = client.search(intro, top=1000, more=[everything[0]], collection=HOME)
    assert not gone & {h.frame_id for h in marked}
    assert client.search_clip(films[0], collection=HOME).answer.suppressed == entry.frames
    only = client.search(ALL, top=1000, collection=HOME, videos=[everything[0].video])
    assert only.answer.suppressed == sum(int(frame) >> 32 == everything[0].video for frame in gone)

    new = client.enqueue(films[0], every_s=0.25, collection=HOME).wait(timeout_s=60)
    later = client.search(ALL, top=1000, collection=HOME, videos=new.videos)
    assert later.answer.suppressed > 0  # also in what came afterwards

    async def list_and_remove() -> None:
        async with AsyncClient(stack_url) as other:
            listed = await other.suppressions(collection=HOME)
            assert [(one.id, one.name, one.radius) for one in listed] == [(entry.id, "the intro", 6)]
            await other.unsuppress(entry.id, collection=HOME)

    asyncio.run(list_and_remove())
    client.delete_video(new.videos[0])
    again = client.search(ALL, top=1000, collection=HOME)
    assert [h.frame_id for h in again] == [h.frame_id for h in everything]
    assert again.answer.suppressed == 0


def test_the_command_line_keeps_the_list(client: Client, stack_url: str, films: list[Path]) -> None:
    frame = client.search(ALL, top=1, collection=HOME)[0].frame_id
    target = ["--collection", HOME, "--json", "--url", stack_url]
    added = json.loads(run_cli("suppress", "add", f"frame:{frame}", "--radius", "0", "--name", "logo ü", *target))
    assert added["frames"] >= 0
    (listed,) = json.loads(run_cli("suppress", "list", *target))["suppressions"]
    assert listed == added
    found = run_cli("search", ALL, "--include-suppressed", *target)
    assert json.loads(found)["hits"][0]["frame_id"] == frame
    assert json.loads(run_cli("suppress", "remove", added["id"], *target))["id"] == added["id"]
    run_cli("suppress", "remove", added["id"], *target, code=1)


def test_examples_that_cannot_be_kept_are_refused(client: Client, stack_url: str, films: list[Path]) -> None:
    with pytest.raises(BadInputError, match="picture or an indexed frame"):
        client.suppress(ALL)
    with pytest.raises(DecodeError):
        client.suppress(b"no picture at all")
    with pytest.raises(NotFoundError):
        client.suppress("frame:1", collection=HOME)
    with pytest.raises(NotFoundError, match="suppresses nothing"):
        client.unsuppress("0" * 12)
    with httpx.Client(base_url=stack_url, trust_env=False) as http:
        assert http.delete("/v1/suppressions/nothing").status_code == 422
        assert http.post("/v1/suppressions", json={"query": {}, "radius": 300}).status_code == 422


def test_an_example_outlives_a_change_of_model(client: Client, stack_folder: Path, films: list[Path]) -> None:
    entry = client.suppress(grab_frame(films[1], 1000).image, radius=6, collection=HOME)
    assert entry.frames > 0
    watch = client.watch(grab_frame(films[2], 1000).image, radius=8, collection=HOME)
    before = list(client.watch_hits(watch.id))
    client.mark_hits(watch.id, before, "dismissed")
    job = client.reencode(HOME, "psp48-lite0")
    command = python_command("worker", "--gpus", "none", "--data", str(stack_folder), "--model", "psp48-lite0")
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        client.job(job.id).wait(timeout_s=120)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    fresh = next(c for c in client.collections() if c.name == HOME).generations[-1]
    client.cut_over(HOME, fresh.id)
    (listed,) = client.suppressions(collection=HOME)
    assert listed.id == entry.id
    answer = client.search(grab_frame(films[1], 1000).image, top=1, collection=HOME).answer
    assert answer.fingerprint == fresh.fingerprint
    assert answer.suppressed == listed.frames > 0
    # The watch, too: hits of the new model, and what was said of a moment holds.
    again = client.show_watch(watch.id)
    assert (again.problem, again.searched) == ("", True)
    after = {(hit.source, hit.time_ms): hit for hit in client.watch_hits(watch.id)}
    assert (str(films[2]), 1000) in after
    assert {video.id for video in client.videos(collection=HOME)} >= {hit.video for hit in after.values()}
    states = {hit.state for moment, hit in after.items() if moment in {(one.source, one.time_ms) for one in before}}
    assert states == {"dismissed"}
    client.roll_back(HOME)
    assert {hit.frame_id for hit in client.watch_hits(watch.id)} == {hit.frame_id for hit in before}
