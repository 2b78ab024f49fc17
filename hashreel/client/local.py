"""``Client.local``: starting or joining the embedded stack over a folder, as a child process."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import time
import uuid
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from hashreel.client.calls import Sources
from hashreel.errors import MissingExtraError, UnavailableError
from hashreel.schemas import Upload

__all__ = ["LocalStack", "absolute_sources", "join_stack"]

START_WAIT_S = 240.0


@dataclass
class LocalStack:
    """A stack that this process uses.

    Attributes:
        url: Address of its service.
        key: What its service takes as an admin's key; only this user can read it.
        lease: An open, locked file; while it is open, the stack does not end by itself.
    """

    url: str
    lease: BufferedWriter
    key: str | None = None

    def leave(self) -> None:
        """Let the stack end, a minute after its last client."""
        self.lease.close()
        Path(self.lease.name).unlink(missing_ok=True)


def absolute_sources(sources: Sources) -> list[str | Upload]:
    """Return paths as the stack's processes understand them, whatever folder those run in.

    Uploads and URLs stay what they are.
    """
    listed = [sources] if isinstance(sources, str | os.PathLike | Upload) else list(sources)
    return [source if isinstance(source, Upload) else _absolute(os.fspath(source)) for source in listed]


def _absolute(source: str) -> str:
    is_upload = source.startswith("uploads/") and not os.path.exists(source)
    # An empty name, such as that of a shell's variable that is not set, is not the working folder.
    return source if "://" in source or is_upload or not source.strip() else os.path.abspath(source)


def join_stack(folder: str | os.PathLike[str]) -> LocalStack:
    """Join the stack that runs over a folder; start one if there is none.

    Raises:
        MissingExtraError: If a stack has to be started and the engine is not installed.
        UnavailableError: If it does not come up; the message ends with its log.
    """
    from hashreel.stack import running_key, running_stack

    path = Path(folder).expanduser().absolute()
    lease = _take_lease(path)
    try:
        url = running_stack(path) or _start(path)
    except BaseException:
        lease.close()
        raise
    return LocalStack(url, lease, running_key(path))


def _take_lease(folder: Path) -> BufferedWriter:
    clients = folder / "clients"
    clients.mkdir(parents=True, exist_ok=True)
    lease = (clients / f"{os.getpid()}-{uuid.uuid4().hex[:8]}").open("wb")
    fcntl.flock(lease, fcntl.LOCK_EX)
    return lease


def _start(folder: Path) -> str:
    from hashreel.processes import python_command
    from hashreel.stack import running_stack

    if importlib.util.find_spec("faiss") is None:
        raise MissingExtraError("a local stack needs the engine: pip install 'hashreel[cpu]' (or [gpu])")
    (folder / "logs").mkdir(exist_ok=True)
    log = folder / "logs" / "stack.log"
    with log.open("ab") as output:
        # Not a child in the strict sense: the stack may outlive this client for others that join it.
        process = subprocess.Popen(
            python_command("up", "--lingers", "--port", "0", "--data", str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_WAIT_S
    while time.monotonic() < deadline:
        url = running_stack(folder)
        if url is not None:
            # Whether it is ours or one that another client started at the same moment.
            process.returncode = process.poll() or 0
            return url
        if process.poll() is not None and running_stack(folder) is None:
            break
        time.sleep(0.05)
    process.poll()
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise UnavailableError(f"the stack over {folder} did not come up:\n{tail}\n(log: {log})")
