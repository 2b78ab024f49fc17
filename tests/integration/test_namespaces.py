"""Several hosts on one machine: every process on an address of its own, some cut off and healed; and no network at all.

Needs root and ``ip`` (network namespaces, a bridge); skipped with a reason elsewhere.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from farm import make_clips
from gallery_mirror import wait_until

from hashreel.processes import Child, python_command
from hashreel.stack import redis_program

START_S = 180.0
NAMES = ("redis", "worker-a", "worker-b", "search-a", "search-b")


def ip(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=check)


class Net:
    """Hosts on one bridge, reachable from here."""

    made = itertools.count()

    def __init__(self) -> None:
        # The kernel takes a net down a while after it was told to: the next one has other names.
        self.tag = f"hr{os.getpid() % 100000}{next(self.made)}"
        self.subnet = f"10.213.{os.getpid() % 200 + 20}"
        self.hosts: list[str] = []
        self.children: list[Child] = []

    def build(self, names: Sequence[str]) -> None:
        ip("link", "add", self.tag, "type", "bridge")
        ip("addr", "add", f"{self.subnet}.254/24", "dev", self.tag)
        ip("link", "set", self.tag, "up")
        for number, name in enumerate(names):
            space, wire = self.space(name), f"{self.tag}v{number}"
            self.hosts.append(name)
            ip("netns", "add", space)
            ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", wire, "master", self.tag, "up")
            ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def space(self, name: str) -> str:
        return f"{self.tag}-{name}"

    def address(self, name: str) -> str:
        return f"{self.subnet}.{self.hosts.index(name) + 1}"

    def switch(self, name: str, state: str) -> None:
        """Pull a host's wire ("down") or put it in again ("up")."""
        ip("link", "set", f"{self.tag}v{self.hosts.index(name)}", state)

    def start(self, name: str, command: Sequence[str], log: Path, **environment: str) -> None:
        child = Child(
            name, ["ip", "netns", "exec", self.space(name), *command], environment=environment, log=log / f"{name}.log"
        )
        child.start()
        self.children.append(child)

    def close(self) -> None:
        for child in self.children:
            child.signal(signal.SIGTERM)
        for child in self.children:
            child.join(15)
        for name in self.hosts:
            ip("netns", "del", self.space(name), check=False)
        ip("link", "del", self.tag, check=False)


@pytest.fixture
def net() -> Iterator[Net]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the program ip")
    made = Net()
    try:
        try:
            made.build(NAMES)
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"network namespaces are not permitted here: {exc.stderr.strip()}")
        yield made
    finally:
        made.close()


