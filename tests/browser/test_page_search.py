"""Searching on the page: a picture, a part of it, filters, playing, refining."""

from __future__ import annotations

import base64

import pytest
from memory_service import frame_id_of, picture_code


def expect_status(page, words: str) -> None:
    page.wait_for_function("words => document.getElementById('search-status').textContent.includes(words)", arg=words)


def wait_request(page, service, number: int):
    for _ in range(2400):
        if len(service.engine.requests) >= number:
            return service.engine.requests[-1]
        page.wait_for_timeout(25)
    raise AssertionError(f"only {len(service.engine.requests)} searches came")


def test_a_picked_picture_gives_hits_in_order_and_names_stay_text(page, service, picture):
    page.goto(service.url)
    page.set_input_files("#pick", picture)
    expect_status(page, "24 nearest of 26 frames")
    request = service.engine.requests[-1]
    assert base64.b64decode(request.query.image) == picture.read_bytes()
    shown = page.eval_on_selector_all("#hits > li", "items => items.map(item => item.dataset.frame)")
    service.engine.requests.clear()
    expected = service.engine.search(request).hits
    assert shown == [hit.frame_id for hit in expected]
    assert page.locator("#hits .name", has_text="<img src=x onerror=alert(1)>.mp4").count() > 0
    assert page.locator("img[src='x'], main b, main i").count() == 0
    assert page.locator("#hits img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320


def test_a_dropped_and_a_pasted_picture_search_too(page, service, picture):
    page.goto(service.url)
    send = """([kind, data]) => {
        const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "q.jpg", { type: "image/jpeg" }));
        const event = kind === "drop"
            ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
    }"""
    for number, kind in enumerate(("drop", "paste"), 1):
        page.evaluate(send, [kind, base64.b64encode(picture.read_bytes()).decode()])
        request = wait_request(page, service, number)
        assert base64.b64decode(request.query.image) == picture.read_bytes()


def test_a_click_plays_from_the_moment_of_the_hit(page, service):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 7)}")
    page.get_by_role("button", name="Play bikes.mp4 from 0:07.0, distance 0").click()
    page.wait_for_function("() => document.getElementById('player-video').readyState >= 2")
    assert page.evaluate("document.getElementById('player-video').currentTime") >= 7.0
    assert page.evaluate("Math.round(document.getElementById('player-video').duration)") == 12
    assert page.locator("#player-title").text_content() == "bikes.mp4"
    page.keyboard.press("Escape")
    page.locator("#player").wait_for(state="hidden")
    page.wait_for_function("() => !document.getElementById('player-video').hasAttribute('src')")


def test_playing_stops_where_the_moment_ends_and_goes_on_when_asked(page, service):
    shot = [frame for frame in service.engine.frames if frame.video == 1 and 2000 <= frame.time_ms <= 6000]
    for frame in shot:  # what looks like the frame at 2 s; the next one, at 7 s, does not
        frame.code = shot[0].code
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 2)}")
    page.evaluate("document.getElementById('player-video').defaultPlaybackRate = 4")
    page.get_by_role("button", name="Play bikes.mp4 from 0:02.0, distance 0").click()
    stopped = page.get_by_text("Stopped at 0:06.5, where this moment ends.")
    stopped.wait_for()
    video = "(({ paused, currentTime }) => [paused, currentTime])(document.getElementById('player-video'))"
    assert page.evaluate(video) == [True, pytest.approx(6.5, abs=0.11)]
    page.get_by_role("button", name="Play again").click()
    page.get_by_text("0:02.0 to 0:06.5").wait_for()
    stopped.wait_for()
    page.get_by_role("button", name="Play on").click()
    page.wait_for_function("() => document.getElementById('player-video').ended")


def test_frames_are_walked_where_the_file_cannot_be_played(page, service, tmp_path):
    service.engine.paths[3] = tmp_path / "glacier.mkv"
    service.engine.paths[3].write_bytes(b"nothing that a browser plays" * 1000)
    page.goto(f"{service.url}/#/search?frame={frame_id_of(3, 5)}")
    page.get_by_role("button", name="Play glacier.mkv from 0:05.0, distance 0").click()
    page.get_by_text("This browser cannot play the file. Indexed frame at 0:05.0").wait_for()
    assert page.locator("#player-frame").get_attribute("src").startswith(f"/v1/frames/{frame_id_of(3, 5)}/")
    page.get_by_role("button", name="Next frame").click()
    page.get_by_text("Indexed frame at 0:06.0").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Indexed frame at 0:07.0").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text("There is no further frame.").wait_for()
    page.get_by_role("button", name="Find similar", exact=True).click()
    page.wait_for_url(f"**/#/search?frame={frame_id_of(3, 7)}")


def test_a_source_that_is_gone_is_said_and_its_frames_are_walked(page, service):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(3, 5)}")
    page.get_by_role("button", name="Play glacier.mkv from 0:05.0, distance 0").click()
    page.get_by_text("The source of video 3 is gone. Indexed frame at 0:05.0").wait_for()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("The source of video 3 is gone. Indexed frame at 0:04.0").wait_for()


def test_frames_stand_in_for_a_video_that_stalls_until_it_comes(page, service):
    page.clock.install()  # the page's patience is a matter of its clock
    held: list = []
    is_stalled = True
    page.route("**/v1/videos/1/source*", lambda route: held.append(route) if is_stalled else route.continue_())
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 7)}")
    page.get_by_role("button", name="Play bikes.mp4 from 0:07.0, distance 0").click()
    page.locator("#player-video").wait_for()
    page.clock.run_for(9_000)
    page.get_by_text("The video is slow to come. Indexed frame at 0:07.0").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Indexed frame at 0:08.0").wait_for()
    is_stalled = False
    for route in held:
        route.continue_()
    page.get_by_role("button", name="Play the video").click()
    page.wait_for_function("() => document.getElementById('player-video').readyState >= 2")
    assert page.locator("#player-video").is_visible()
    assert page.evaluate("document.getElementById('player-video').currentTime") >= 7.0


