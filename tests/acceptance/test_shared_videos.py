"""The main path on real clips: damaged ones end with a reason, every shot of the films is found again."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from encoder.pictures import encode_jpeg
from encoder.scaling import resize
from encoder.video import grab_frame
from hashreel import Client

FRAME_RATE = 24.0
STEP_S = 0.5


@dataclass(frozen=True)
class Stretch:
    """A shot of a film; ``clip`` names what it was cut from."""

    film: str
    start_ms: float
    end_ms: float
    clip: str

    def covers(self, film: str, time_ms: int, slack_ms: float) -> bool:
        return film == self.film and self.start_ms - slack_ms <= time_ms <= self.end_ms + slack_ms


def read_shots(path: Path) -> list[Stretch]:
    with path.open() as file:
        return [
            Stretch(
                row["video"],
                1000 * int(row["first_frame"]) / FRAME_RATE,
                1000 * (int(row["first_frame"]) + int(row["frames"])) / FRAME_RATE,
                row["clip"],
            )
            for row in csv.DictReader(file)
        ]


def test_every_real_and_odd_file_ends_with_an_outcome(client: Client, shared: Path) -> None:
    folders = [shared / "videos" / "real", shared / "videos" / "odd"]
    files = [path for folder in folders for path in folder.iterdir()]
    job = client.enqueue(folders, tags={"set": "odd"}).wait(timeout_s=280)
    counts = job.counts
    assert counts.total == len(files) == counts.indexed + counts.failed
    failures = list(client.failures(job=job.id))
    failed = {Path(failure.source).name for failure in failures if not failure.partial}
    assert failed == {"empty.mp4", "random_bytes.mp4"}
    assert "corrupted.mp4" in {Path(failure.source).name for failure in failures if failure.partial}
    videos = {Path(v.source).name: v for v in client.videos(tags={"set": "odd"})}
    assert all(videos[path.name].frames > 0 for path in files if path.name not in failed)


def test_the_middle_of_every_shot_is_found_again(client: Client, shared: Path, artifacts: Path) -> None:
    folder = shared / "videos" / "compiled"
    shots = read_shots(folder / "shots.csv")
    job = client.enqueue(sorted(folder.glob("*.mp4")), every_s=STEP_S, tags={"set": "films"}).wait(timeout_s=280)
    assert job.counts.indexed == 5
    misses = []
    for shot in shots:
        middle_ms = round((shot.start_ms + shot.end_ms) / 2)
        query = grab_frame(folder / shot.film, middle_ms)
        hit = client.search(encode_jpeg(query.image, 95), top=1, tags={"set": "films"})[0]
        film = Path(hit.source).name
        is_near = film == shot.film and abs(hit.time_ms - query.time_ms) <= 1000
        is_same_clip = any(s.clip == shot.clip and s.covers(film, hit.time_ms, 0) for s in shots)
        if not is_near and not is_same_clip:
            misses.append(
                f"{shot.film} at {query.time_ms} ms ({shot.clip}): {film} at {hit.time_ms} ms, {hit.distance}"
            )
            found = resize(grab_frame(hit.source, hit.time_ms).image, query.image.shape[1], query.image.shape[0])
            side_by_side = np.concatenate([query.image, found], axis=1)
            (artifacts / f"miss-{len(misses)}.jpg").write_bytes(encode_jpeg(side_by_side))
    print(f"{len(shots) - len(misses)} of {len(shots)} found", *misses, sep="\n")
    assert len(shots) == 30
    assert len(misses) <= 3, "\n".join(misses)


@pytest.fixture
def artifacts(request: pytest.FixtureRequest) -> Path:
    folder = request.config.rootpath / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder
