"""One stack for all acceptance tests; each works in its own collection of sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stacks import embedded_stack

from hashreel import Client
from hashreel.stack import free_port


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the stack."""
    return tmp_path_factory.mktemp("stack") / "data"


@pytest.fixture(scope="session")
def worker_metrics_url() -> str:
    """Return the address at which the stack's workers tell their metrics."""
    return f"http://127.0.0.1:{free_port('127.0.0.1')}"


@pytest.fixture(scope="session")
def stack_url(stack_folder: Path, worker_metrics_url: str) -> Iterator[str]:
    """Return the address of a running stack."""
    port = worker_metrics_url.rpartition(":")[2]
    with embedded_stack(stack_folder, HASHREEL_METRICS_PORT=port, HASHREEL_WEBHOOK_HOSTS='["127.0.0.1"]') as url:
        yield url


@pytest.fixture
def client(stack_url: str) -> Iterator[Client]:
    """Return a client of the stack."""
    with Client(stack_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return four generated clips whose twelve shots are of twelve kinds."""
    from encoder.clips import generate_clip

    folder = tmp_path_factory.mktemp("painted")
    clips, seen = [], set[str]()
    seed = 0
    while len(clips) < 4 and seed < 500:
        path = folder / f"clip {seed} – größe.mp4"
        shots = generate_clip(path, seed=seed, seconds=6.0, size=(192, 108), fps=8)
        kinds = {shot.description for shot in shots}
        if kinds & seen:
            path.unlink()
        else:
            seen |= kinds
            clips.append(path)
        seed += 1
    return clips
