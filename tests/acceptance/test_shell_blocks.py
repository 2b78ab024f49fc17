"""Every shell block of README and the tutorial runs as it stands, in order, in one shell; README's Python, too.

A block that cannot run here says why in a comment before it: ``<!-- not run: REASON -->``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gallery_mirror import wait_until

from encoder.clips import generate_clip
from encoder.pictures import encode_jpeg
from encoder.video import grab_frame
from hashreel.stack import free_port

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?:sh|bash)\n(?P<text>.*?)```", re.DOTALL)
# A line that serves until it is interrupted runs beside the others, which wait until it answers.
SERVES = re.compile(r"^(\S*hashreel up\b[^#]*?)(\s*#.*)?$", re.MULTILINE)
WAIT = 'for _ in $(seq 600); do curl -sf "$HASHREEL_URL/readyz" >/dev/null && break; sleep 0.2; done'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a clip in ~/Videos and a picture query.jpg."""
    (tmp_path / "Videos").mkdir()
    clip = tmp_path / "Videos" / "first clip.mp4"
    generate_clip(clip, seed=5, seconds=4.0, size=(160, 90), fps=8)
    (tmp_path / "query.jpg").write_bytes(encode_jpeg(grab_frame(clip, 1500).image))
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    return tmp_path


def end_stacks(folder: Path) -> None:
    """End what commands have started for themselves; it would end by itself a minute later."""
    for state in folder.glob("*/stack.json"):
        os.kill(json.loads(state.read_text())["pid"], signal.SIGTERM)
        wait_until(lambda state=state: not state.exists(), "the stack ends")  # type: ignore[misc]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_shell_blocks_run(page: str, home: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    blocks = list(BLOCK.finditer((ROOT / page).read_text()))
    runnable = [block["text"] for block in blocks if not block["reason"]]
    assert runnable
    script = "\n".join(runnable)
    script = SERVES.sub(lambda match: f"{match[1]} & stack=$!\n{WAIT}", script)
    end = 'if [ -n "${stack:-}" ]; then kill "$stack"; wait "$stack" || true; fi'
    port = str(free_port("127.0.0.1"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HASHREEL_")}
    environment |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if "stack=$!" in script:
        # The page's own port may be taken on a machine that runs tests.
        environment |= {"HASHREEL_PORT": port, "HASHREEL_URL": f"http://127.0.0.1:{port}"}
    try:
        done = subprocess.run(
            ["bash", "-c", f"set -eu\ntrap '{end}' EXIT\n{script}\n"],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        end_stacks(home)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    assert "first clip.mp4" in done.stdout + (home / "hits.csv").read_text() if page != "README.md" else done.stdout


def test_python_of_the_readme_runs(stack_url: str, home: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for stands, here in (("http://127.0.0.1:8000", stack_url), ("/srv/archive", str(home / "Videos"))):
        assert stands in text
        text = text.replace(stands, here)
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=home, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "indexed=1" in done.stdout
    assert "first clip.mp4 1.0 " in done.stdout or "first clip.mp4 2.0 " in done.stdout
