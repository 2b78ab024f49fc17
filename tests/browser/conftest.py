"""A real Chromium on the page of a real server; any script error or blocked content fails the test."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from memory_service import MemoryEngine, MemoryQueue, Switch, draw_frame, serve

from hashreel.settings import Settings
from search.http import make_app

CHROMIUM = Path("/usr/bin/chromium")
TIMEOUT_MS = 60_000  # only a test that fails waits so long; a crowded machine may need a good part of it
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Service:
    url: str
    engine: MemoryEngine
    queue: MemoryQueue
    settings: Settings


# A module's, not the session's: while Playwright runs, its event loop counts as running in this thread, and no
# other test could start one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        words = f"there is no browser at {CHROMIUM}; type: sudo apt-get install chromium"
        # CI must not pass by skipping.
        if os.environ.get("HASHREEL_BROWSER") == "required":
            pytest.fail(words)
        pytest.skip(words)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[Switch, str]]:
    switch = Switch()
    with serve(switch) as url:
        yield switch, url


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 12 s whose frames differ, small enough to be made in a moment."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    import numpy as np
    from PIL import Image

    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for index in range(60):
            picture = np.asarray(Image.open(io.BytesIO(draw_frame(1, index, 160, 90))))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.fixture
def empty(server: tuple[Switch, str], tmp_path: Path) -> Service:
    engine = MemoryEngine()
    queue = MemoryQueue(engine)
    settings = Settings(data=tmp_path / "data")
    switch, url = server
    switch.app = make_app(engine, queue, settings)
    return Service(url, engine, queue, settings)


@pytest.fixture
def service(empty: Service, clip: Path) -> Service:
    empty.engine.add_video("archive/bikes.mp4", 12, path=clip, tags={"case": "17"})
    empty.engine.add_video("archive/<img src=x onerror=alert(1)>.mp4", 6, tags={"case": "18", "<b>": "<i>"})
    empty.engine.add_video("archive/glacier.mkv", 8, tags={"case": "17"})
    return empty


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
    page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: "Content Security" in message.text and troubles.append(message.text))
    page.set_default_timeout(TIMEOUT_MS)
    yield page
    context.close()
    assert troubles == []


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "query.jpg"
    path.write_bytes(draw_frame(1, 3, 640, 360))
    return path
