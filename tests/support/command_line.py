"""The command line, as a user runs it."""

from __future__ import annotations

import subprocess

from hashreel.processes import python_command


def run_cli(*arguments: str, code: int = 0) -> str:
    """Return what a command prints on stdout, once it has ended with an exit code."""
    done = subprocess.run(python_command(*arguments), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout
