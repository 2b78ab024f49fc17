"""What the page says and does in its less happy states, and its settings."""

from __future__ import annotations

import pytest
from memory_service import frame_id_of
from redis_server import RedisServer

from search.http import make_app
from search.http.access import make_access


def test_no_hit_within_a_radius_can_be_widened(page, service, picture):
    page.goto(service.url)
    page.get_by_label("Largest distance").fill("0")
    page.set_input_files("#pick", picture)
    page.get_by_role("heading", name="Nothing within distance 0").wait_for()
    page.get_by_role("button", name="Search at any distance").click()
    page.locator("#hits > li").first.wait_for()
    assert service.engine.requests[-1].radius is None


def test_marks_are_sent_and_end_with_the_query(page, service):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    page.get_by_label("Largest distance").fill("60")
    page.locator("#hits > li").nth(2).get_by_role("button", name="More like").click()
    page.get_by_text("Ordered by 1 good hit").wait_for()
    page.locator("#hits > li").nth(1).get_by_role("button", name="Less like").click()
    page.get_by_text("1 good hit and 1 bad hit").wait_for()
    page.wait_for_function("() => document.querySelectorAll('#hits > li.good, #hits > li.bad').length === 2")
    sent = service.engine.requests[-1]
    assert (len(sent.more), len(sent.less), sent.radius) == (1, 1, None)
    page.locator("#hits > li.good").get_by_role("button", name="More like").click()
    page.get_by_text("Ordered by 1 bad hit").wait_for()
    page.locator("#hits > li").first.get_by_role("button", name="Find frames similar").click()
    page.wait_for_function("() => document.getElementById('marks').hidden")


@pytest.mark.parametrize("veil", ["blur", "grey"])
def test_thumbnails_are_veiled_until_pointed_at_and_the_setting_is_kept(page, service, veil):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    page.get_by_label("Thumbnails").select_option(veil)
    page.reload()
    page.locator("#hits > li").first.wait_for()
    filter_ = "() => getComputedStyle(document.querySelector('#hits .frame img')).filter"
    assert page.evaluate(filter_).startswith({"blur": "blur", "grey": "grayscale"}[veil])
    page.locator("#hits .frame").first.hover()
    assert page.evaluate(filter_) == "none"


def test_an_archive_whose_first_frames_are_coming_says_so_and_shows_them_when_they_are_there(page, empty):
    empty.engine.add_video("archive/a.mp4", state="encoding")
    page.goto(empty.url)
    page.get_by_role("heading", name="The first frames are being indexed").wait_for()
    empty.engine.add_video("archive/b.mp4", 4)
    page.evaluate("dispatchEvent(new Event('visibilitychange'))")  # what makes the page look at the service at once
    page.get_by_role("heading", name="Newest videos").wait_for()


def test_a_job_that_indexed_nothing_looks_failed(page, empty):
    page.goto(f"{empty.url}/#/activity")
    page.get_by_label("On the server").fill("shelf/broken.mp4")
    page.get_by_role("button", name="Index", exact=True).click()
    page.locator("#jobs .state.failed").wait_for()
    page.locator("#failures .folder", has_text="shelf").wait_for()


def test_an_index_that_is_behind_says_how_far(page, service, monkeypatch):
    health = service.engine.health
    monkeypatch.setattr(service.engine, "health", lambda: health().model_copy(update={"lag": 3}))
    page.goto(service.url)
    page.get_by_text("26 frames, 3 changes behind").wait_for()


def test_a_picture_in_an_archive_goes_by_its_own_name_and_is_shown(page, service, monkeypatch):
    hit = service.engine._hit
    member = {"source": "archive/frames.zip", "member": "day 1/<b>0007.jpg"}
    monkeypatch.setattr(service.engine, "_hit", lambda far, frame: hit(far, frame).model_copy(update=member))
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    first = page.locator("#hits > li").first
    first.get_by_text("frames.zip/day 1").wait_for()
    assert first.locator(".name").text_content() == "<b>0007.jpg"
    page.get_by_role("button", name="Show <b>0007.jpg, distance 0").click()
    page.get_by_text("One of several pictures. day 1/<b>0007.jpg").wait_for()
    assert page.locator("#player-frame").is_visible()
    assert not page.locator("#player-video").is_visible()


def test_a_thousand_hits_load_only_the_thumbnails_that_are_near_the_screen(page, service):
    service.engine.add_video("archive/long.mp4", 1000)
    asked: list[str] = []
    page.on("request", lambda request: "/thumbnail" in request.url and asked.append(request.url))
    page.goto(f"{service.url}/#/search?frame={frame_id_of(4, 2)}")
    page.get_by_label("Hits").fill("1000")
    page.get_by_label("Hits").press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#hits > li').length === 1000")
    page.wait_for_load_state("networkidle")
    assert len(asked) < 100
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("() => document.querySelector('#hits > li:last-child img').naturalWidth > 0")
    assert len(asked) < 400  # and those that were scrolled past are not fetched


class TestKeys:
    """A service that asks for keys, with a real Redis behind them."""

    @pytest.fixture
    def secrets(self, empty, server):
        settings = empty.settings.model_copy(update={"keys": "required"})
        with RedisServer() as redis:
            access = make_access(settings, redis.client())
            empty.engine.add_video("archive/bikes.mp4", 4)
            server[0].app = make_app(empty.engine, empty.queue, settings, access)
            yield {scope: access.keyring.create(scope, scope)[1] for scope in ("admin", "read", "write")}
            access.audit.close()  # its thread must not meet a Redis that is gone

    def test_a_key_is_asked_for_refused_kept_for_the_tab_and_given_up(self, page, empty, secrets):
        page.goto(empty.url)
        page.get_by_role("heading", name="asks for a key").wait_for()
        page.get_by_label("Key", exact=True).fill("hr_wrong")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_function("() => document.getElementById('key-error').textContent !== ''")
        page.get_by_label("Key", exact=True).fill(secrets["write"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Newest videos").wait_for()
        page.wait_for_function("() => document.querySelector('#welcome img').naturalWidth > 0")
        page.context.clear_cookies()  # as if the session had ended
        page.reload()
        page.get_by_role("heading", name="Newest videos").wait_for()
        assert page.evaluate("Object.keys(localStorage)") == []
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("heading", name="asks for a key").wait_for()

    def test_an_empty_archive_offers_adding_only_to_keys_that_may(self, page, empty, secrets):
        empty.engine.delete_video(1)
        page.goto(empty.url)
        page.get_by_label("Key", exact=True).fill(secrets["read"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="The archive is empty").wait_for()
        page.get_by_text("This key may only search. Whoever").wait_for()
        assert page.get_by_role("button", name="Choose video files").count() == 0

    def test_a_key_that_only_reads_cannot_add(self, page, empty, secrets):
        page.goto(empty.url)
        page.get_by_label("Key", exact=True).fill(secrets["read"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Newest videos").wait_for()
        page.goto(f"{empty.url}/#/activity")
        page.get_by_text("This key may only search").wait_for()
        assert page.get_by_role("button", name="Index", exact=True).is_disabled()
