"""One real HTTP server, with a fresh app around a fresh in-memory engine and queue for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from memory_service import MemoryEngine, MemoryQueue, Switch, serve

from hashreel.settings import Settings
from search.http import make_app


@dataclass
class Service:
    url: str
    engine: MemoryEngine
    queue: MemoryQueue
    settings: Settings
    http: httpx.Client


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[Switch, str]]:
    switch = Switch()
    with serve(switch) as url:
        yield switch, url


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path / "data",
        max_body_bytes=200_000,
        max_upload_bytes=3_000_000,
        max_clip_bytes=3_000_000,
        uploads_bytes=4_000_000,
        allowed_hosts=["archive.example:8000"],
    )


@pytest.fixture
def service(server: tuple[Switch, str], settings: Settings, tmp_path: Path) -> Iterator[Service]:
    engine = MemoryEngine()
    clip = tmp_path / "bikes.mp4"
    clip.write_bytes(bytes(range(256)) * 40)
    engine.add_video("archive/bikes.mp4", 10, path=clip, tags={"case": "17"})
    engine.add_video("archive/<img src=x onerror=alert(1)>.mp4", 5, tags={"case": "18", "reviewed": "yes"})
    engine.add_video("archive/news.mp4", 7, tags={"case": "17"})
    queue = MemoryQueue(engine)
    switch, url = server
    switch.app = make_app(engine, queue, settings)
    with httpx.Client(base_url=url, trust_env=False, verify=False, timeout=30) as client:
        yield Service(url, engine, queue, settings, client)
