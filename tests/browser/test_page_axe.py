"""axe-core on every view and dialog, in dark and in light: nothing serious, nothing critical."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from memory_service import frame_id_of

from hashreel.schemas import EvaluationRequest, MarkRequest, Query, Warn, WatchRequest

RUN = """async () => {
    const result = await axe.run(document, { resultTypes: ['violations'] });
    return result.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
        .map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html.slice(0, 120)).join(' | ')}`);
}"""
IS_DARK = "matchMedia('(prefers-color-scheme: dark)').matches"
ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "page"  # to look at: every view, in both


@pytest.fixture(scope="module")
def axe() -> str:
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (files(package) / "axe.min.js").read_text(encoding="utf-8")


def check(page: Any, axe: str, view: str) -> None:
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe + "; void 0")
    page.locator("#hits:not([aria-busy])").wait_for(state="attached")
    # Colours that are on their way from one to another have the contrast of neither.
    page.evaluate("() => Promise.all(document.getAnimations().map((one) => one.finished))")
    name = f"{'dark' if page.evaluate(IS_DARK) else 'light'}-{view}.png".replace(" ", "-")
    page.screenshot(path=ARTIFACTS / name)
    assert page.evaluate(RUN) == [], view


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_has_a_serious_violation(page, service, axe, scheme):
    service.engine.add_video("archive/half.mp4", 4, warnings=[Warn(stage="decode", reason="cut off", at_ms=3500)])
    service.engine.add_video("archive/dead.mp4", state="failed", reason="no video stream")
    queries = [Query(frame=str(frame_id_of(1, 2))), Query(frame=str(frame_id_of(3, 1)))]
    wish = WatchRequest(queries=queries, radius=20, name="stolen painting", tags={"case": "17"})
    watch = service.engine.add_watch(wish)
    service.engine.mark_watch_hits(watch.id, MarkRequest(frames=[str(frame_id_of(1, 2))]))
    service.queue.evaluations.create(EvaluationRequest(truth="video,concepts\na.mp4,sea\n"))
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(service.url)
    page.locator("#welcome .hit").first.wait_for()
    check(page, axe, "welcome")
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    page.locator("#hits > li").first.wait_for()
    page.locator("#hits .good").first.click()
    page.get_by_text("Ordered by 1 good hit").wait_for()
    check(page, axe, "hits with a mark")
    page.locator("#hits .frame").first.click()
    page.locator("#player").wait_for()
    check(page, axe, "player")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Watch for this").click()
    check(page, axe, "watch for this")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear marks").click()
    page.get_by_role("textbox", name="Tag", exact=True).fill("case=99")
    page.get_by_role("textbox", name="Tag", exact=True).press("Enter")
    page.get_by_role("heading", name="Nothing found").wait_for()
    check(page, axe, "no hits")
    page.goto(f"{service.url}/#/archive")
    page.locator("#videos > li").nth(4).wait_for()
    check(page, axe, "archive")
    page.get_by_role("button", name="Edit tags of bikes.mp4").click()
    check(page, axe, "tags")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete glacier.mkv").click()
    check(page, axe, "confirmation")
    page.keyboard.press("Escape")
    page.goto(f"{service.url}/#/activity")
    page.get_by_label("On the server").fill("a.mp4\nbroken.mp4\n")
    page.get_by_role("button", name="Index", exact=True).click()
    page.get_by_text("done, some failed").wait_for()
    page.locator("#failures .failure").wait_for()
    check(page, axe, "activity")
    page.goto(f"{service.url}/#/watches")
    page.locator("#watches .find.acknowledged").wait_for()
    check(page, axe, "watches")
    page.evaluate("document.getElementById('key').showModal()")
    check(page, axe, "key")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_empty_archive_has_no_serious_violation(page, empty, axe, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    views = {"search": "The archive is empty", "archive": "No video here", "activity": "No job yet"}
    for view, words in {**views, "watches": "Nothing is watched for yet"}.items():
        page.goto(f"{empty.url}/#/{view}")
        page.get_by_text(words).first.wait_for()
        check(page, axe, f"empty {view}")
