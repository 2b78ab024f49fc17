"""What a search shows on a terminal, and in the browser."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from hashreel import Client
from hashreel.processes import python_command

QUERY = "code:000000000000"


@pytest.fixture(scope="module")
def address(stack_url: str, painted: list[Path]) -> str:
    with Client(stack_url) as client:
        client.enqueue(painted[:1], every_s=0.5, tags={"set": "terminal"}, again=True).wait(timeout_s=120)
    return stack_url


def on_terminal(*arguments: str, **environment: str) -> str:
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in {"TERM_PROGRAM", "KITTY_WINDOW_ID"}}
    process = subprocess.Popen(
        python_command(*arguments), stdout=theirs, stderr=subprocess.DEVNULL, env=clean | environment
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            data = os.read(ours, 65_536)
        except OSError:  # Linux ends a terminal without writers so
            break
        if not data:
            break
        written += data
    os.close(ours)
    assert process.wait(60) == 0
    return written.decode()


def test_thumbnails_where_the_terminal_can(address: str) -> None:
    search = ("search", QUERY, "--tag", "set=terminal", "--top", "2", "--url", address)
    shown = on_terminal(*search, TERM="xterm-kitty")
    pictures = re.split(r"(?=\x1b_Gf=100)", shown)[1:]
    assert len(pictures) == 2
    for picture in pictures:
        parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", picture)
        assert [keys.rpartition("m=")[2] for keys, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]
        assert all(len(part) <= 4096 for _, part in parts)
        png = Image.open(io.BytesIO(base64.b64decode("".join(part for _, part in parts))))
        assert (png.format, png.width) == ("PNG", 320)
    inline = on_terminal(*search, TERM_PROGRAM="iTerm.app", TERM="xterm")
    jpeg = re.findall(r"\x1b\]1337;File=inline=1;size=(\d+);width=24:([^\a]+)\a", inline)
    assert [len(base64.b64decode(text)) for _, text in jpeg] == [int(size) for size, _ in jpeg]
    assert len(jpeg) == 2
    assert "\x1b_G" not in on_terminal(*search, "--no-pictures", TERM="xterm-kitty")
    assert "\x1b_G" not in on_terminal(*search, TERM="xterm")


def test_open_shows_the_answer_in_the_browser(address: str, tmp_path: Path) -> None:
    script, told = tmp_path / "browser", tmp_path / "address"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > "{told}"\n')
    script.chmod(0o755)
    command = python_command("search", QUERY, "--top", "1", "--open", "--url", address)
    environment = {**os.environ, "BROWSER": str(script)}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert told.read_text() == f"{address}/#/search?code=000000000000"
