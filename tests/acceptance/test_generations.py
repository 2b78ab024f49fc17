"""A collection is encoded anew with another model, beside the live one, and changes over without a gap."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stacks import embedded_stack

from encoder.clips import generate_clip
from encoder.video import grab_frame
from hashreel import Client
from hashreel.errors import BadInputError, ConflictError
from hashreel.processes import python_command


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of 32 bits, fitted to a few painted frames."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "frames").mkdir()
    clip = folder / "clip.mp4"
    generate_clip(clip, seed=9, seconds=8.0, size=(96, 64), fps=8)
    from encoder.pictures import encode_jpeg

    for number in range(48):
        picture = encode_jpeg(grab_frame(clip, 160 * number).image)
        (folder / "frames" / f"{number}.jpg").write_bytes(picture)
    command = python_command("fit", "lsh", "--folder", str(folder / "frames"), "--bits", "32", "--out")
    subprocess.run([*command, str(folder / "lsh32")], check=True, capture_output=True, timeout=200)
    return folder / "lsh32"


@pytest.fixture(scope="module")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generations") / "data"


@pytest.fixture(scope="module")
def url(stack_folder: Path) -> Iterator[str]:
    with embedded_stack(stack_folder) as address:
        yield address


def test_change_of_model_without_downtime(url: str, stack_folder: Path, other_model: Path, tmp_path: Path) -> None:
    clips = []
    for seed in (1, 2):
        clips.append(tmp_path / f"{seed}.mp4")
        generate_clip(clips[-1], seed=seed, seconds=4.0, size=(96, 64), fps=8)
    query = grab_frame(clips[0], 1000).image
    with Client(url) as client:
        client.enqueue(clips, tags={"case": "1"}).wait(timeout_s=120)
        before = client.search(query, top=3)
        job = client.reencode("main", str(other_model))
        fresh = client.collections()[0].generations[-1]
        assert (fresh.is_live, fresh.bits) == (False, 32)
        assert [h.frame_id for h in client.search(query, top=3)] == [h.frame_id for h in before]
        run_worker_until_done(client, job.id, stack_folder, other_model)
        assert client.job(job.id).counts.indexed == 2

        after = client.cut_over("main", fresh.id)
        assert (after.bits, after.frames) == (32, 8)
        found = client.search(query, top=3, tags={"case": "1"})
        assert (found.answer.bits, found[0].source) == (32, str(clips[0]))
        with pytest.raises(BadInputError, match="4"):
            client.search(f"code:{before.code}")

        client.roll_back("main")
        assert [h.frame_id for h in client.search(query, top=3)] == [h.frame_id for h in before]
        with pytest.raises(ConflictError):
            client.drop("main", client.collections()[0].generation)
        assert client.drop("main", fresh.id) == 2
        assert len(client.collections()[0].generations) == 1


def run_worker_until_done(client: Client, job: str, stack_folder: Path, model: Path) -> None:
    command = python_command("worker", "--gpus", "none", "--data", str(stack_folder), "--model", str(model))
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        client.job(job).wait(timeout_s=120)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
