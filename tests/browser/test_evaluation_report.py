"""The report page of an evaluation in a real browser, opened as a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import evaluation_cases as cases
import numpy as np
import pytest

from search.evaluation import Arm, Example, ExampleHit, Metric, choose_examples, make_report, report_to_html

WIDTHS = (1280, 400)


def picture(colour: tuple[int, int, int]) -> bytes:
    """Return a small JPEG of one colour."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    stream = io.BytesIO()
    image.fromarray(np.full((60, 80, 3), colour, dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    good, bad = cases.random_run("good", 0, noise=0.1), cases.random_run("bad", 0, noise=0.4)
    examples = [
        Example(
            choice.concept,
            good.query_keys[choice.query],
            choice.kind,
            choice.score,
            (ExampleHit("red", 3, True), ExampleHit("blue", 5, False), ExampleHit("lost", 6, False)),
        )
        for choice in choose_examples(good, Metric("map", 10, "minKR"), 1)
    ]
    pictures = {"red": picture((200, 30, 30)), "blue": picture((30, 30, 200))}
    pictures |= {example.query_key: picture((30, 160, 30)) for example in examples}
    made = make_report(Arm("Proposed", (good,)), Arm("Baseline", (bad,)), examples=examples, resamples=100)
    file = tmp_path / "report.html"
    file.write_text(report_to_html(made, pictures), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_shows_tables_curves_and_pictures_and_asks_for_nothing(browser: Any, report_file: Path, width: int):
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report_file.as_uri())
    try:
        assert problems == []
        assert [url for url in requests if not url.startswith("data:")] == [report_file.as_uri()]
        loaded = page.eval_on_selector_all("img", "all => all.map(i => i.complete && i.naturalWidth === 80)")
        assert loaded == [True] * (3 * len(cases.CONCEPTS) * 2)
        assert page.locator("svg.chart .line0").count() == 2 * 4
        assert page.locator("b", has_text="%").first.is_visible()
        # Wide tables scroll in their own frame; the page itself does not.
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert len(np.unique(_pixels(page.screenshot(full_page=True)))) > 50
    finally:
        page.close()


def _pixels(png: bytes) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    # One number a colour: rows of three are slow to tell apart.
    return np.asarray(image.open(io.BytesIO(png)).convert("RGBA")).view(np.uint32).ravel()
