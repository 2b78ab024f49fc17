"""Which devices a worker process sees, and that no child outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hashreel.errors import UnavailableError
from hashreel.processes import Child
from hashreel.settings import Settings
from workers.supervisor import Supervisor

WAIT_S = 30.0


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {what}"
        time.sleep(0.01)


SHOW = """
import json, os, sys
names = ("CUDA_VISIBLE_DEVICES", "HASHREEL_DEVICE", "HASHREEL_CHUNK_S", "HASHREEL_PORT", "HASHREEL_ROOTS")
with open(sys.argv[1], "w") as file:
    json.dump({name: os.environ.get(name) for name in names}, file)
"""


@pytest.mark.parametrize(
    ("gpus", "devices"), [(["1", "0"], [("1", "cuda"), ("0", "cuda")]), ([], [("", "cpu"), ("", "cpu")])]
)
def test_children_see_exactly_the_device_they_were_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpus: list[str], devices: list[tuple[str, str]]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setenv("HASHREEL_PORT", "9999")
    settings = Settings(redis_url="unix:///nowhere.sock", chunk_s=77, port=8000, roots={"ü": tmp_path})
    supervisor = Supervisor(settings, gpus, processes=2)
    seen = []
    for number, child in enumerate(supervisor._children):
        # The child's own command needs a Redis and a model; what it is given is what counts here.
        target = tmp_path / f"{number}.json"
        child._command = [sys.executable, "-c", SHOW, str(target)]
        child.start()
        child.join(WAIT_S)
        seen.append(json.loads(target.read_text()))
    assert [(one["CUDA_VISIBLE_DEVICES"], one["HASHREEL_DEVICE"]) for one in seen] == devices
    assert {one["HASHREEL_CHUNK_S"] for one in seen} == {"77.0"}
    assert {one["HASHREEL_PORT"] for one in seen} == {"8000"}
    assert json.loads(seen[0]["HASHREEL_ROOTS"]) == {"ü": str(tmp_path)}
    supervisor.close()


def test_supervisor_without_a_redis_is_refused() -> None:
    with pytest.raises(UnavailableError, match="HASHREEL_REDIS_URL"):
        Supervisor(Settings(), [])


def test_settings_come_back_from_the_environment_as_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HASHREEL_PORT", "9999")
    monkeypatch.setenv("HASHREEL_OPEN_ROOTS", "true")
    decided = Settings(
        data=tmp_path / "ü x", port=8000, open_roots=False, roots={"a": tmp_path}, redis_url="unix:///r.sock?db=0"
    )
    for name, value in decided.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == decided


# Life and death of children

PARENT = """
import sys, time
from pathlib import Path
from hashreel.processes import Child
children = [Child("plain", ["sleep", "300"]), Child("python", [sys.executable, "-c", sys.argv[2]])]
for child in children:
    child.start()
Path(sys.argv[1]).write_text(" ".join(str(child.pid) for child in children))
time.sleep(300)
"""
GRANDCHILD = """
import os, time
from hashreel.processes import PARENT_VARIABLE, die_with_parent
die_with_parent(int(os.environ[PARENT_VARIABLE]))
time.sleep(300)
"""


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_children_of_a_parent_that_is_killed_are_gone(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(pids), GRANDCHILD]) as parent:
        wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2, "the children run")
        children = [int(pid) for pid in pids.read_text().split()]
        assert all(is_alive(pid) for pid in children)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in children), "the children are gone")


def test_process_whose_parent_is_gone_already_ends_at_once() -> None:
    environment = os.environ | {"HASHREEL_PARENT_PID": "1"}
    command = [sys.executable, "-c", GRANDCHILD]
    assert subprocess.run(command, env=environment, timeout=WAIT_S, check=False).returncode == 1


def test_child_that_dies_is_started_again_with_growing_pauses() -> None:
    child = Child("short", ["true"])
    deaths: list[int] = []
    child.start()

    def three_starts() -> bool:
        child.keep_alive(lambda _, code: deaths.append(code))
        return child.starts == 3

    wait_for(three_starts, "it was started three times")
    assert deaths == [0, 0]
    child.join(WAIT_S)


def test_child_that_dies_thousands_of_times_is_still_started_again() -> None:
    child = Child("short", ["false"])
    child.start()
    child._quick_deaths = 5000
    wait_for(lambda: child.exit_code is not None, "it has ended")
    child.keep_alive(lambda _, code: None)
    assert child._not_before - time.monotonic() < 60


def test_child_that_does_not_end_when_asked_is_killed() -> None:
    ready = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    child = Child("stubborn", ["sh", "-c", ready])
    child.start()
    child.stop(0.2)
    assert child.exit_code in {-signal.SIGTERM, -signal.SIGKILL}
    assert child.pid is None
