"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["PARENT_VARIABLE", "Child", "die_with_parent", "python_command"]

PARENT_VARIABLE = "HASHREEL_PARENT_PID"
QUICK_S = 10.0
MAX_DOUBLINGS = 7
_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec, nothing but async-signal-safe calls may run.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _ask_for_death_signal() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with_parent(parent: int) -> None:
    """Make sure that this process ends when its parent does, even if that was killed with -9.

    Linux tells by signal; elsewhere a thread watches the parent. A parent that is gone already ends it now.
    """
    _ask_for_death_signal()
    if os.getppid() != parent:
        os._exit(1)
    if _LIBC is None:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def python_command(*arguments: str) -> list[str]:
    """Return the command that runs ``hashreel`` in this Python, with the working folder off the module path."""
    return [sys.executable, "-P", "-m", "hashreel", *arguments]


class Child:
    """A process that is started again when it dies, with a growing pause.

    It must be started from the main thread: on Linux the death signal follows the thread that forked.

    Args:
        name: For messages.
        command: Program and arguments.
        environment: Variables on top of this process's own.
        log: File that takes its output; None leaves it on this process's stderr.
        pass_fds: File descriptors that it inherits.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.starts = 0
        self._command = list(command)
        self._environment = dict(environment or {})
        self._log = log
        self._pass_fds = tuple(pass_fds)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._not_before = 0.0
        self._quick_deaths = 0

    @property
    def pid(self) -> int | None:
        """Process id, or None if it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None if it runs or was never started."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it."""
        environment = {**os.environ, **self._environment, PARENT_VARIABLE: str(os.getpid())}
        output = self._log.open("ab") if self._log else None
        try:
            self._process = subprocess.Popen(
                self._command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output or sys.stderr.fileno(),
                stderr=output or sys.stderr.fileno(),
                start_new_session=True,
                pass_fds=self._pass_fds,
                preexec_fn=_ask_for_death_signal,
            )
        finally:
            if output:
                output.close()
        self.starts += 1
        self._started_at = time.monotonic()

    def keep_alive(self, on_death: Callable[[Child, int], None]) -> None:
        """Start it again if it has died; call this regularly from the main thread."""
        code = self.exit_code
        now = time.monotonic()
        if code is None or now < self._not_before:
            return
        if self._not_before == 0.0:
            on_death(self, code)
            self._quick_deaths = self._quick_deaths + 1 if now - self._started_at < QUICK_S else 0
            self._not_before = now + 0.25 * 2 ** min(self._quick_deaths, MAX_DOUBLINGS)
            return
        self._not_before = 0.0
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, grace_s: float) -> None:
        """Ask it to end; kill it when the grace period is over."""
        self.signal(signal.SIGTERM)
        self.join(grace_s)

    def join(self, grace_s: float) -> None:
        """Wait for its end; kill it when the grace period is over."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, grace_s))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
