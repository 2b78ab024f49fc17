"""A backup of a running stack, restored onto an empty folder, gives the same answers from the same codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from stacks import embedded_stack

from hashreel import Client
from hashreel.backups import archive, migrations, restore_backup
from hashreel.errors import BadInputError, ConflictError, HashreelError
from hashreel.processes import python_command
from hashreel.stack import running_redis

HEADER = archive.HEADER


def hashreel(*arguments: object, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HASHREEL_")}
    done = subprocess.run(
        python_command(*map(str, arguments)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment | {"HASHREEL_EVERY_S": "0.5"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def stored(folder: Path) -> dict[bytes, object]:
    """Return every value that decides answers: chunk values, their checksums, logs, records."""
    from indexer.store import connect

    found: dict[bytes, object] = {}
    with closing(connect(running_redis(folder)["redis_url"])) as client:
        for key in client.scan_iter("hr:*"):
            if key.startswith((b"hr:c:", b"hr:s:")):
                found[key] = client.hgetall(key)
            elif key.endswith(b":log"):
                found[key] = client.xrange(key)
    return found


def answers(client: Client) -> list[str]:
    frames = [hit.frame_id for hit in client.search("code:0f1e2d3c4b5a", top=20)]
    queries = ["code:000000000000", "code:ffffffffffff", *(f"frame:{frame}" for frame in frames)]
    return [hit.model_dump_json() for query in queries for hit in client.search(query, top=50)]


@pytest.fixture(scope="module")
def backed_up(
    stack_url: str, stack_folder: Path, painted: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a backup of the stack, taken while it runs."""
    with Client(stack_url) as client:
        upload = client.upload(painted[0])
        job = client.enqueue([upload.source, *painted[1:]], every_s=0.5, again=True).wait(timeout_s=120)
        assert job.counts.indexed == len(painted), job
    file = tmp_path_factory.mktemp("backup") / "monday.hashreel"
    said = hashreel("backup", file, "--data", stack_folder)
    assert "1 models" in said
    assert file.stat().st_mode & 0o777 == 0o600
    assert "exists" in hashreel("backup", file, "--data", stack_folder, code=1)
    return file


def test_a_restored_folder_answers_the_same(
    backed_up: Path, client: Client, stack_folder: Path, tmp_path: Path
) -> None:
    wanted, values = answers(client), stored(stack_folder)
    assert len(wanted) > 100
    data = tmp_path / "restored"
    said = hashreel("restore", backed_up, "--data", data)
    assert "collections: main" in said
    assert (data / "settings.env").read_text() == "HASHREEL_EVERY_S=0.5\n"
    uploads = {p.name: p for p in (stack_folder / "uploads").iterdir() if not p.name.startswith(".")}
    for name, path in uploads.items():
        copy = data / "uploads" / name
        assert copy.read_bytes() == path.read_bytes()
        assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns
    with embedded_stack(data) as url, Client(url) as other:
        assert answers(other) == wanted
        assert stored(data) == values
        # It is whole by its own account, its uploads are found where they are now, and it takes new work.
        assert other.index_verify().equal
        video = next(v for v in other.videos() if v.source.startswith("uploads/"))
        assert other.thumbnail(str(video.id << 32)).startswith(b"\xff\xd8")
    # The folder at rest can be backed up, too.
    again = tmp_path / "again.hashreel"
    hashreel("backup", again, "--data", data, "--json")
    assert archive.read_header(again)["data"] == str(data)


def test_a_restore_into_a_server_of_its_own(backed_up: Path, stack_folder: Path, tmp_path: Path) -> None:
    from redis_server import RedisServer

    with RedisServer() as server:
        done = restore_backup(backed_up, tmp_path / "data", server.url())
        assert not (tmp_path / "data" / "redis").exists()
        client = server.client()
        for key, value in stored(stack_folder).items():
            assert (client.xrange(key) if key.endswith(b":log") else client.hgetall(key)) == value
        assert done.videos == client.zcard("hr:g:1:videos")
        with pytest.raises(ConflictError, match="holds a Hashreel already"):
            restore_backup(backed_up, tmp_path / "second", server.url())
        assert not (tmp_path / "second").exists()


def rewrite(file: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a changed copy of a backup: members by name, in order."""
    with tarfile.open(file) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(target, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target


def as_version(number: int) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[HEADER] = json.dumps(json.loads(members[HEADER]) | {"version": number}).encode()

    return change


def flip(members: dict[str, bytes]) -> None:
    members["redis.rdb"] = bytes([members["redis.rdb"][0] ^ 1]) + members["redis.rdb"][1:]


def escape(members: dict[str, bytes]) -> None:
    manifest = members.pop("manifest.json")
    members |= {"../outside": b"x", "manifest.json": manifest}


def test_what_is_not_a_whole_backup_of_this_version_is_refused(backed_up: Path, tmp_path: Path) -> None:
    size = backed_up.stat().st_size
    torn, short, foreign = tmp_path / "torn", tmp_path / "short", tmp_path / "foreign"
    torn.write_bytes(backed_up.read_bytes()[: size // 2])
    short.write_bytes(b"")
    foreign.write_bytes(b"PK\x03\x04" + bytes(5000))
    cases: list[tuple[Path, type[HashreelError], str]] = [
        (torn, BadInputError, "torn"),
        (short, BadInputError, "not a Hashreel backup"),
        (foreign, BadInputError, "not a Hashreel backup"),
        (rewrite(backed_up, tmp_path / "tar", lambda m: m.pop(HEADER) and None), BadInputError, "first member"),
        (rewrite(backed_up, tmp_path / "cut", lambda m: m.pop("manifest.json") and None), BadInputError, "is torn"),
        (rewrite(backed_up, tmp_path / "less", lambda m: m.pop("redis.rdb") and None), BadInputError, "is missing"),
        (rewrite(backed_up, tmp_path / "flip", flip), BadInputError, "redis.rdb is not what was written"),
        (rewrite(backed_up, tmp_path / "path", escape), BadInputError, "outside.*was changed"),
        (rewrite(backed_up, tmp_path / "new", as_version(99)), ConflictError, "format 99.*reads up to 1"),
        (rewrite(backed_up, tmp_path / "old", as_version(0)), ConflictError, "format 0"),
    ]
    for file, kind, said in cases:
        with pytest.raises(kind, match=said):
            restore_backup(file, tmp_path / "data")
        assert not (tmp_path / "data").exists(), file
        assert not list(tmp_path.glob(".data*")), file
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").touch()
    assert "is not empty" in hashreel("restore", backed_up, "--data", tmp_path / "data", code=1)


def test_an_older_backup_is_migrated(
    backed_up: Path, stack_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that never was, whose file of Redis had another name."""

    def older(members: dict[str, bytes]) -> None:
        as_version(0)(members)
        manifest = members.pop("manifest.json")
        members["dump.rdb"] = members.pop("redis.rdb")
        members["manifest.json"] = manifest.replace(b'"redis.rdb"', b'"dump.rdb"')

    def step(folder: Path) -> None:
        (folder / "dump.rdb").rename(folder / "redis.rdb")

    monkeypatch.setitem(migrations.MIGRATIONS, 0, step)
    done = restore_backup(rewrite(backed_up, tmp_path / "older", older), tmp_path / "data")
    assert done.migrated == 1
    assert done.collections == ("main",)


def test_nothing_to_back_up(tmp_path: Path) -> None:
    assert "holds no Hashreel" in hashreel("backup", tmp_path / "x", "--data", tmp_path / "none", code=1)
    assert not (tmp_path / "x").exists()
