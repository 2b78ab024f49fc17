"""The page on a whole running stack: Redis, a worker with a model that segments, the search service."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stacks import embedded_stack

from hashreel import Client

DROP = """([data, name, type]) => {
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
WATCH_PROGRESS = """() => {
    window.positions = [];
    const bars = () => [...document.querySelectorAll("#jobs progress")];
    const note = () => window.positions.push(...bars().map((one) => one.position));
    new MutationObserver(note).observe(document.getElementById("jobs"), { childList: true, subtree: true });
}"""
INGEST_MS = 300_000
FRAMES = "all => all.map((one) => one.dataset.frame)"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three painted clips of 6 s with three shots each, and one that is none."""
    from encoder.clips import generate_clip

    folder = tmp_path_factory.mktemp("page") / "archive"
    folder.mkdir()
    for seed in (1, 2, 3):
        generate_clip(folder / f"clip{seed}.mp4", seed=seed, seconds=6.0, size=(192, 108), fps=8)
    (folder / "broken.mp4").write_bytes(b"no video at all" * 100)
    return folder


@pytest.fixture(scope="module")
def stack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_stack(tmp_path_factory.mktemp("stack") / "data", HASHREEL_MODEL="psp48-lite0") as url:
        yield url


@pytest.fixture(scope="module")
def dropped(browser: Any, stack_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Drop a video on the page of the empty archive, find a frame of it and delete it; return what was found."""
    from encoder.clips import generate_clip

    clip = tmp_path_factory.mktemp("dropped") / "dropped.mp4"
    generate_clip(clip, seed=9, seconds=4.0, size=(192, 108), fps=8)
    page = browser.new_page()
    page.set_default_timeout(INGEST_MS)
    page.goto(stack_url)
    page.get_by_role("heading", name="The archive is empty").wait_for()
    page.evaluate(DROP, [base64.b64encode(clip.read_bytes()).decode(), clip.name, "video/mp4"])
    page.wait_for_url("**/#/activity")
    page.get_by_text("1 indexed").wait_for()
    drop(page, stack_url, frame_png(clip, 1.25))
    name = page.locator("#hits .name").first.text_content()
    page.get_by_role("link", name="Archive").click()
    page.get_by_role("button", name=f"Delete {clip.name}").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("No video here").wait_for()
    page.close()
    return str(name)


@pytest.fixture(scope="module")
def indexed(browser: Any, stack_url: str, archive: Path, dropped: str) -> list[float]:
    """Index the archive through the page; return every position of the progress bar that it showed."""
    page = browser.new_page()
    page.set_default_timeout(INGEST_MS)
    page.goto(f"{stack_url}/#/activity")
    page.get_by_label("On the server").fill(str(archive))
    page.get_by_role("spinbutton", name="Seconds").fill("0.5")
    page.get_by_role("textbox", name="Tags").fill("set=painted")
    page.evaluate(WATCH_PROGRESS)
    page.get_by_role("button", name="Index", exact=True).click()
    page.get_by_text("done, some failed").wait_for()
    seen = page.evaluate("window.positions")
    page.close()
    return seen


def frame_png(path: Path, second: float) -> str:
    from PIL import Image

    from encoder.video import grab_frame

    buffer = io.BytesIO()
    Image.fromarray(grab_frame(path, round(1000 * second)).image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def drop(page: Any, stack_url: str, picture: str) -> None:
    page.goto(stack_url)
    page.get_by_role("heading", name="Newest videos").wait_for()
    page.locator("#filter-top").fill("100")
    page.evaluate(DROP, [picture, "query.png", "image/png"])
    page.locator("#hits > li").first.wait_for()


def settled(page: Any, before: list[str]) -> list[str]:
    """Return the order of the hits once it is another than before."""
    page.wait_for_function(
        "old => !document.getElementById('hits').hasAttribute('aria-busy') && "
        "String([...document.querySelectorAll('#hits > li')].map((one) => one.dataset.frame)) !== old",
        arg=",".join(before),
    )
    return page.eval_on_selector_all("#hits > li", FRAMES)


def test_a_video_that_is_dropped_on_the_empty_page_is_found(dropped):
    assert dropped == "dropped.mp4"


def test_an_ingest_is_followed_to_its_end_and_its_failure_is_explained(page, stack_url, indexed):
    assert indexed[0] < 1
    page.goto(f"{stack_url}/#/activity")
    failure = page.locator("#failures .failure").first
    failure.wait_for()
    assert "broken.mp4" in failure.text_content()
    assert "not a video file that can be read" in failure.text_content()
    assert page.get_by_text("3 indexed · 1 failed").is_visible()


def test_a_dropped_picture_finds_its_video_and_plays_at_the_moment(page, stack_url, indexed, archive):
    drop(page, stack_url, frame_png(archive / "clip2.mp4", 3.25))
    first = page.locator("#hits > li").first
    assert first.locator(".name").text_content() == "clip2.mp4"
    label = first.locator(".frame").get_attribute("aria-label")
    minutes, seconds = re.search(r"from (\d+):([\d.]+)", label).groups()
    assert abs(60 * int(minutes) + float(seconds) - 3.25) <= 1.0
    first.locator(".frame").click()
    page.wait_for_function("() => document.getElementById('player-video').readyState >= 2")
    page.evaluate("document.getElementById('player-video').pause()")
    at = page.evaluate("document.getElementById('player-video').currentTime")
    assert abs(at - (60 * int(minutes) + float(seconds))) <= 0.5


def test_a_clip_leads_to_where_it_was_taken_from_and_that_stretch_is_played(page, stack_url, indexed, tmp_path):
    from encoder.clips import generate_clip

    generate_clip(tmp_path / "piece.mp4", seed=2, seconds=6.0, size=(192, 108), fps=10)
    page.goto(stack_url)
    page.get_by_role("heading", name="Newest videos").wait_for()
    page.set_input_files("#pick-clip", tmp_path / "piece.mp4")
    page.get_by_role("heading", name="Where piece.mp4 was taken from").wait_for()
    first = page.locator("#hits > li").first
    first.wait_for()
    assert first.locator(".name").text_content() == "clip2.mp4"
    end = first.locator(".time").text_content().split("–")[1]
    page.evaluate("document.getElementById('player-video').defaultPlaybackRate = 4")
    first.locator(".frame").click()
    page.get_by_text(f"Stopped at {end}, where this moment ends.").wait_for()
    minutes, seconds = end.split(":")
    at = page.evaluate("document.getElementById('player-video').currentTime")
    assert abs(at - (60 * int(minutes) + float(seconds))) <= 0.5


def focus_is(page: Any, selector: str) -> None:
    page.wait_for_function("selector => document.activeElement.matches(selector)", arg=selector)


def test_the_keyboard_alone_leads_from_the_start_to_the_moment(page, stack_url, indexed, archive, tmp_path):
    picture = tmp_path / "query.png"
    picture.write_bytes(base64.b64decode(frame_png(archive / "clip2.mp4", 3.25)))
    page.goto(stack_url)
    page.get_by_role("heading", name="Newest videos").wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "pick":
            break
    focus_is(page, "#pick")  # Enter would open the system's own dialogue, which is not the page's
    page.set_input_files("#pick", picture)
    focus_is(page, "#hits > li:first-child .frame")  # the chooser went, and its focus came to what was found
    whole = page.eval_on_selector_all("#hits > li", FRAMES)
    page.keyboard.press("End")
    focus_is(page, "#hits > li:last-child .frame")
    page.keyboard.press("g")
    marked = settled(page, whole)
    focus_is(page, f'#hits > li.good[data-frame="{whole[-1]}"] .frame')
    page.keyboard.press("g")
    assert settled(page, marked) == whole
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    focus_is(page, "#hits > li:nth-child(2) .frame")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('player-video').readyState >= 2")
    assert page.evaluate("document.getElementById('player-video').currentTime") >= 2.25
    assert page.locator("#player-title").text_content() == "clip2.mp4"
    page.keyboard.press("Escape")
    focus_is(page, "#hits > li:first-child .frame")
    page.keyboard.press("s")
    page.wait_for_url(f"**/#/search?frame={whole[0]}")


def test_a_box_marks_and_grouping_change_the_answer(page, stack_url, indexed, archive):
    drop(page, stack_url, frame_png(archive / "clip1.mp4", 1.25))
    whole = page.eval_on_selector_all("#hits > li", FRAMES)
    area = page.locator("#canvas").bounding_box()
    page.mouse.move(area["x"] + 4, area["y"] + 4)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.35, area["y"] + area["height"] * 0.4, steps=4)
    page.mouse.up()
    part = settled(page, whole)
    page.get_by_role("button", name="Whole picture").click()
    assert settled(page, part) == whole
    # The last hit is what is wanted, and the first is not.
    page.locator("#hits > li").last.get_by_role("button", name="More like").click()
    marked = settled(page, whole)
    assert marked.index(whole[-1]) < whole.index(whole[-1])
    page.locator(f'#hits > li[data-frame="{whole[0]}"]').get_by_role("button", name="Less like").click()
    refined = settled(page, marked)
    assert refined.index(whole[0]) > marked.index(whole[0])
    assert page.get_by_text("Ordered by 1 good hit and 1 bad hit").is_visible()
    page.get_by_role("button", name="Clear marks").click()
    assert settled(page, refined) == whole
    page.get_by_label("Best frame of each video only").check()
    settled(page, whole)
    names = page.locator("#hits .name").all_text_contents()
    assert sorted(names) == ["clip1.mp4", "clip2.mp4", "clip3.mp4"]


def test_the_report_of_an_evaluation_opens_from_the_page(page, stack_url, indexed, archive):
    rows = [
        f"{archive / f'clip{seed}.mp4'},{2 * part},{2 * part + 2},shot{part}"
        for seed in (1, 2, 3)
        for part in (0, 1, 2)
    ]
    truth = "\n".join(["video,start_s,end_s,concepts", *rows]) + "\n"
    page.goto(f"{stack_url}/#/activity")
    page.get_by_text("3 indexed · 1 failed").wait_for()
    with Client(stack_url) as client:
        client.evaluate(truth, top=(5,), name="painted <b>shots</b>")
        page.reload()
        page.get_by_role("heading", name="painted <b>shots</b>").wait_for()
        page.get_by_text(re.compile(r"MAP@5 [0-9.]+ %")).wait_for(timeout=INGEST_MS)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Report of painted").click()
    report = opened.value
    report.get_by_text("painted <b>shots</b>").first.wait_for()
    report.locator("svg.chart").first.wait_for()
    assert report.locator("img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_masks_lie_over_hits_and_concepts_can_be_browsed(page, stack_url, indexed):
    page.goto(stack_url)
    page.get_by_role("navigation", name="Browse").get_by_role("link").first.wait_for()
    concept = page.evaluate(
        """async () => {
            const found = await fetch("/v1/search", { method: "POST", headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ query: { code: "000000000000" }, top: 100 }) }).then((one) => one.json());
            return found.hits.flatMap((hit) => hit.concepts)[0]?.name;
        }"""
    )
    assert concept
    page.get_by_role("navigation", name="Browse").get_by_role("link", name=concept).click()
    page.get_by_role("heading", name=f"Frames with {concept}").wait_for()
    page.locator("#hits > li").first.wait_for()
    shares = [int(text.split()[0]) for text in page.locator("#hits .distance").all_text_contents()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0
    page.locator("#hits .frame").first.hover()
    mask = page.locator("#hits .frame .mask").first
    mask.wait_for()
    assert mask.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 100
    page.mouse.move(5, 5)
    page.wait_for_function("() => !document.querySelector('.mask')")


def test_a_source_that_moved_is_said(page, stack_url, indexed, archive):
    (archive / "clip3.mp4").rename(archive / "elsewhere.mp4")
    try:
        page.goto(f"{stack_url}/#/archive")
        page.get_by_role("button", name="Play clip3.mp4").click()
        page.get_by_text("is not an indexed file (any more)").wait_for()
    finally:
        (archive / "elsewhere.mp4").rename(archive / "clip3.mp4")


@pytest.fixture
def again(stack_url: str, tmp_path: Path) -> Iterator[Any]:
    """Give what uploads and indexes the first clip under another name; afterwards it, and all watches, are gone."""
    from encoder.clips import generate_clip

    generate_clip(tmp_path / "again.mp4", seed=1, seconds=6.0, size=(192, 108), fps=10)
    with Client(stack_url) as client:
        yield lambda: client.enqueue(client.upload(tmp_path / "again.mp4"), every_s=0.5).wait()
        for video in client.videos():
            if video.source.endswith("again.mp4"):
                client.delete_video(video.id)
        for watch in client.watches():
            client.unwatch(watch.id)


def test_a_part_of_a_picture_is_watched_for_found_in_what_comes_and_watched_for_no_more(
    page, stack_url, indexed, archive, again
):
    drop(page, stack_url, frame_png(archive / "clip1.mp4", 1.25))
    whole = page.eval_on_selector_all("#hits > li", FRAMES)
    page.get_by_role("button", name="Search a part").click()
    settled(page, whole)
    distance = int(page.locator("#hits .distance").first.text_content().split()[-1])
    page.get_by_role("button", name="Watch for this").click()
    page.get_by_label("Name", exact=True).fill("<img src=x onerror=alert(1)>")
    page.get_by_label("Up to distance").fill(str(distance + 8))
    page.get_by_label("Webhook").fill("https://desk.example/hits")
    page.get_by_role("button", name="Watch", exact=True).click()
    page.locator("#watch-error", has_text="desk.example").wait_for()  # this service sends nowhere, and says so
    page.get_by_label("Webhook").fill("")
    page.get_by_role("button", name="Watch", exact=True).click()
    page.get_by_role("link", name="Show watches").click()
    page.get_by_role("heading", name="<img src=x onerror=alert(1)>").wait_for()
    page.wait_for_function("() => document.querySelector('.watch .examples img')?.naturalWidth > 0")
    page.locator(".find.new").first.wait_for()
    assert set(page.locator(".find .name").all_text_contents()) <= {"clip1.mp4", "clip2.mp4", "clip3.mp4"}
    again()
    page.locator(".find.new .name", has_text="again.mp4").first.wait_for()  # by itself
    page.get_by_role("link", name="Search with again.mp4").first.click()
    page.wait_for_url("**/#/search?frame=*")
    page.locator("#hits .name", has_text="again.mp4").first.wait_for()
    page.get_by_role("link", name="Watches").click()
    page.get_by_role("button", name="Delete <img").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("heading", name="Nothing is watched for yet").wait_for()
