"""What a search shows on a terminal, and in the browser."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import subprocess
from pathlib import Path

import numpy as np
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


def on_terminal(*arguments: str, features: bytes = b"", **environment: str) -> str:
    """Return what a command writes to a terminal, which names its features if it is asked for them."""
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
        if features and b"\x1b[c" in written:
            os.write(ours, b"\x1b[?" + features + b"c")
            features = b""
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


def pixels_of(text: str) -> np.ndarray:
    """Return the picture of a sixel sequence, uint8 [h, w, 3], -1 where no colour was put."""
    head = re.match(r'"1;1;(\d+);(\d+)', text)
    assert head is not None
    width, height = map(int, head.groups())
    palette = {int(n): [int(value) for value in rest.split(";")] for n, rest in re.findall(r"#(\d+);2;([\d;]+)", text)}
    picture = np.full((height + 6, width, 3), -1)
    body = re.sub(r"#\d+;2;[\d;]+", "", text[head.end() :])
    for top, band in enumerate(body.split("-")):
        for layer in band.split("$"):
            colour = re.match(r"#(\d+)", layer)
            assert colour is not None
            line = re.sub(r"!(\d+)(.)", lambda run: run[2] * int(run[1]), layer[colour.end() :])
            assert len(line) == width
            bits = np.array([ord(letter) - 63 for letter in line])
            for row in range(6):
                picture[6 * top + row][bits >> row & 1 == 1] = palette[int(colour[1])]
    return picture[:height]


def test_sixels_where_the_terminal_says_so(address: str) -> None:
    search = ("search", QUERY, "--tag", "set=terminal", "--top", "2", "--url", address)
    shown = on_terminal(*search, features=b"62;4;22", TERM="xterm-256color")
    pictures = re.findall(r"\x1bP0;1;0q(.*?)\x1b\\", shown, re.DOTALL)
    assert len(pictures) == 2
    with Client(address) as client:
        hits = client.search(QUERY, top=2, tags={"set": "terminal"})
        for hit, picture in zip(hits, pictures, strict=True):
            seen = pixels_of(picture)
            assert (seen >= 0).all()
            with Image.open(io.BytesIO(client.thumbnail(hit.frame_id, 320))) as thumbnail:
                wanted = np.asarray(thumbnail.convert("RGB").resize((seen.shape[1], seen.shape[0])), np.float64)
            # 256 colours, and whole percents of each, are near but not the same.
            assert np.abs(seen * 2.55 - wanted).mean() < 6
    assert "\x1bP" in on_terminal(*search, TERM="foot")
    for features, name in ((b"62;22", "xterm-256color"), (b"", "xterm-256color"), (b"62;4", "dumb")):
        assert "\x1bP" not in on_terminal(*search, features=features, TERM=name)


def test_open_shows_the_answer_in_the_browser(address: str, tmp_path: Path) -> None:
    script, told = tmp_path / "browser", tmp_path / "address"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > "{told}"\n')
    script.chmod(0o755)
    command = python_command("search", QUERY, "--top", "1", "--open", "--url", address)
    environment = {**os.environ, "BROWSER": str(script)}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert told.read_text() == f"{address}/#/search?code=000000000000"
