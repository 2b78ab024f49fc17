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


def test_the_command_line_does_the_same(stack_url: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        command = python_command("index", "--url", stack_url, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    assert run("verify").startswith("equal")
    assert "frames" in run("status")
    assert json.loads(
        subprocess.run(
            python_command("index", "--url", stack_url, "--json", "status"), capture_output=True, text=True, check=True
        ).stdout
    )["exact"]
    run("export", str(tmp_path / "g.npz"))
    with np.load(tmp_path / "g.npz", allow_pickle=False) as arrays:
        assert len(arrays["frame_ids"]) == len(arrays["codes"]) == len(arrays["times_ms"])
