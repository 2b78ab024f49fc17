"""``hashreel ingest`` as a process, against a service over HTTP: files that arrive, restarts, Ctrl-C."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import run_cli

from hashreel.processes import Child, python_command


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def follow(service, incoming: Path, tmp_path: Path) -> Iterator[Callable[[], Child]]:
    """Return what starts a follower of the folder; ``follow.log`` is what it says."""
    children: list[Child] = []

    def start() -> Child:
        words = ["--follow", "--settle", "200ms", "--poll", "50ms", "--state", str(tmp_path / "state.jsonl")]
        command = python_command("ingest", str(incoming), *words, "--as", "archive/in", "--json", "--url", service.url)
        children.append(Child("ingest", command, log=tmp_path / "follow.log"))
        children[-1].start()
        return children[-1]

    yield start
    for child in children:
        child.signal(signal.SIGKILL)
        child.join(10)


def asked(service) -> list[str]:
    return [source for wish in service.queue.wishes.values() for source in wish.sources]


def test_files_are_taken_once_each_over_interrupts_and_restarts(service, incoming: Path, follow) -> None:
    (incoming / "first.mp4").write_bytes(b"all of it")
    (incoming / "under way.mp4.part").write_bytes(b"half")
    follower = follow()
    wait_until(lambda: asked(service) == ["archive/in/first.mp4"], "the first file is taken")
    (incoming / "under way.mp4.part").rename(incoming / "under way.mp4")
    wait_until(lambda: len(asked(service)) == 2, "the renamed file is taken")
    follower.signal(signal.SIGINT)
    follower.join(60)
    assert follower.exit_code == 130
    # What comes while nobody looks is found, and nothing is taken twice.
    (incoming / "meanwhile.mp4").write_bytes(b"all of it")
    follower = follow()
    wait_until(lambda: len(asked(service)) == 3, "the file that came meanwhile is taken")
    (incoming / "first.mp4").write_bytes(b"something else")
    wait_until(lambda: len(asked(service)) == 4, "the file that was overwritten is taken anew")
    follower.signal(signal.SIGTERM)
    follower.join(60)
    assert follower.exit_code == 0
    names = ["first.mp4", "under way.mp4", "meanwhile.mp4", "first.mp4"]
    assert asked(service) == [f"archive/in/{name}" for name in names]
    keys = [wish.key for wish in service.queue.wishes.values()]
    assert None not in keys
    assert len(set(keys)) == 4


def test_without_follow_it_ends_when_all_is_taken(service, incoming: Path, tmp_path: Path) -> None:
    (incoming / "a").mkdir()
    for name in ("a/1.mp4", "a/2.mp4", "notes.txt"):
        (incoming / name).write_bytes(b"all of it")
    words = ["--settle", "0s", "--poll", "50ms", "--state", str(tmp_path / "s"), "--url", service.url]
    options = ["--every", "2s", "--tag", "case=9", "--bulk", "--json"]
    said = json.loads(run_cli("ingest", str(incoming), *words, *options))
    assert said == {"job": "job-1", "files": [str(incoming / "a/1.mp4"), str(incoming / "a/2.mp4")]}
    wish = service.queue.wishes["job-1"]
    assert (wish.tags, wish.lane, wish.policy.seconds) == ({"case": "9"}, "bulk", 2.0)
    assert run_cli("ingest", str(incoming), *words) == ""
    run_cli("ingest", str(tmp_path / "nowhere"), *words, code=1)
    run_cli("ingest", str(incoming), *words, "--every", "1s", "--scenes", code=2)
