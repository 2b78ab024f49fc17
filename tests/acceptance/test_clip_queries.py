"""A clip in, the stretch it was cut from out: over HTTP, both clients, the command line; on painted and real films."""

from __future__ import annotations

import asyncio
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from command_line import run_cli
from cuts import VARIANTS, recut

from encoder.video import probe
from hashreel import AsyncClient, Client
from hashreel.client import Stretch
from hashreel.errors import BadInputError, DecodeError

FRAME_RATE = 24.0
VARIANT_S = 3.0
TAGS = {"set": "clip queries"}


@pytest.fixture(scope="module")
def films(stack_url: str, painted: list[Path]) -> list[Path]:
    with Client(stack_url) as client:
        job = client.enqueue(painted, every_s=0.5, tags=TAGS, again=True).wait(timeout_s=120)
    assert job.counts.indexed == len(painted)
    return painted


@pytest.fixture(scope="module")
def clip(films: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 3.3 s of the second film, 10 % faster and re-encoded."""
    target = tmp_path_factory.mktemp("cut") / "Ausschnitt ü.mp4"
    return recut(films[1], target, start_s=1.2, length_s=3.3, speed=1.1, crf=28)


def overlap(stretch: Stretch, start_ms: float, end_ms: float) -> float:
    common = min(stretch.end_ms, end_ms) - max(stretch.start_ms, start_ms)
    return max(0.0, common) / (max(stretch.end_ms, end_ms) - min(stretch.start_ms, start_ms))


def test_a_clip_finds_its_stretch(client: Client, stack_url: str, films: list[Path], clip: Path) -> None:
    found = client.search_clip(clip, top=3, tags=TAGS)
    best = found[0]
    assert Path(best.source).name == films[1].name
    assert overlap(best, 1200, 4500) >= 0.6
    assert (best.clip_start_ms, best.clip_end_ms) == pytest.approx((0, 3000), abs=600)
    assert found.answer.clip_ms == pytest.approx(3000, abs=200)
    assert [s.score for s in found] == sorted((s.score for s in found), reverse=True)
    assert f"{best.frame_id}" in {h.frame_id for h in client.search(f"frame:{best.frame_id}", top=1)}

    async def again() -> list[Stretch]:
        async with AsyncClient(stack_url) as other:
            return await other.search_clip(clip, top=3, tags=TAGS)

    assert asyncio.run(again()) == list(found)
    printed = json.loads(
        run_cli("search", f"clip:{clip}", "--top", "3", "--tag", "set=clip queries", "--json", "--url", stack_url)
    )
    assert printed["stretches"] == [s.model_dump() for s in found]
    lines = run_cli("search", f"clip:{clip}", "--csv", "--tag", "set=clip queries", "--url", stack_url).splitlines()
    assert lines[0].startswith("rank,score")
    assert lines[1].split(",")[5:7] == [str(best.start_ms), str(best.end_ms)]


def test_filters_of_a_clip_query(client: Client, films: list[Path], clip: Path) -> None:
    best = client.search_clip(clip, tags=TAGS)[0]
    others = client.search_clip(clip, exclude_video=best.video, tags=TAGS)
    assert all(s.video != best.video for s in others)
    assert client.search_clip(clip, tags={"set": "none"}) == []
    assert client.search_clip(clip, top=0) == []
    late = client.search_clip(clip, videos=[best.video], between=(3.0, 60.0))
    assert late
    assert all(s.frames <= 4 for s in late)  # nothing before the third second was looked at


def test_what_is_no_clip_is_refused_with_reasons(client: Client, stack_url: str, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video\n" * 50)
    with pytest.raises(DecodeError):
        client.search_clip(text)
    with pytest.raises(BadInputError, match="no file"):
        client.search_clip(tmp_path / "missing.mp4")
    with pytest.raises(BadInputError, match="top"):
        client.search_clip(text, top=-1)
    with httpx.Client(base_url=stack_url, trust_env=False) as http:
        empty = http.post("/v1/search/clip", content=b"")
        assert (empty.status_code, "empty" in empty.json()["detail"]) == (422, True)
        unknown = http.post("/v1/search/clip?colour=red", content=b"x")
        assert (unknown.status_code, "colour" in unknown.text) == (422, True)
        form = http.post("/v1/search/clip", files={"clip": text.read_bytes()})
        assert form.status_code == 422
        assert form.headers["content-type"] == "application/problem+json"
    run_cli("search", f"clip:{text}", "--box", "0,0,1,1", "--url", stack_url, code=2)


# Real films. The index is made by the default policy: a frame a second.


@dataclass(frozen=True)
class Cut:
    film: str
    start_s: float
    length_s: float
    speed: float
    clips: frozenset[str]


def read_shots(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def bounds_ms(shot: dict[str, str]) -> tuple[float, float]:
    first, frames = int(shot["first_frame"]), int(shot["frames"])
    return 1000 * first / FRAME_RATE, 1000 * (first + frames) / FRAME_RATE


def draw_cuts(shots: list[dict[str, str]], seed: int, count: int = 20) -> list[Cut]:
    """Draw cuts of 3 to 8 s that begin inside a random shot; every second one is to be 10 % faster."""
    rng = np.random.default_rng(seed)
    cuts = []
    for number in range(count):
        shot = shots[rng.integers(len(shots))]
        length_ms = rng.uniform(3000, 8000)
        start_ms, shot_end_ms = bounds_ms(shot)
        end_ms = max(bounds_ms(other)[1] for other in shots if other["video"] == shot["video"])
        begin_ms = max(0.0, min(rng.uniform(start_ms, shot_end_ms), end_ms - length_ms))
        inside = frozenset(
            other["clip"]
            for other in shots
            if other["video"] == shot["video"]
            and bounds_ms(other)[0] < begin_ms + length_ms
            and bounds_ms(other)[1] > begin_ms
        )
        cuts.append(Cut(shot["video"], begin_ms / 1000, length_ms / 1000, 1.1 if number % 2 else 1.0, inside))
    return cuts


def is_right(cut: Cut, stretch: Stretch, shots: list[dict[str, str]]) -> bool:
    """Whether a stretch is the cut's own, or a whole shot elsewhere of a clip that stands in the cut."""
    film = Path(stretch.source).name
    if film == cut.film:
        return overlap(stretch, 1000 * cut.start_s, 1000 * (cut.start_s + cut.length_s)) >= 0.6
    same = [shot for shot in shots if shot["video"] == film and shot["clip"] in cut.clips]
    return any(overlap(stretch, *bounds_ms(shot)) >= 0.6 for shot in same)


@pytest.mark.full
@pytest.mark.shared
@pytest.mark.timeout(900)
def test_cuts_of_real_films_are_found(client: Client, shared: Path, tmp_path: Path) -> None:
    folder = shared / "videos" / "compiled"
    shots = read_shots(folder / "shots.csv")
    client.create_collection("cuts")
    client.enqueue(sorted(folder.glob("*.mp4")), collection="cuts").wait(timeout_s=300)
    report, right, own = [], 0, 0
    for number, cut in enumerate(draw_cuts(shots, seed=0)):
        path = tmp_path / f"{number}.mp4"
        recut(folder / cut.film, path, start_s=cut.start_s, length_s=cut.length_s, speed=cut.speed, scale=0.5, crf=35)
        found = client.search_clip(path, top=1, collection="cuts")
        right += bool(found) and is_right(cut, found[0], shots)
        own += bool(found) and Path(found[0].source).name == cut.film
        report.append(f"{cut} -> {found[0] if found else None}")
    print(f"{right} of 20 right, {own} of them in the film of the cut", *report, sep="\n")
    assert right >= 18, "\n".join(report)


@pytest.mark.full
@pytest.mark.shared
@pytest.mark.timeout(1800)
def test_variants_of_real_videos_find_the_right_one(client: Client, shared: Path, tmp_path: Path) -> None:
    sources = sorted((shared / "videos" / "real").iterdir())
    client.create_collection("real")
    client.enqueue(sources, collection="real").wait(timeout_s=600)
    wrong, asked = [], 0
    for source in sources:
        third_s = probe(source).duration_ms / 3000
        for name, options in VARIANTS.items():
            target = tmp_path / f"{source.stem}-{name}.mp4"
            path = recut(source, target, start_s=third_s, length_s=VARIANT_S, **options)  # type: ignore[arg-type]
            found = client.search_clip(path, top=1, collection="real")
            asked += 1
            if not found or Path(found[0].source).name != source.name:
                wrong.append(f"{path.name} -> {Path(found[0].source).name if found else None}")
            path.unlink()
    print(f"{asked - len(wrong)} of {asked} found first", *wrong, sep="\n")
    assert len(wrong) <= 0.05 * asked, wrong
