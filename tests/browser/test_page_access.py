"""The page for everybody: keyboard, names for screen readers, contrast, narrow screens, a service that is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from memory_service import frame_id_of

from hashreel.schemas import Query, WatchRequest

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "page"
VIEWS = ("search", "archive", "watches", "activity")

UNNAMED = """() => [...document.querySelectorAll('button, a, input, select, textarea, img, video, progress, dialog')]
    .filter((node) => node.checkVisibility() && node.localName !== 'video')
    .filter((node) => node.localName === 'img' ? !node.hasAttribute('alt')
        : !(node.getAttribute('aria-label') || node.getAttribute('aria-labelledby') || node.textContent.trim()
            || node.labels?.length))
    .map((node) => node.outerHTML)"""

CONTRAST = """([ink, ground]) => {
    const probe = document.createElement('i');
    document.body.append(probe);
    const light = (name) => {
        probe.style.color = `var(${name})`;
        const [r, g, b] = getComputedStyle(probe).color.match(/[0-9.]+/g).map((part) => part / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    probe.remove();
    return (a + 0.05) / (b + 0.05);
}"""


def test_everything_has_a_name(page, service):
    service.queue.paused = True
    service.engine.add_watch(WatchRequest(queries=[Query(frame=str(frame_id_of(1, 2)))], radius=20))
    for view in (f"search?frame={frame_id_of(1, 2)}", "archive", "watches", "activity"):
        page.goto(f"{service.url}/#/{view}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate(UNNAMED) == []
    assert page.evaluate("document.documentElement.lang") == "en"


def test_each_view_has_one_main_heading_and_a_title(page, service):
    for view in VIEWS:
        page.goto(f"{service.url}/#/{view}")
        page.wait_for_function("title => document.title === title", arg=f"{view.capitalize()} · Hashreel")
        shown = "[...document.querySelectorAll('h1')].filter((node) => node.checkVisibility()).length"
        assert page.evaluate(shown) == 1
        assert page.locator("nav a[aria-current=page]").text_content().lower().startswith(view)


def test_a_search_and_a_player_by_keyboard_alone(page, service):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    page.locator("#hits > li").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.id === 'main'")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#hits .frame')"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.locator("#player").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.getElementById('player').open")
    page.wait_for_function("() => document.activeElement.matches('#hits .frame')")


def test_the_file_picker_shows_its_focus(page, service):
    page.goto(service.url)
    page.locator("#welcome .hit").first.wait_for()
    page.locator("#pick").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pick"
    assert page.evaluate("getComputedStyle(document.querySelector('#pick + label')).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, service, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(service.url)
    pairs = [
        ("--ink", "--ground"),
        ("--ink", "--surface"),
        ("--ink", "--well"),
        ("--muted", "--ground"),
        ("--muted", "--surface"),
        ("--accent", "--surface"),
        ("--accent", "--ground"),
        ("--on-accent", "--accent"),
        ("--warn", "--warn-ground"),
        ("--warn", "--surface"),
        ("--bad", "--bad-ground"),
        ("--bad", "--surface"),
    ]
    weak = {pair: ratio for pair in pairs if (ratio := page.evaluate(CONTRAST, list(pair))) < 4.5}
    assert weak == {}


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_at_any_width(page, service, width):
    service.engine.add_video(
        "archive/" + "a-very-long-name-without-a-blank-" * 6 + ".mp4", 3, tags={"k" * 60: "v" * 200}
    )
    service.queue.paused = True
    query = Query(frame=str(frame_id_of(4, 1)))
    service.engine.add_watch(WatchRequest(queries=[query], radius=22, name="n" * 200, tags={"k" * 60: "v" * 200}))
    page.set_viewport_size({"width": width, "height": 800})
    for view in (f"search?frame={frame_id_of(4, 1)}", "archive", "watches", "activity"):
        page.goto(f"{service.url}/#/{view}")
        if view == "watches":
            page.locator(".find img").first.wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        page.screenshot(path=ARTIFACTS / f"{width}-{view.split('?')[0]}.png")


def test_a_service_that_goes_away_is_said_and_its_return_is_noticed(page, service):
    page.goto(service.url)
    page.get_by_text("26 frames", exact=True).wait_for()
    page.route("**/*", lambda route: route.abort())
    page.get_by_role("link", name="Archive").click()
    page.get_by_role("alert").get_by_text("hashreel up").wait_for()
    page.get_by_text("no connection", exact=True).wait_for()
    page.unroute("**/*")
    page.locator("#videos > li").first.wait_for()
    page.locator("#banner").wait_for(state="hidden")


def test_a_service_that_is_not_ready_says_why(page, service):
    service.engine.ready = False
    page.goto(service.url)
    page.get_by_role("alert").get_by_text("loading the snapshot").wait_for()
    service.engine.ready = True
    page.get_by_text("26 frames", exact=True).wait_for()
    page.locator("#banner").wait_for(state="hidden")


def test_nothing_is_loaded_from_elsewhere(page, service):
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    for view in VIEWS:
        page.goto(f"{service.url}/#/{view}")
        page.wait_for_load_state("networkidle")
    assert seen
    assert [url for url in seen if not url.startswith((service.url, "blob:", "data:"))] == []
