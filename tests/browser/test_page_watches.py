"""Watches on the page: made from a search, with their finds, changed, deleted, and for whom they are not."""

from __future__ import annotations

import pytest
from memory_service import frame_id_of
from redis_server import RedisServer

from hashreel.schemas import Query, WatchRequest
from search.http import make_app
from search.http.access import make_access

NAME = "<img src=x onerror=alert(1)> painting"
FIRST_FIND_HAS_FOCUS = "() => document.activeElement === document.querySelector('.find .frame')"
STATES = (
    "wanted => String([...document.querySelectorAll('.find')].map((one) => one.className.split(' ')[2])) === wanted"
)
EXAMPLES = "() => [...document.querySelectorAll('.watch .examples img')].filter((one) => one.naturalWidth).length === 2"


def wait_finds(page, states: list[str]) -> None:
    """Wait until the finds on the page are so many, of these states, in this order."""
    page.wait_for_function(STATES, arg=",".join(states))


def add_watch(service, **options) -> str:
    request = WatchRequest(queries=[Query(frame=str(frame_id_of(1, 2)))], **{"radius": 20, "name": NAME, **options})
    return service.engine.add_watch(request).id


def test_a_search_becomes_a_watch_with_its_conditions_and_examples(page, service):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    page.get_by_role("textbox", name="Tag", exact=True).fill("case=17")
    page.get_by_role("textbox", name="Tag", exact=True).press("Enter")
    page.locator("#hits > li").nth(3).get_by_role("button", name="More like").click()
    page.get_by_text("Ordered by 1 good hit").wait_for()
    page.wait_for_function("() => document.querySelectorAll('#hits > li.good').length === 1")
    good = page.locator("#hits > li.good").get_attribute("data-frame")
    page.get_by_role("button", name="Watch for this").click()
    page.get_by_text("Only videos with case=17.").wait_for()
    assert page.evaluate("document.activeElement.id") == "watch-name"
    page.keyboard.type(NAME)
    page.get_by_label("Up to distance").fill("0")
    page.get_by_text("1 of the 20 hits on this page is as near as that.").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text(f"Watching for {NAME}. 1 find so far.").wait_for()
    (_, request) = service.engine.watched["000000000000"]
    assert [query.frame for query in request.queries] == [str(frame_id_of(1, 2)), good]
    assert (request.name, request.radius, request.tags, request.between) == (NAME, 0, {"case": "17"}, None)
    page.get_by_role("link", name="Show watches").click()
    page.get_by_role("heading", name=NAME).wait_for()
    page.locator("#watches").get_by_text("Only videos with case=17").wait_for()
    page.wait_for_function(EXAMPLES)
    assert page.locator("img[src='x']").count() == 0


def test_the_form_says_that_a_filter_on_a_video_is_left_out(page, service):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    page.locator("#hits > li").first.wait_for()
    page.locator("#filter-video").select_option("1")
    page.get_by_role("button", name="Watch for this").click()
    page.get_by_text("The filter on one video, or a stretch of it, is not part of the watch.").wait_for()


def test_finds_are_acknowledged_dismissed_taken_back_and_searched_with(page, service):
    page.goto(f"{service.url}/#/watches")
    page.get_by_role("heading", name="Nothing is watched for yet").wait_for()
    watch = add_watch(service)
    finds = [hit.frame_id for hit in service.engine.watch_hits(watch).hits]
    page.reload()
    page.get_by_role("link", name=f"Watches {len(finds)} new finds").wait_for()
    wait_finds(page, ["new"] * len(finds))
    page.get_by_role("button", name="Acknowledge bikes.mp4 at 0:02.0").press("Enter")
    wait_finds(page, ["new"] * (len(finds) - 1) + ["acknowledged"])
    # Whoever works with the keyboard is at the next one.
    page.wait_for_function(FIRST_FIND_HAS_FOCUS)
    page.locator(".find.new").first.get_by_role("button", name="Dismiss").click()
    wait_finds(page, ["new"] * (len(finds) - 2) + ["acknowledged"])
    assert [service.engine.marks[frame].state for frame in finds[:2]] == ["acknowledged", "dismissed"]
    page.get_by_role("combobox", name="Finds").select_option("dismissed")
    page.get_by_role("button", name="Take back").click()
    page.get_by_text(f"{len(finds) - 1} new").first.wait_for()
    page.get_by_role("combobox", name="Finds").select_option("acknowledged")
    page.get_by_role("link", name="Search with bikes.mp4 at 0:02.0").click()
    page.wait_for_url(f"**/#/search?frame={finds[0]}")
    page.locator("#hits > li").first.wait_for()


def test_a_watch_is_changed_paused_and_deleted_after_a_question(page, service):
    add_watch(service)
    page.goto(f"{service.url}/#/watches")
    page.get_by_role("button", name=f"Change {NAME}").click()
    page.get_by_label("Name", exact=True).fill("<b>other</b>")
    page.get_by_label("Up to distance").fill("0")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="<b>other</b>").wait_for()
    page.get_by_text("1 example · up to distance 0 · 1 find").wait_for()
    page.get_by_role("button", name="Pause <b>other</b>").click()
    page.get_by_role("button", name="Go on with <b>other</b>").wait_for()
    assert service.engine.watch("000000000000").paused
    page.get_by_role("button", name="Delete <b>other</b>").click()
    page.get_by_role("heading", name="Delete <b>other</b>?").wait_for()
    page.get_by_role("button", name="Cancel").last.click()
    assert service.engine.watched
    page.get_by_role("button", name="Delete <b>other</b>").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("heading", name="Nothing is watched for yet").wait_for()
    assert not service.engine.watched


@pytest.fixture
def secrets(service, server):
    settings = service.settings.model_copy(update={"keys": "required"})
    with RedisServer() as redis:
        access = make_access(settings, redis.client())
        server[0].app = make_app(service.engine, service.queue, settings, access)
        yield {scope: access.keyring.create(scope, scope)[1] for scope in ("admin", "read")}
        access.audit.close()  # its thread must not meet a Redis that is gone


def test_a_key_that_only_reads_sees_finds_and_is_offered_no_change(page, service, secrets):
    add_watch(service)
    page.goto(f"{service.url}/#/watches")
    page.get_by_label("Key", exact=True).fill(secrets["read"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("This key may look at watches and their finds.").wait_for()
    page.get_by_role("link", name="Search with bikes.mp4 at 0:02.0").wait_for()
    for name in ("Acknowledge", "Dismiss", "Change", "Delete"):
        assert page.locator("#watches").get_by_role("button", name=name).count() == 0
    page.get_by_role("link", name="Search with bikes.mp4 at 0:02.0").click()
    page.locator("#hits > li").first.wait_for()
    assert not page.get_by_role("button", name="Watch for this").is_visible()