def test_refining_from_a_hit_can_be_gone_back_from(page, service, picture):
    page.goto(service.url)
    page.set_input_files("#pick", picture)
    expect_status(page, "nearest")
    frame = page.locator("#hits > li").first.get_attribute("data-frame")
    page.locator("#hits > li").first.get_by_text("Similar").click()
    page.wait_for_url(f"**/#/search?frame={frame}")
    request = wait_request(page, service, 2)
    assert request.query.frame == frame
    page.go_back()
    request = wait_request(page, service, 3)
    assert base64.b64decode(request.query.image) == picture.read_bytes()
    assert page.locator("#preview-caption").text_content() == "query.jpg"


def test_a_box_drawn_with_the_mouse_is_searched(page, service, picture):
    page.goto(service.url)
    page.set_input_files("#pick", picture)
    wait_request(page, service, 1)
    area = page.locator("#canvas").bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.2, area["y"] + area["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.5, area["y"] + area["height"] * 0.5, steps=4)
    page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + area["height"] * 0.8, steps=4)
    page.mouse.up()
    box = wait_request(page, service, 2).query.box
    assert box == pytest.approx((0.2, 0.3, 0.4, 0.5), abs=0.02)
    page.get_by_role("button", name="Whole picture").click()
    assert wait_request(page, service, 3).query.box is None


def test_a_box_is_made_moved_sized_and_removed_with_the_keyboard(page, service, picture):
    page.goto(service.url)
    page.set_input_files("#pick", picture)
    wait_request(page, service, 1)
    page.get_by_role("button", name="Search a part").press("Enter")
    assert wait_request(page, service, 2).query.box == pytest.approx((0.25, 0.25, 0.5, 0.5))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    assert wait_request(page, service, 3).query.box == pytest.approx((0.27, 0.23, 0.48, 0.5))
    page.keyboard.press("Delete")
    assert wait_request(page, service, 4).query.box is None


def test_filters_reach_the_engine(page, service):
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 1)}")
    wait_request(page, service, 1)
    page.get_by_role("textbox", name="Tag", exact=True).fill("case=17")
    page.get_by_label("Hits").fill("5")
    page.get_by_label("Largest distance").fill("30")
    page.get_by_label("Best frame of each video only").check()
    page.get_by_role("combobox", name="Video", exact=True).select_option(label="glacier.mkv")
    expect_status(page, "1 nearest")
    sent = service.engine.requests[-1]
    assert (sent.tags, sent.top, sent.radius, sent.group_by, sent.videos) == ({"case": "17"}, 5, 30, "video", [3])


def test_a_stretch_of_one_video_is_searched(page, service, picture):
    page.goto(service.url)
    page.get_by_role("combobox", name="Video", exact=True).select_option(label="glacier.mkv")
    page.get_by_label("From", exact=True).fill("0:02")
    page.set_input_files("#pick", picture)
    expect_status(page, "6 nearest")
    page.get_by_label("Until", exact=True).fill("4.5")
    page.get_by_label("Until", exact=True).press("Enter")
    expect_status(page, "3 nearest")
    assert service.engine.requests[-1].between == (2000, 4500)
    page.get_by_label("Until", exact=True).fill("soon")
    page.get_by_label("Until", exact=True).press("Enter")
    page.get_by_text("write it as minutes:seconds").wait_for()


def test_the_same_filters_go_with_a_picture(page, service, picture):
    page.goto(service.url)
    page.get_by_role("textbox", name="Tag", exact=True).fill("case=17")
    page.get_by_label("Hits").fill("3")
    page.set_input_files("#pick", picture)
    expect_status(page, "3 nearest")
    sent = service.engine.requests[-1]
    assert (sent.tags, sent.top) == ({"case": ["17"]}, 3)


def test_what_cannot_be_searched_is_said(page, service, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture at all")
    page.goto(service.url)
    page.set_input_files("#pick", bad)
    page.get_by_text("the picture cannot be decoded").wait_for()
    page.get_by_role("textbox", name="Tag", exact=True).fill("case")
    page.get_by_role("textbox", name="Tag", exact=True).press("Enter")
    page.get_by_text("write it as key=value").wait_for()


def test_a_code_in_the_address_searches(page, service, picture):
    code = picture_code(picture.read_bytes()).hex()
    page.goto(f"{service.url}/#/search?code={code}")
    assert wait_request(page, service, 1).query.code == code


def test_old_answers_are_dropped_when_a_newer_query_runs(page, service):
    import threading

    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 1)}")
    expect_status(page, "nearest")
    service.engine.gate = threading.Event()
    page.get_by_label("Hits").fill("2")
    page.get_by_label("Hits").press("Enter")
    page.get_by_text("Searching").wait_for()
    page.get_by_label("Hits").fill("4")
    page.get_by_label("Hits").press("Enter")
    service.engine.gate.set()
    expect_status(page, "4 nearest")
    assert page.locator("#hits > li").count() == 4


def test_stale_answers_say_so(page, service):
    service.engine.redis = False
    page.goto(f"{service.url}/#/search?frame={frame_id_of(1, 1)}")
    page.get_by_text("Redis does not answer").wait_for()
