"""An evaluation of a live collection through everything: the numbers of the plain computation, offline ones, a page."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from evaluation_truths import (
    Stretches,
    make_labelled_clips,
    numbers_of,
    numbers_of_run,
    plain_run,
    stretches_of,
    truth_text,
)

from hashreel import Client
from hashreel.errors import BadInputError
from hashreel.processes import python_command
from hashreel.stack import running_redis

FRAME_RATE = 24.0
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def stored(stack_url: str, stack_folder: Path) -> Iterator[redis.Redis]:
    """Return a connection to the stack's Redis."""
    client = redis.Redis.from_url(running_redis(stack_folder)["redis_url"])
    yield client
    client.close()


@pytest.fixture(scope="module")
def labelled(stack_url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stretches]:
    """Return the folder and the truth of clips that are indexed in a collection of their own."""
    folder = tmp_path_factory.mktemp("labelled")
    stretches = stretches_of(make_labelled_clips(folder, 4))
    with Client(stack_url) as client:
        client.create_collection("labelled")
        job = client.enqueue(folder, every_s=0.5, collection="labelled").wait(timeout_s=120)
    assert job.counts.indexed == 4
    return folder, stretches


def generation_of(client: Client, name: str) -> str:
    return next(collection.generation for collection in client.collections() if collection.name == name)


def run_cli(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(python_command(*arguments), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def run_of(document: dict[str, Any]) -> dict[str, Any]:
    return numbers_of(document["runs"][0][0])


def test_live_collection_scores_what_its_codes_score(
    client: Client, stored: redis.Redis, labelled: tuple[Path, Stretches], tmp_path: Path
) -> None:
    folder, stretches = labelled
    truth = tmp_path / "truth.csv"
    truth.write_text(truth_text(stretches))
    seen: list[str] = []
    job = client.evaluate(truth, top=(3, 10), collection="labelled", name="live")
    job.wait(progress=lambda model: seen.append(model.state), timeout_s=120)
    assert seen[-1] == "done", job.model.problem
    assert job.model.fingerprint == client.search("code:" + "00" * 6, top=1).fingerprint
    expected = plain_run(stored, generation_of(client, "labelled"), stretches, top=(3, 10))
    assert run_of(job.result) == numbers_of_run(expected)
    # The same from files alone, without any service.
    offline = run_cli(
        *("evaluate", str(truth), "--offline", "default", "--videos", str(folder), "--every", "0.5s"),
        *("--top", "3", "--top", "10", "--json"),
    )
    assert run_of(json.loads(offline.stdout)) == numbers_of_run(expected)


def test_command_writes_reports_and_compares(
    stack_url: str, labelled: tuple[Path, Stretches], tmp_path: Path, browser_page: Any
) -> None:
    _, stretches = labelled
    truth = tmp_path / "truth.csv"
    truth.write_text(truth_text(stretches))
    common = ("evaluate", str(truth), "--collection", "labelled", "--url", stack_url)
    files = {name: tmp_path / f"report.{name}" for name in ("html", "csv", "markdown")}
    options = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    first = run_cli(*common, *options)
    assert "map@10:minKR" in first.stdout
    assert "## " in files["markdown"].read_text()
    assert files["csv"].read_text().startswith("arm,")
    number = first.stderr.split()[1]
    second = run_cli(*common, "--against", number, "--queries-per-concept", "50")
    assert "map@10:minKR: difference +0.0000" in second.stdout

    browser_page.goto(files["html"].as_uri())
    loaded = browser_page.eval_on_selector_all("img", "all => all.map(i => i.complete && i.naturalWidth === 160)")
    assert len(loaded) >= 20
    assert all(loaded)
    browser_page.goto(f"{stack_url}/v1/evaluations/{number}/report")
    assert browser_page.eval_on_selector_all("img", "all => all.filter(i => i.naturalWidth === 160).length") == len(
        loaded
    )
    assert browser_page.locator("svg.chart .line0").count() == 2 * 4


@pytest.fixture
def browser_page() -> Iterator[Any]:
    """Return a page of a real browser; blocked content and script errors fail the test."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        yield page
        browser.close()
        assert troubles == []


def test_wrong_truths_are_refused_with_their_rows(stack_url: str, client: Client, tmp_path: Path) -> None:
    wrong = "video,start_s,end_s,concepts\na.mp4,0,5,sea\na.mp4,9,7,sea\n"
    with pytest.raises(BadInputError, match=r"row 3: end_s 7\.0 is not after start_s 9\.0"):
        client.evaluate(wrong)
    file = tmp_path / "shots.csv"
    file.write_text("video,first_frame,frames,clip,tags\na.mp4,0,x,c,sea\n")
    done = run_cli("evaluate", str(file), "--frame-rate", "24", "--url", stack_url, code=1)
    assert "shots.csv" in done.stderr
    assert "row 2" in done.stderr


def test_videos_that_are_not_indexed_end_the_evaluation_by_name(
    stack_url: str, client: Client, labelled: tuple[Path, Stretches], tmp_path: Path
) -> None:
    file = tmp_path / "truth.csv"
    file.write_text("video,concepts\nclip 0.mp4,sea\nsomewhere else.mp4,sea\n")
    job = client.evaluate(file, collection="labelled").wait(timeout_s=120)
    with pytest.raises(BadInputError, match=r"'somewhere else\.mp4' is not in the collection"):
        _ = job.result
    done = run_cli("evaluate", str(file), "--collection", "labelled", "--url", stack_url, code=1)
    assert "somewhere else.mp4" in done.stderr


def test_the_films_of_the_shared_folder(client: Client, stored: redis.Redis, shared: Path) -> None:
    folder = shared / "videos" / "compiled"
    client.create_collection("films")
    job = client.enqueue(sorted(folder.glob("*.mp4")), every_s=0.5, collection="films").wait(timeout_s=280)
    assert job.counts.indexed == 5
    evaluation = client.evaluate(folder / "shots.csv", frame_rate=FRAME_RATE, collection="films", exclude="video")
    evaluation.wait(timeout_s=200)
    stretches = film_stretches(folder / "shots.csv")
    expected = plain_run(stored, generation_of(client, "films"), stretches, by_video=True)
    assert run_of(evaluation.result) == numbers_of_run(expected)
    primary = next(row for row in evaluation.result["overall"] if row["metric"] == "map@10:minKR")
    print({name: round(primary[name], 4) for name in ("macro", "lower", "upper", "chance")})
    assert primary["macro"] > primary["chance"] + 0.1
    assert evaluation.report("html").count("data:image/jpeg") >= 40


def film_stretches(path: Path) -> Stretches:
    """Return the shots with their tags, each from half a frame before its first frame to half after its last."""
    stretches: dict[str, list[tuple[float, float, list[str]]]] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            first, frames = int(row["first_frame"]), int(row["frames"])
            start = round(max(0.0, (first - 0.5) / FRAME_RATE) * 1000)
            end = round((first + frames - 0.5) / FRAME_RATE * 1000)
            stretches.setdefault(row["video"], []).append((start, end, row["tags"].split()))
    return stretches
