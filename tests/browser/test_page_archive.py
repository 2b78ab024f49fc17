"""The archive and the activity on the page: videos, tags, deletes, uploads, jobs, failures."""

from __future__ import annotations

import base64

from hashreel.schemas import EnqueueRequest, EvaluationRequest, Warn


def test_an_empty_archive_says_how_to_fill_it_and_a_dropped_video_does(page, empty, clip):
    page.goto(empty.url)
    page.get_by_role("heading", name="The archive is empty").wait_for()
    assert page.get_by_text("hashreel enqueue archive/*.mp4").is_visible()
    page.evaluate(
        """(data) => {
            const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "my clip.mkv"));
            const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("drop", options));
        }""",
        base64.b64encode(clip.read_bytes()).decode(),
    )
    page.wait_for_url("**/#/activity")
    page.get_by_text("1 indexed").wait_for()
    assert (empty.settings.data / "uploads" / "my clip.mkv").read_bytes() == clip.read_bytes()
    assert empty.queue.wishes["job-1"].sources == ["uploads/my clip.mkv"]
    page.get_by_role("link", name="Archive").click()
    page.get_by_role("heading", name="my clip.mkv").wait_for()


def test_videos_are_chosen_from_the_empty_archive_and_the_first_frames_show_by_themselves(page, empty, clip):
    page.goto(empty.url)
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Choose video files").click()
    empty.queue.paused = True
    chosen.value.set_files(clip)
    page.wait_for_url("**/#/activity")
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_role("heading", name="The archive is empty").wait_for()
    empty.queue.paused = False
    page.get_by_role("heading", name="Newest videos").wait_for()


def test_jobs_and_failures_are_followed_live(page, empty):
    page.goto(f"{empty.url}/#/activity")
    page.get_by_text("No job yet.").wait_for()
    page.get_by_label("On the server").fill("archive/a.mp4\narchive/broken<b>.mp4\n")
    page.get_by_label("Key-frames").select_option("scenes")
    page.get_by_role("textbox", name="Tags").fill("case=5, desk=sport")
    page.get_by_role("button", name="Index", exact=True).click()
    page.get_by_text("1 indexed · 1 failed").wait_for()
    wish = empty.queue.wishes["job-1"]
    assert (wish.policy.kind, wish.policy.seconds, wish.tags) == ("scenes", None, {"case": "5", "desk": "sport"})
    page.get_by_text("decode: no video stream").wait_for()
    assert page.locator("#failures .name").text_content() == "broken<b>.mp4"
    page.get_by_role("button", name="Try failed sources of job job-1 again").click()
    page.get_by_text("decode: no video stream").nth(1).wait_for()
    assert len(empty.queue.ledger) == 2


def test_a_running_job_is_counted_in_the_bar_and_can_be_cancelled(page, empty):
    empty.queue.paused = True
    page.goto(f"{empty.url}/#/activity")
    page.get_by_label("On the server").fill("archive/a.mp4")
    page.get_by_role("button", name="Index", exact=True).click()
    page.get_by_role("link", name="Activity 1 active job").wait_for()
    page.get_by_role("button", name="Cancel job job-1").click()
    page.locator("#jobs .state.cancelled").wait_for()
    page.wait_for_function("() => document.getElementById('active-jobs').hidden")


def test_a_running_job_tells_how_far_it_is_and_how_long_it_will_take(page, empty):
    empty.queue.paused = True
    job = empty.queue.enqueue(EnqueueRequest(sources=["archive/a.mp4"]))
    facts = {"state": "running", "frames": 340, "frames_planned": 1200, "progress": 0.25, "rate": 11.9, "eta_s": 72.4}
    empty.queue.records[job.id] = job.model_copy(update=facts)
    page.goto(f"{empty.url}/#/activity")
    page.get_by_text("340 of about 1,200 frames · 12 frames/s · about 1 min 12 s left").wait_for()
    assert page.get_by_role("progressbar", name="Progress of job job-1").evaluate("bar => bar.position") == 0.25


def test_what_the_server_refuses_is_said(page, empty, monkeypatch):
    from hashreel.errors import ForbiddenError

    def refuse(request):
        raise ForbiddenError("/etc lies outside of the source roots")

    monkeypatch.setattr(empty.queue, "enqueue", refuse)
    page.goto(f"{empty.url}/#/activity")
    page.get_by_label("On the server").fill("/etc")
    page.get_by_role("button", name="Index", exact=True).click()
    page.get_by_text("/etc lies outside of the source roots").wait_for()


