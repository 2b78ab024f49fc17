"""Set-up on a machine that lacks something: one line that says what to type."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("sh", "dirname", "cksum", "cat", "tr", "printf")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the set-up script and nothing installed."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def set_up(clone: Path, python: str | None) -> subprocess.CompletedProcess[str]:
    if python is not None:
        fake = clone / "bin" / "python3"
        fake.write_text(f"#!/bin/sh\n{python}\n")
        fake.chmod(0o755)
    return subprocess.run(
        [str(clone / "scripts" / "setup")],
        env={"PATH": str(clone / "bin")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("python", [None, "exit 1"], ids=["no python", "old python"])
def test_a_missing_or_old_python_is_named(clone: Path, python: str | None) -> None:
    done = set_up(clone, python)
    assert done.returncode == 1
    assert "sudo apt-get install python3 python3-venv" in done.stderr.splitlines()[-1]


def test_a_missing_venv_module_is_named(clone: Path) -> None:
    # This python is new enough, but cannot import ensurepip, as on Debian without python3-venv.
    done = set_up(clone, 'case "$2" in *ensurepip*) exit 1 ;; esac\nexit 0')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("sudo apt-get install python3-venv")


def test_all_scripts_are_posix_shell_and_executable() -> None:
    for name in ("setup", "demo", "test", "check"):
        script = ROOT / "scripts" / name
        assert script.stat().st_mode & 0o111
        assert script.read_text().startswith("#!/bin/sh\n")
        subprocess.run(["sh", "-n", str(script)], check=True)
