"""``hashreel up`` as users run it: started, crossed, killed and started again."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from farm import make_clips, processes_with
from gallery_mirror import wait_until
from stacks import START_S, Stack

from hashreel.errors import UnavailableError
from hashreel.settings import Settings
from hashreel.stack import Stack as Run
from hashreel.stack import free_port, running_stack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def stacks() -> Iterator[list[Stack]]:
    started: list[Stack] = []
    yield started
    for stack in started:
        if stack.process.poll() is None:
            stack.process.kill()
        stack.process.wait(10)


def test_life_of_a_stack(tmp_path: Path, stacks: list[Stack]) -> None:
    data = tmp_path / "data ü"
    clip, second = make_clips(tmp_path / "clips", 2)
    stack = Stack(data)
    stacks.append(stack)
    stack.wait_up()
    assert set(stack.children()) == {"redis", "serve", "worker"}
    assert stack.socket_folder().is_dir()

    # Work is done and found.
    job = stack.call("/v1/jobs", {"sources": [str(clip)]})
    wait_until(lambda: stack.call(f"/v1/jobs/{job['id']}")["state"] == "done", "the clip is indexed", seconds=START_S)
    assert stack.call(f"/v1/jobs/{job['id']}")["counts"]["indexed"] == 1
    frame = str((job["videos"][0] << 32) | 1)
    before = stack.call("/v1/search", {"query": {"frame": frame}})
    assert before["hits"][0]["distance"] == 0
    assert len(before["hits"]) == 3

    # A second stack over the same folder is refused, and does the first no harm.
    other = Stack(data)
    stacks.append(other)
    assert other.process.wait(60) == 1
    assert f"another Hashreel runs over {data} at {stack.url}" in other.log.read_text()
    assert stack.url

    # So is one at the same port.
    port = stack.url.rpartition(":")[2]
    crowded = Stack(tmp_path / "elsewhere", "--port", port)
    stacks.append(crowded)
    assert crowded.process.wait(60) == 1
    assert f"port {port} on 127.0.0.1 is taken" in crowded.log.read_text()
    assert not (tmp_path / "elsewhere" / "redis").exists()

    # A part that is killed comes back; what was committed is there.
    stack.kill_child("redis")
    wait_until(lambda: not search(stack, frame)["stale"], "the search service has found it")
    assert search(stack, frame)["hits"] == before["hits"]
    job = stack.call("/v1/jobs", {"sources": [str(second)]})

    # Killed with -9, in the middle of work: nothing is left running.
    socket_folder = stack.socket_folder()
    assert stack.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not stack.processes(), "nothing outlives the stack")
    assert stack.url == ""

    # Started again: everything is there, and the work that was cut off is done.
    stack = Stack(data)
    stacks.append(stack)
    stack.wait_up()
    assert stack.socket_folder() != socket_folder
    assert not socket_folder.exists()
    wait_until(lambda: stack.call(f"/v1/jobs/{job['id']}")["state"] == "done", "it is indexed", seconds=START_S)
    after = stack.call("/v1/search", {"query": {"frame": frame}, "videos": [before["hits"][0]["video"]]})
    assert after["hits"] == before["hits"]
    assert stack.call("/v1/videos")["total"] == 2

    # Ctrl-C.
    socket_folder = stack.socket_folder()
    assert stack.end(signal.SIGINT) in {0, 130}
    assert stack.processes() == []
    assert not socket_folder.exists()
    assert not (data / "stack.json").exists()
    assert "nothing that was committed is lost" in stack.log.read_text()


def search(stack: Stack, frame: str) -> Any:
    try:
        return stack.call("/v1/search", {"query": {"frame": frame}})
    except urllib.error.HTTPError as exc:
        with exc:
            return {"stale": True, "hits": [], "problem": exc.read()}


class _Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Hashreel-Instance", "ours")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[str]:
    """Return the address of a server that says it is the instance "ours"."""
    with HTTPServer(("127.0.0.1", 0), _Alive) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_address_that_a_killed_stack_left_behind_is_not_believed(tmp_path: Path, answering: str) -> None:
    assert running_stack(tmp_path) is None
    (tmp_path / "stack.json").write_text(json.dumps({"url": answering, "instance": "ours"}))
    (tmp_path / "lock").touch()
    # Somebody answers there, but nobody holds this folder.
    assert running_stack(tmp_path) is None
    with (tmp_path / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert running_stack(tmp_path) == answering
        others = json.dumps({"url": answering, "instance": "another's"})
        for broken in ("", "[]", "{}", '{"url": 5}', '{"url": "http://127.0.0.1:1", "instance": "ours"}', others):
            (tmp_path / "stack.json").write_text(broken)
            assert running_stack(tmp_path) is None


def test_port_that_is_taken_by_another_program(tmp_path: Path, stacks: list[Stack]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stacks.append(Stack(tmp_path / "data", "--port", str(port)))
        assert stacks[0].process.wait(60) == 1
    said = stacks[0].log.read_text()
    assert re.search(rf"Error: port {port} on 127.0.0.1 is taken \(Address already in use\); use --port 0", said)
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("marker", "said"),
    [('{"version": 99}', "has format 99, this version reads 1"), ("", "is damaged"), ("[1]", "is damaged")],
)
def test_folder_of_another_format_is_refused(tmp_path: Path, stacks: list[Stack], marker: str, said: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "format.json").write_text(marker)
    stacks.append(Stack(data))
    assert stacks[0].process.wait(60) == 1
    output = stacks[0].log.read_text()
    assert said in output
    assert "Traceback" not in output
    assert (data / "format.json").read_text() == marker
    assert list((data / "redis").iterdir()) == []


def test_interrupt_while_it_starts_leaves_nothing(tmp_path: Path, stacks: list[Stack]) -> None:
    data = tmp_path / "data"
    stacks.append(Stack(data))
    wait_until(lambda: (data / "logs" / "redis.log").exists(), "Redis is being started")
    assert stacks[0].end(signal.SIGINT) == 130
    assert stacks[0].processes() == []
    assert not (data / "stack.json").exists()


def test_redis_that_cannot_start_is_named_with_its_log(tmp_path: Path, stacks: list[Stack]) -> None:
    data = tmp_path / "data"
    (data / "redis" / "appendonlydir").mkdir(parents=True)
    (data / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("this is no manifest\n")
    stacks.append(Stack(data))
    assert stacks[0].process.wait(60) == 1
    said = stacks[0].log.read_text()
    assert "Redis did not come up" in said
    assert str(data / "logs" / "redis.log") in said
    assert stacks[0].processes() == []


@pytest.mark.parametrize("is_replaced", [False, True])
def test_data_folder_that_is_removed_under_a_stack_ends_it_with_an_error(tmp_path: Path, is_replaced: bool) -> None:
    data = tmp_path / "data"
    run = Run(Settings(data=data, port=free_port("127.0.0.1")), print)
    run.start_redis()
    try:
        shutil.rmtree(data)
        if is_replaced:
            data.mkdir()
            (data / "lock").touch()
            (data / "stack.json").write_text("{}")
        with pytest.raises(UnavailableError, match=r"data folder .* was removed or replaced"):
            run.watch()
    finally:
        run.stop()
    assert (data / "stack.json").exists() == is_replaced
    assert processes_with(str(data)) == []


@pytest.mark.full
def test_every_child_that_is_killed_comes_back(tmp_path: Path, stacks: list[Stack]) -> None:
    stack = Stack(tmp_path / "data", "--port", str(free_port("127.0.0.1")))
    stacks.append(stack)
    stack.wait_up()
    for name in ("serve", "worker", "redis"):
        stack.kill_child(name)
    wait_until(lambda: bool(stack.url), "the service answers again", seconds=START_S)
    (clip,) = make_clips(tmp_path / "clips", 1)
    job = stack.call("/v1/jobs", {"sources": [str(clip)]})
    wait_until(lambda: stack.call(f"/v1/jobs/{job['id']}")["state"] == "done", "it is indexed", seconds=START_S)
    assert stack.end(signal.SIGTERM) == 0
    assert stack.processes() == []
