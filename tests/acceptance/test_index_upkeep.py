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


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_an_exported_gallery_can_be_imported(client: Client, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"größe.{suffix}"
    frames = client.index().frames
    client.export_index(path, format=suffix)  # type: ignore[arg-type]
    before = answers(client)
    added = client.import_index(path)
    client.search("code:000000000000", top=1)
    assert client.index().frames == 2 * frames
    assert client.video(added[0]).state == "indexed"
    for video in added:
        client.delete_video(video)
    assert answers(client) == before


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
