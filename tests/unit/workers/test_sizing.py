"""How a machine is shared out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers import sizing
from workers.sizing import Sizes, usable_cores, worker_sizes


@pytest.mark.parametrize(
    ("cores", "gpus", "named", "expected"),
    [
        (1, 0, {}, Sizes(1, 1, 1)),
        (2, 0, {}, Sizes(1, 2, 2)),
        (16, 0, {}, Sizes(2, 8, 8)),
        (20, 0, {}, Sizes(3, 6, 6)),
        (16, 4, {}, Sizes(4, 4, 4)),
        (2, 4, {}, Sizes(4, 1, 1)),
        (128, 1, {}, Sizes(1, 128, 32)),
        (16, 0, {"processes": 5, "threads": 2}, Sizes(5, 2, 3)),
        (16, 0, {"decoders": 1}, Sizes(2, 8, 1)),
        (16, 2, {"processes": 9}, Sizes(2, 8, 8)),
    ],
)
def test_cores_are_shared_out(cores: int, gpus: int, named: dict[str, int], expected: Sizes) -> None:
    assert worker_sizes(cores, gpus, **named) == expected


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 8), ("250000 100000", 2), ("1000 100000", 1), ("?", 8)])
def test_a_container_has_the_cores_of_its_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, expected: int
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(sizing, "_CPU_MAX", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == expected
