"""``hashreel doctor`` against real servers in good and bad states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis_server import RedisServer

from hashreel.cli.doctor import cli, warn_of_problems
from hashreel.doctor import Finding, check_all, check_start, worst
from hashreel.settings import Settings


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_start(settings)}


def test_a_healthy_installation_has_no_problem(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = Settings(redis_url=redis_server.url(), data=tmp_path, device="cpu")
    findings = list(check_all(settings))
    # The tests' server syncs nothing, and says so; disks of test machines may be small.
    problems = [f for f in findings if f.is_problem and f.check not in {"disk", "redis-persistence"}]
    assert problems == []
    names = {finding.check for finding in findings}
    assert names >= {"data-folder", "disk", "open-files", "packages", "faiss-package", "gpu", "faiss", "model"}
    assert names >= {"redis-version", "redis-role", "redis-eviction", "redis-persistence", "redis-memory", "clock"}
    assert "queues" in names


def test_a_dangerous_redis_is_told_with_what_to_do(private_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    server = private_redis(maxmemory=64 * 2**20)
    settings = Settings(redis_url=server.url(), data=tmp_path)
    client = server.client()
    assert "appendfsync everysec" in found(settings)["redis-persistence"].advice
    client.config_set("appendonly", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.1))
    findings = found(settings)
    assert findings["redis-persistence"].level == "warning"
    assert "appendonly yes" in findings["redis-persistence"].advice
    assert findings["redis-eviction"].level == "error"
    assert "allkeys-lru" in findings["redis-eviction"].said
    assert "maxmemory-policy noeviction" in findings["redis-eviction"].advice
    assert findings["redis-memory"].is_problem
    server.kill()
    findings = found(settings)
    assert findings["redis"].level == "error"
    assert findings["redis"].advice


def test_a_replica_is_no_place_for_data(private_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    server = private_redis()
    server.client().replicaof("127.0.0.1", 1)
    assert found(Settings(redis_url=server.url(), data=tmp_path))["redis-role"].level == "error"


def test_a_broken_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        # Nobody, root included, can write below /proc.
        settings = Settings(data="/proc/hashreel", roots={"archive": tmp_path / "nowhere"})
        findings = found(settings)
        warn_of_problems(settings)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert findings["data-folder"].level == "error"
    assert findings["open-files"].level == "warning"
    assert "nowhere does not exist" in findings["source-root"].said
    printed = capsys.readouterr().err.splitlines()
    assert all(line.startswith(("ERROR: ", "WARNING: ")) for line in printed)
    assert any("nowhere does not exist; mount it" in line for line in printed)


def test_exit_codes_and_json(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = ["--data", str(tmp_path), "--redis-url", redis_server.url(), "--json"]
    done = CliRunner().invoke(cli, options)
    document = json.loads(done.stdout)
    assert done.exit_code == 0
    assert document["level"] in {"ok", "warning"}
    assert {"check", "level", "said", "advice"} == set(document["checks"][0])
    done = CliRunner().invoke(cli, [*options, "--model", str(tmp_path / "empty")])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["level"] == "error"
    people = CliRunner().invoke(cli, [*options[:-1], "--model", str(tmp_path / "empty")])
    assert "-> copy the model's folder anew" in people.output


def test_the_worst_level() -> None:
    def of(*levels: str) -> str:
        return worst(Finding("x", level, "") for level in levels)  # type: ignore[arg-type]

    assert [of(), of("ok", "skipped"), of("warning", "ok"), of("error", "warning")] == [
        "ok",
        "skipped",
        "warning",
        "error",
    ]