def test_videos_show_state_tags_and_warnings(page, service):
    service.engine.add_video("archive/half.mp4", 4, warnings=[Warn(stage="decode", reason="cut off", at_ms=3500)])
    service.engine.add_video("archive/dead.mp4", state="failed", reason="no video stream")
    page.goto(f"{service.url}/#/archive")
    rows = page.locator("#videos > li")
    rows.nth(4).wait_for()
    names = rows.locator(".name").all_text_contents()
    assert names == ["dead.mp4", "half.mp4", "glacier.mkv", "<img src=x onerror=alert(1)>.mp4", "bikes.mp4"]
    assert "no video stream" in rows.nth(0).text_content()
    assert "decode at 0:03.5: cut off" in rows.nth(1).text_content()
    assert rows.nth(3).locator(".tags li").all_text_contents() == ["case=18", "<b>=<i>"]
    page.get_by_label("State").select_option("failed")
    page.wait_for_function("() => document.querySelectorAll('#videos > li').length === 1")
    page.get_by_label("State").select_option("")
    page.get_by_role("textbox", name="Tag", exact=True).fill("case=17")
    page.get_by_role("textbox", name="Tag", exact=True).press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#videos > li').length === 2")


def test_tags_are_edited(page, service):
    page.goto(f"{service.url}/#/archive")
    page.get_by_role("button", name="Edit tags of bikes.mp4").click()
    page.get_by_role("textbox", name="One a line").fill("desk=sport\nnonsense")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("write it as key=value").wait_for()
    page.get_by_role("textbox", name="One a line").fill("desk=sport")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("desk=sport").wait_for()
    assert service.engine.catalogue[1].tags == {"desk": "sport"}


def test_a_delete_is_asked_about_first(page, service):
    page.goto(f"{service.url}/#/archive")
    page.get_by_role("button", name="Delete glacier.mkv").click()
    page.get_by_role("button", name="Cancel").click()
    assert 3 in service.engine.catalogue
    page.get_by_role("button", name="Delete glacier.mkv").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('#videos > li').length === 2")
    assert 3 not in service.engine.catalogue


def test_searching_in_one_video(page, service, picture):
    page.goto(f"{service.url}/#/archive")
    page.get_by_role("button", name="Search in glacier.mkv").click()
    page.wait_for_function("() => document.getElementById('filter-video').value === '3'")
    page.set_input_files("#pick", picture)
    page.wait_for_function("() => document.querySelectorAll('#hits > li').length === 8")
    assert service.engine.requests[-1].videos == [3]


def test_long_archives_are_loaded_by_pages(page, service):
    for index in range(70):
        service.engine.add_video(f"archive/{index}.mp4", 1)
    page.goto(f"{service.url}/#/archive")
    page.wait_for_function("() => document.querySelectorAll('#videos > li').length === 50")
    page.get_by_role("button", name="Show more").click()
    page.wait_for_function("() => document.querySelectorAll('#videos > li').length === 73")
    assert not page.get_by_role("button", name="Show more").is_visible()


TRUTH = "video,concepts\na.mp4,sea\n"


def test_evaluations_are_listed_and_their_reports_open_without_scripts(page, empty):
    evaluations = empty.queue.evaluations
    evaluations.paused = True
    done = evaluations.create(EvaluationRequest(truth=TRUTH, source="truth<b>.csv", by="me"))
    page.goto(f"{empty.url}/#/activity")
    page.locator("#evaluations .state.queued").wait_for()
    assert page.get_by_role("heading", name="average by truth<b>.csv").is_visible()
    evaluations.paused = False
    evaluations.get(done.id)
    page.get_by_text("MAP@10 50.0 %").wait_for()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Report of average").click()
    report = opened.value
    report.wait_for_load_state()
    assert report.url == f"{empty.url}/v1/evaluations/{done.id}/report"
    assert report.title() == "Report"  # the script in it did not run
    assert report.locator("h1").evaluate("node => getComputedStyle(node).color") == "rgb(1, 2, 3)"
    assert report.locator("img").evaluate("node => node.complete && node.naturalWidth") == 1
    assert report.evaluate("() => self.origin") == "null"


def test_a_waiting_evaluation_is_cancelled_on_the_page(page, empty):
    empty.queue.evaluations.paused = True
    waiting = empty.queue.evaluations.create(EvaluationRequest(truth=TRUTH))
    page.goto(f"{empty.url}/#/activity")
    page.get_by_role("button", name=f"Cancel evaluation {waiting.id}").click()
    page.locator("#evaluations .state.cancelled").wait_for()
    assert page.get_by_role("link", name="Report").count() == 0
