"""More like these, less like those, and predicted concepts: real model, service, clients and command line."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest
from command_line import run_cli

from encoder.pictures import encode_jpeg
from encoder.video import grab_frame
from hashreel import AsyncClient, Client
from hashreel.errors import BadInputError
from hashreel.processes import python_command

TAGS = {"set": "marks"}


@pytest.fixture(scope="module")
def indexed(stack_url: str, painted: list[Path]) -> list[Path]:
    with Client(stack_url) as client:
        assert client.enqueue(painted, every_s=0.25, tags=TAGS).wait(timeout_s=120).counts.failed == 0
    return painted


def test_marks_change_the_order_the_right_way(
    client: Client, stack_url: str, indexed: list[Path], tmp_path: Path
) -> None:
    picture = tmp_path / "q.jpg"
    picture.write_bytes(encode_jpeg(grab_frame(indexed[0], 1000).image))
    plain = client.search(picture, top=200, tags=TAGS)
    order = [hit.frame_id for hit in plain]
    other = next(hit for hit in plain[20:] if Path(hit.source).name != indexed[0].name)
    marked = client.search(picture, top=200, tags=TAGS, more=[other], less=plain[:2])
    now = [hit.frame_id for hit in marked]
    assert now.index(other.frame_id) < order.index(other.frame_id)
    assert sorted(now) == sorted(order)
    assert [hit.score for hit in marked] == sorted(hit.score for hit in marked)

    async def again() -> list[str]:
        async with AsyncClient(stack_url) as other_client:
            hits = await other_client.search(picture, top=200, tags=TAGS, more=[other], less=plain[:2])
            return [hit.frame_id for hit in hits]

    assert asyncio.run(again()) == now
    marks = ["--more", other.frame_id, "--less", order[0], "--less", f"frame:{order[1]}"]
    printed = json.loads(
        run_cli("search", str(picture), "--top", "5", "--tag", "set=marks", *marks, "--json", "--url", stack_url)
    )
    assert [hit["frame_id"] for hit in printed["hits"]] == now[:5]


def test_what_does_not_go_together_is_said(client: Client, stack_url: str, indexed: list[Path]) -> None:
    with pytest.raises(BadInputError, match="radius"):
        client.search("code:000000000000", more=["1"], radius=3)
    with pytest.raises(BadInputError, match="exactly one"):
        client.search()
    with pytest.raises(BadInputError, match="predicts no concept 'car'; it predicts none: it does not segment"):
        client.search(concepts=["car"])
    run_cli("search", "--top", "3", "--url", stack_url, code=2)


def test_predicted_concepts_by_themselves_and_with_a_picture(
    client: Client, stack_url: str, stack_folder: Path, indexed: list[Path]
) -> None:
    client.create_collection("seen", "psp48-lite0")
    command = python_command("worker", "--gpus", "none", "--data", str(stack_folder), "--model", "psp48-lite0")
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        client.enqueue(indexed, every_s=0.5, collection="seen").wait(timeout_s=120)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    everything = client.search("code:000000000000", top=1000, collection="seen")
    areas = {h.frame_id: {c.name: c.area for c in h.concepts} for h in everything}
    names = {name for seen in areas.values() for name in seen}
    assert names, "the model sees nothing in any painted frame"
    name = min(names)
    found = client.search(concepts=[name], top=1000, collection="seen")
    assert {h.frame_id for h in found} == {frame for frame, seen in areas.items() if name in seen}
    by_area = sorted((areas[h.frame_id][name] for h in found), reverse=True)
    assert [h.score for h in found] == pytest.approx(by_area, abs=1e-3)
    with_code = client.search("code:000000000000", concepts=[name], top=1000, collection="seen")
    assert [h.frame_id for h in with_code] == [h.frame_id for h in everything if name in areas[h.frame_id]]
    printed = run_cli("search", "--concept", name, "--collection", "seen", "--csv", "--url", stack_url).splitlines()
    assert len(printed) == 1 + min(10, len(found))
    least = max(areas[h.frame_id][name] for h in found) * 1.5
    assert least > 1 or client.search(concepts=[name], min_area=min(1.0, least), collection="seen") == []
