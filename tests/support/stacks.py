"""A whole embedded stack as a child process, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashreel.processes import python_command
from hashreel.stack import running_stack


@contextmanager
def embedded_stack(folder: Path, **environment: str) -> Iterator[str]:
    """Run ``hashreel up`` over a folder; yield its address."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            python_command("up", "--port", "0", "--data", str(folder)),
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
        try:
            yield _wait(process, folder)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], folder: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        url = running_stack(folder)
        if url is not None:
            return url
        time.sleep(0.1)
    raise RuntimeError((folder / "up.log").read_text())
