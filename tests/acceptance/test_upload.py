"""Files of this machine, sent to the service and indexed there."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import struct
from pathlib import Path

import pytest
from command_line import run_cli

from hashreel import AsyncClient, Client
from hashreel.client.media_methods import PIECE_BYTES


@pytest.fixture
def clip(painted: list[Path], tmp_path: Path) -> Path:
    """A clip in a folder of its own, larger than one piece."""
    path = Path(shutil.copy(painted[0], tmp_path / "sent by shell.mp4"))
    with path.open("ab") as file:
        # Room, as MP4 has it, with what makes this file another one than those before it.
        file.write(
            struct.pack(">I4s", 2 * PIECE_BYTES + 24, b"free") + secrets.token_bytes(16) + bytes(2 * PIECE_BYTES)
        )
    return path


def test_files_are_sent_and_indexed_and_a_missing_one_is_told(stack_url: str, clip: Path, tmp_path: Path) -> None:
    missing, mark = tmp_path / "missing.mp4", secrets.token_hex(4)
    command = ("upload", str(missing), str(clip), "--every", "1s", "--tag", f"set={mark}", "--wait", "--json")
    printed = json.loads(run_cli(*command, "--url", stack_url, code=1))
    (sent,) = printed["uploads"]
    assert sent["bytes"] == clip.stat().st_size
    assert printed["job"]["counts"]["indexed"] == 1
    with Client(stack_url) as client:
        (video,) = client.videos(tags={"set": mark})
        assert (video.source, video.sha256) == (sent["source"], sent["sha256"])
        assert client.search("code:" + "00" * 6, top=1, videos=[video.id])
    again = json.loads(run_cli("upload", str(clip), "--no-index", "--json", "--url", stack_url))
    assert again == {"uploads": [sent], "job": None}
    run_cli("upload", str(clip), "--no-index", "--wait", "--url", stack_url, code=2)


def test_both_clients_tell_how_far_an_upload_is(stack_url: str, clip: Path) -> None:
    told: list[int] = []
    with Client(stack_url) as client:
        first = client.upload(clip, on_bytes=told.append)
    assert told == sorted(told)
    assert len(told) >= 3
    assert told[-1] == clip.stat().st_size

    async def awaited() -> list[int]:
        heard: list[int] = []
        async with AsyncClient(stack_url) as other:
            assert await other.upload(clip, on_bytes=heard.append) == first
        return heard

    assert asyncio.run(awaited()) == told
