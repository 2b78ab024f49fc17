"""Which devices a worker process is given, and that it sees them, and no other, before its torch is loaded."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis_server import RedisServer

from hashreel.errors import BadInputError
from hashreel.processes import python_command
from workers.devices import device_environment, gpu_uuids, parse_gpus, visible_gpus

WAIT_S = 120.0


UUIDS = {"GPU-5d5b": "0", "GPU-6e6c": "1"}


@pytest.mark.parametrize(
    ("text", "present", "expected"),
    [
        ("auto", [], []),
        ("auto", ["0", "1"], ["0", "1"]),
        ("all", ["0", "1"], ["0", "1"]),
        ("none", ["0", "1"], []),
        ("1", ["0", "1"], ["1"]),
        ("1,0", ["0", "1"], ["1", "0"]),
        (" 0 , 1 ", ["0", "1"], ["0", "1"]),
        ("GPU-8f3a", ["GPU-8f3a", "GPU-11"], ["GPU-8f3a"]),
        ("GPU-8", ["GPU-8f3a", "GPU-11"], ["GPU-8f3a"]),
        ("GPU-5d5b,1", ["0", "1", "MIG-7c"], ["0", "1"]),
        ("MIG-7c, GPU-6e", ["0", "1", "MIG-7c"], ["MIG-7c", "1"]),
        ("all", ["MIG-7c", "MIG-8d", "1"], ["MIG-7c", "MIG-8d", "1"]),
    ],
)
def test_gpus_that_are_named(text: str, present: list[str], expected: list[str]) -> None:
    assert parse_gpus(text, present, UUIDS) == expected


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("all", []),
        ("0", []),
        ("2", ["0", "1"]),
        ("0,0", ["0", "1"]),
        ("", ["0"]),
        ("0,", ["0"]),
        ("-1", ["0"]),
        ("x", ["0"]),
        ("GPU-", ["0", "1"]),
        ("MIG-7c", ["0", "1"]),
        ("0,GPU-5d5b", ["0", "1"]),
        ("GPU-5d5b", ["1"]),
    ],
)
def test_gpus_that_are_not_there_are_refused(text: str, present: list[str]) -> None:
    with pytest.raises(BadInputError, match="--gpus"):
        parse_gpus(text, present, UUIDS)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("", []),
        ("-1", []),
        ("0,1", ["0", "1"]),
        (" 2 ,0", ["2", "0"]),
        ("1,-1,0", ["1"]),
        ("GPU-8f3a,MIG-1", ["GPU-8f3a", "MIG-1"]),
    ],
)
def test_visible_gpus_are_what_cuda_would_see(
    monkeypatch: pytest.MonkeyPatch, variable: str, expected: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == expected


LISTING = """\
GPU 0: NVIDIA A100 (UUID: GPU-5d5b)
  MIG 3g.20gb     Device  0: (UUID: MIG-7c)
  MIG 3g.20gb     Device  1: (UUID: MIG-8d)
GPU 1: NVIDIA A100 (UUID: GPU-6e6c)
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"cat <<'END'\n{LISTING}END", ["MIG-7c", "MIG-8d", "1"]),
        (f"grep -v MIG <<'END'\n{LISTING}END", ["0", "1"]),
        ("echo 'GPU 0: NVIDIA T4'", ["0"]),
        ("echo 'No devices were found'", []),
        ("exit 9", []),
    ],
)
def test_devices_are_those_that_the_driver_lists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, expected: list[str]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus() == expected
    assert set(gpu_uuids().values()) <= set(expected)
    if len(expected) == 3:
        assert gpu_uuids() == {"GPU-6e6c": "1"}


def test_machine_without_a_driver_has_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []


# What a process of the real command sees at the moment at which torch is first imported in it. It ends there: without a
# GPU it would find none, and that its supervisor starts it again is wanted here.
HOOK = """
import json, os, sys

class SeesTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HASHREEL_DEVICE")
            seen = {"pid": os.getpid(), "name": sys.argv[sys.argv.index("--name") + 1] if "--name" in sys.argv else ""}
            seen |= {name: os.environ.get(name) for name in names}
            with open(os.environ["SEEN"], "a") as file:
                file.write(json.dumps(seen) + "\\n")
            os._exit(9)

sys.meta_path.insert(0, SeesTorch())
"""


def worker_command(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start the command with a look at every import of torch in it and in its children."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "HASHREEL_"))}
    modules = os.pathsep.join([str(tmp_path / "hook"), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept |= {"PYTHONPATH": modules, "SEEN": str(tmp_path / "seen"), **environment}
    with (tmp_path / "log").open("wb") as log:
        return subprocess.Popen(python_command("worker", *arguments), env=kept, stdout=log, stderr=log)


def seen_by(tmp_path: Path, process: subprocess.Popen[bytes], starts: int) -> dict[str, list[dict[str, str]]]:
    """Return what each child saw, by its name, once each was started so often."""
    deadline = time.monotonic() + WAIT_S
    while True:
        lines = (tmp_path / "seen").read_text().splitlines() if (tmp_path / "seen").exists() else []
        found: dict[str, list[dict[str, str]]] = {}
        for line in lines:
            found.setdefault(json.loads(line)["name"], []).append(json.loads(line))
        if len(found) == 2 and min(map(len, found.values())) >= starts:
            return found
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into processes")
@pytest.mark.parametrize(("gpus", "devices"), [("0,MIG-7c", ["0", "MIG-7c"]), ("GPU-6e6c,0", ["GPU-6e6c", "0"])])
def test_each_child_has_its_device_before_torch_and_keeps_it(tmp_path: Path, gpus: str, devices: list[str]) -> None:
    visible = ",".join(reversed(devices)) + ",3"
    with RedisServer() as server:
        arguments = ("--gpus", gpus, "--redis-url", server.url(), "--data", str(tmp_path / "data"))
        process = worker_command(tmp_path, *arguments, CUDA_VISIBLE_DEVICES=visible)
        try:
            found = seen_by(tmp_path, process, starts=2)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    given = {name.rpartition("-gpu")[2]: starts for name, starts in found.items()}
    assert sorted(given) == sorted(devices)
    for device, starts in given.items():
        assert {start["CUDA_VISIBLE_DEVICES"] for start in starts} == {device}
        assert {start["HASHREEL_DEVICE"] for start in starts} == {"cuda"}
        assert {start["CUDA_DEVICE_ORDER"] for start in starts} == {None}
        assert len({start["pid"] for start in starts}) == len(starts) >= 2
    # The supervisor itself loaded no torch: its line would have no name.
    assert "" not in found


def test_gpus_that_a_machine_does_not_have_end_the_command(tmp_path: Path) -> None:
    process = worker_command(tmp_path, "--gpus", "0,1", "--redis-url", "unix:///nowhere.sock", CUDA_VISIBLE_DEVICES="")
    code, said = process.wait(WAIT_S), (tmp_path / "log").read_text()
    assert code == 1, said
    assert "--gpus 0,1: this machine has no GPU that may be used; use --gpus none for the CPU" in said
    assert "Traceback" not in said
    assert not (tmp_path / "seen").exists()


def test_cards_are_counted_as_the_driver_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_environment("1") == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert device_environment("1") == {"CUDA_VISIBLE_DEVICES": "1"}
    assert device_environment(None) == {"CUDA_VISIBLE_DEVICES": ""}
