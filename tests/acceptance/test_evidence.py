"""Hits as evidence: a ZIP that proves itself, from real videos, through client, command line and HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from command_line import run_cli
from PIL import Image

from encoder.pictures import encode_jpeg
from encoder.video import grab_frame
from hashreel import AsyncClient, Client
from hashreel.errors import TooLargeError

TAGS = {"set": "evidence"}


@pytest.fixture(scope="module")
def indexed(stack_url: str, painted: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    copies = [Path(shutil.copy(path, folder)) for path in painted[:2]]
    with Client(stack_url) as client:
        job = client.enqueue(copies, every_s=0.7, tags=TAGS, again=True).wait(timeout_s=120)
    assert job.counts.indexed == 2
    return copies


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def check_sums(files: dict[str, bytes]) -> None:
    lines = dict(reversed(line.split("  ", 1)) for line in files["SHA256SUMS"].decode().splitlines())
    assert lines == {n: hashlib.sha256(d).hexdigest() for n, d in files.items() if n != "SHA256SUMS"}


def test_a_package_holds_a_clip_and_the_stretches_that_match_it(
    client: Client, stack_url: str, indexed: list[Path], tmp_path: Path
) -> None:
    out, clip = tmp_path / "clip.zip", indexed[0].read_bytes()
    stretches = client.search_clip(indexed[0], top=3, tags=TAGS)
    assert stretches[0].source == str(indexed[0])
    size = client.clip_evidence(indexed[0], out, top=3, tags=TAGS)
    assert size == out.stat().st_size
    by_shell = tmp_path / "shell.zip"
    shown = ("evidence", f"clip:{indexed[0]}", "--top", "3", "--tag", "set=evidence", "--out", str(by_shell))
    run_cli(*shown, "--url", stack_url)
    by_await = tmp_path / "await.zip"

    async def awaited() -> None:
        async with AsyncClient(stack_url) as other:
            await other.clip_evidence(indexed[0], by_await, top=3, tags=TAGS)

    asyncio.run(awaited())
    for path in (out, by_shell, by_await):
        files = contents(path)
        check_sums(files)
        manifest = json.loads(files["manifest.json"])
        assert files[manifest["query"]["clip"]["file"]] == clip
        assert manifest["query"]["clip"]["file"] == "query.mp4"
        found = [(one["video"], one["start_ms"], one["end_ms"], one["frame_id"]) for one in manifest["stretches"]]
        assert found == [(one.video, one.start_ms, one.end_ms, one.frame_id) for one in stretches]
        for one in manifest["stretches"]:
            assert Image.open(io.BytesIO(files[one["file"]])).format == "PNG"
    with pytest.raises(TooLargeError, match="at most 200"):
        client.clip_evidence(indexed[0], out, top=201)


def test_a_package_proves_what_was_found(client: Client, stack_url: str, indexed: list[Path], tmp_path: Path) -> None:
    picture = encode_jpeg(grab_frame(indexed[0], 1500).image)
    out = tmp_path / "case.zip"
    size = client.evidence(picture, out, top=5, tags=TAGS)
    assert size == out.stat().st_size
    files = contents(out)
    check_sums(files)
    manifest = json.loads(files["manifest.json"])
    hits = client.search(picture, top=5, tags=TAGS)
    assert [hit["frame_id"] for hit in manifest["hits"]] == [hit.frame_id for hit in hits]
    assert [hit["distance"] for hit in manifest["hits"]] == [hit.distance for hit in hits]
    assert files["query.jpg"] == picture
    assert manifest["query"]["code"] == hits.code
    assert manifest["query"]["request"]["tags"] == TAGS
    assert manifest["model"]["fingerprint"] == hits.fingerprint
    assert manifest["index"]["log_id"] == hits.position.log_id
    by_number = {source["video"]: source for source in manifest["sources"]}
    for hit in manifest["hits"]:
        source = by_number[hit["video"]]
        path = Path(source["source"])
        assert source["sha256"] == source["sha256_now"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert source["is_unchanged"] is True
        assert hashlib.sha256(files[hit["file"]]).hexdigest() == hit["sha256"]
        frame = np.asarray(Image.open(io.BytesIO(files[hit["file"]])))
        assert np.array_equal(frame, grab_frame(path, hit["time_ms"]).image)

    async def again() -> int:
        async with AsyncClient(stack_url) as other:
            return await other.evidence(picture, tmp_path / "again.zip", top=5, tags=TAGS)

    asyncio.run(again())
    same = contents(tmp_path / "again.zip")
    assert {n: d for n, d in same.items() if n.startswith("frames/")} == {
        n: d for n, d in files.items() if n.startswith("frames/")
    }


def test_a_source_that_was_changed_costs_its_frames_only(
    client: Client, stack_url: str, indexed: list[Path], tmp_path: Path
) -> None:
    query = f"code:{client.search(grab_frame(indexed[1], 1400).image, top=1).code}"
    original = indexed[1].read_bytes()
    out = tmp_path / "changed.zip"
    try:
        indexed[1].write_bytes(original + b"\0")
        printed = run_cli(
            "evidence", query, "--top", "30", "--tag", "set=evidence", "--out", str(out), "--json", "--url", stack_url
        )
    finally:
        indexed[1].write_bytes(original)
    files = contents(out)
    check_sums(files)
    manifest = json.loads(printed)
    assert manifest == json.loads(files["manifest.json"])
    changed = {source["video"] for source in manifest["sources"] if source["source"].endswith(indexed[1].name)}
    for hit in manifest["hits"]:
        assert (hit["file"] is None) == (hit["video"] in changed)
        assert hit["video"] not in changed or "changed after it was indexed" in hit["reason"]
    assert any(hit["file"] for hit in manifest["hits"])


def test_too_many_frames_are_refused(client: Client, stack_url: str, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="201"):
        client.evidence("code:000000000000", tmp_path / "x.zip", top=201)
    assert not (tmp_path / "x.zip").exists()
    with httpx.Client(base_url=stack_url, trust_env=False) as http:
        answer = http.post("/v1/evidence", json={"query": {"frame": "1"}})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    run_cli("evidence", "code:000000000000", "--url", stack_url, code=2)
