"""The index is looked after over HTTP, the client and the command line; galleries leave and come back as files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import faiss
import numpy as np
import pytest

from encoder.clips import generate_clip
from encoder.codes import code_from_hex
from hashreel import Client
from hashreel.errors import BadInputError
from hashreel.processes import python_command


@pytest.fixture(scope="module", autouse=True)
def indexed(stack_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("upkeep")
    for seed in (301, 302):
        generate_clip(folder / f"{seed}.mp4", seed=seed, seconds=6.0, size=(128, 72), fps=8)
    with Client(stack_url) as client:
        client.enqueue(folder, every_s=0.5).wait(timeout_s=120)


def answers(client: Client) -> list[list[tuple[int, str]]]:
    codes = ["000000000000", "ffffffffffff", "0f0f0f0f0f0f"]
    return [[(hit.distance, hit.frame_id) for hit in client.search(f"code:{code}", top=200)] for code in codes]


def test_upkeep_changes_no_answer(client: Client) -> None:
    before = answers(client)
    verified = client.index_verify()
    assert verified.equal
    assert verified.frames == client.index().frames
    for action in ("compact", "rebuild", "snapshot"):
        status = client.index(action)  # type: ignore[arg-type]
        assert status.frames == verified.frames
        assert answers(client) == before
    assert client.index("compact").tombstones == 0


def facts(client: Client, video: int) -> str:
    fields = {"source", "kind", "policy", "tags", "frames", "duration_s", "sha256", "state"}
    return client.video(video).model_dump_json(include=fields)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_an_exported_gallery_can_be_imported_once(client: Client, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"größe.{suffix}"
    before, frames = answers(client), client.index().frames
    videos = [video for video in client.videos() if video.frames]
    assert client.export_index(path, format=suffix) == path.stat().st_size  # type: ignore[arg-type]
    assert sorted(tmp_path.iterdir()) == [path]

    same = client.import_index(path)
    assert same.videos == []
    assert sorted(same.present) == sorted(video.id for video in videos)
    assert answers(client) == before

    name = f"copy-{suffix}"
    client.create_collection(name)
    added = client.import_index(path, collection=name).videos
    assert sorted(facts(client, number) for number in added) == sorted(facts(client, video.id) for video in videos)
    assert client.index(collection=name).frames == frames
    assert client.index_verify(collection=name).equal
    for code in ("000000000000", "0f0f0f0f0f0f"):
        ours, theirs = (client.search(f"code:{code}", top=50, collection=c) for c in (None, name))
        assert [hit.distance for hit in ours] == [hit.distance for hit in theirs]
    assert client.import_index(path, collection=name).videos == []
    client.drop(name)


def test_an_upload_is_gone_once_it_is_imported(client: Client, stack_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "once.npz"
    client.export_index(path)
    client.import_index(path)
    assert list((stack_folder / "uploads").glob("once*")) == []


def test_faiss_reads_what_is_exported_for_it(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "gallery.faiss"
    client.export_index(path, format="faiss")
    index = faiss.read_index_binary(str(path))
    hits = client.search("code:0f0f0f0f0f0f", top=5)
    distances, ids = index.search(code_from_hex("0f0f0f0f0f0f", 48)[None], index.ntotal)
    assert index.ntotal == client.index().frames
    expected = sorted(zip(distances[0].tolist(), ids[0].tolist(), strict=True))[:5]
    assert [(hit.distance, int(hit.frame_id)) for hit in hits] == expected


def test_a_file_that_is_no_gallery_is_refused(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "noise.npz"
    path.write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(BadInputError, match="no exported gallery"):
        client.import_index(path)


def run(stack_url: str, *arguments: str, code: int = 0) -> str:
    """Return what ``hashreel index`` prints; its messages, where it fails."""
    command = python_command("index", "--url", stack_url, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def test_the_command_line_does_the_same(stack_url: str, tmp_path: Path) -> None:
    assert run(stack_url, "verify").startswith("equal")
    assert "frames" in run(stack_url, "status")
    assert json.loads(run(stack_url, "--json", "status"))["exact"]
    run(stack_url, "export", str(tmp_path / "g.npz"))
    with np.load(tmp_path / "g.npz", allow_pickle=False) as arrays:
        assert len(arrays["frame_ids"]) == len(arrays["codes"]) == len(arrays["times_ms"])


def test_the_command_line_compacts_and_rebuilds(stack_url: str, client: Client) -> None:
    before, frames = answers(client), client.index().frames
    for action in ("compact", "rebuild"):
        status = json.loads(run(stack_url, action, "--json"))
        assert (status["frames"], status["tombstones"]) == (frames, 0)
        lines = [line.split() for line in run(stack_url, action).splitlines()]
        assert ["frames", str(frames)] in lines
        assert any(line[:2] == ["position", "generation"] for line in lines)
    assert answers(client) == before
    assert "there is no collection 'nowhere'" in run(stack_url, "compact", "--collection", "nowhere", code=1)


def test_the_command_line_writes_a_snapshot(stack_url: str, stack_folder: Path, client: Client, tmp_path: Path) -> None:
    generate_clip(tmp_path / "new.mp4", seed=310, seconds=2.0, size=(96, 64), fps=4, shots=1)
    job = client.enqueue(tmp_path / "new.mp4").wait(timeout_s=120)
    client.search("code:000000000000", top=1)
    assert json.loads(run(stack_url, "snapshot", "--json"))["frames"] == client.index().frames
    newest = max((stack_folder / "snapshots").glob("1-*"), key=lambda path: path.name)
    videos = json.loads((newest / "videos.json").read_text())
    assert job.videos[0] in {number for number, *_ in videos}
    client.delete_video(job.videos[0])


def test_the_command_line_imports_what_is_not_there(stack_url: str, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "g.npz"
    run(stack_url, "export", str(path))
    videos = sum(1 for video in client.videos() if video.frames)
    assert run(stack_url, "import", str(path)) == f"0 videos added, {videos} were there already\n"
    client.create_collection("typed")
    document = json.loads(run(stack_url, "import", str(path), "--collection", "typed", "--json"))
    assert (len(document["videos"]), document["present"]) == (videos, [])
    assert client.index_verify(collection="typed").equal
    client.drop("typed")
    noise = tmp_path / "noise.npz"
    noise.write_bytes(b"this is no gallery")
    assert "noise" in run(stack_url, "import", str(noise), code=1)
    assert "does not exist" in run(stack_url, "import", str(tmp_path / "nowhere.npz"), code=2)