def call(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        reply = client.post(path, json=body) if body is not None else client.get(path)
        reply.raise_for_status()
        return reply.json()


def is_ready(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return bool(call(url, "/readyz")["ready"])
    return False


def test_cut_off_hosts_lose_nothing_and_catch_up(net: Net, tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "clips", 8)
    address = net.address("redis")
    options = {"bind": "0.0.0.0", "protected-mode": "no", "dir": str(tmp_path), "appendonly": "yes", "save": ""}
    net.start("redis", [redis_program(), *(p for k, v in options.items() for p in (f"--{k}", v))], tmp_path)
    common = {
        "HASHREEL_REDIS_URL": f"redis://{address}:6379/0",
        "HASHREEL_BROKER_URL": f"redis://{address}:6379/1",
        "HASHREEL_ROOTS": json.dumps({"clips": str(tmp_path / "clips")}),
        "HASHREEL_DEVICE": "cpu",
        "HASHREEL_THREADS": "1",
        "HASHREEL_WORKER_LEASE_S": "2",
        "HASHREEL_RECONCILE_S": "0.2",
        "HASHREEL_EVERY_S": "0.5",
    }
    truth = redis.Redis(host=address, socket_timeout=5)
    wait_until(lambda: _answers(truth), "Redis answers", seconds=30)
    urls = []
    for name in NAMES[1:]:
        own = {"HASHREEL_DATA": str(tmp_path / name)}
        if name.startswith("worker"):
            net.start(name, python_command("worker", "--gpus", "none"), tmp_path, **common, **own)
            continue
        host = net.address(name)
        urls.append(f"http://{host}:8000")
        own |= {"HASHREEL_HOST": host, "HASHREEL_ALLOW_OPEN": "true", "HASHREEL_ALLOWED_HOSTS": json.dumps([host])}
        net.start(name, python_command("serve"), tmp_path, **common, **own)
    near, far = urls
    wait_until(lambda: is_ready(near) and is_ready(far), "both replicas are ready", seconds=START_S)

    def enqueue(paths: Sequence[Path]) -> None:
        job = call(near, "/v1/jobs", {"sources": [str(path) for path in paths]})["id"]
        wait_until(lambda: call(near, f"/v1/jobs/{job}")["state"] == "done", "they are indexed", seconds=START_S)
        assert call(near, f"/v1/jobs/{job}")["counts"]["indexed"] == len(paths)

    query = {"query": {"code": "0" * 12}, "top": 1000}
    enqueue(clips[:4])
    first = call(far, "/v1/search", query)["hits"]
    assert first == call(near, "/v1/search", query)["hits"]

    # A worker and a replica are cut off. The rest goes on, and so does the replica, for whoever stands beside it.
    net.switch("worker-a", "down")
    net.switch("search-b", "down")
    enqueue(clips[4:])
    beside = subprocess.run(
        ["ip", "netns", "exec", net.space("search-b"), *_post(f"{far}/v1/search", query)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    alone = json.loads(beside.stdout)
    assert alone["hits"] == first
    assert alone["stale"] or alone["behind"]

    # Healed: the replicas converge, and both equal what Redis holds; no chunk is lost, and none is there twice.
    net.switch("worker-a", "up")
    net.switch("search-b", "up")
    wanted = call(near, "/v1/search", query)["hits"]
    assert len(wanted) == 2 * len(first)
    wait_until(lambda: _hits(far, query) == wanted, "the replica catches up", seconds=START_S)
    videos = call(near, "/v1/videos")["videos"]
    assert sorted(video["state"] for video in videos) == ["indexed"] * 8
    assert sum(truth.hlen(f"hr:s:{video['id']}") for video in videos) == sum(video["chunks"] for video in videos)
    for url in urls:
        assert call(url, "/v1/index/verify", {})["equal"]
    # The worker that was away works again.
    assert all(child.pid is not None for child in net.children)
    truth.close()


def _answers(client: redis.Redis) -> bool:
    with suppress(redis.RedisError):
        return bool(client.ping())
    return False


def _hits(url: str, query: dict[str, Any]) -> Any:
    with suppress(httpx.HTTPError):
        return call(url, "/v1/search", query)["hits"]
    return None


def _post(url: str, body: dict[str, Any]) -> list[str]:
    code = (
        "import json,sys,urllib.request as r;o=r.build_opener(r.ProxyHandler({}));"
        "q=r.Request(sys.argv[1],sys.argv[2].encode(),{'Content-Type':'application/json'});"
        "print(o.open(q,timeout=100).read().decode())"
    )
    return ["python3", "-c", code, url, json.dumps(body)]


def test_everything_works_without_a_network(net: Net, tmp_path: Path) -> None:
    """In a namespace with nothing but loopback: a stack starts, indexes and finds."""
    space = net.space("search-a")
    ip("-n", space, "link", "del", "eth0")
    assert ip("-n", space, "route").stdout == ""
    clips = make_clips(tmp_path / "clips", 2)
    done = subprocess.run(
        [
            *("ip", "netns", "exec", space),
            *python_command("demo", "--once", "--data", str(tmp_path / "data"), *map(str, clips)),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 indexed" in done.stdout
    assert "clip 00.mp4" in done.stdout
