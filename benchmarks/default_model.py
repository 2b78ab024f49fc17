"""Models on content that none was trained on: shots of films, near duplicates, scenes.

    python -m benchmarks.default_model --data DATA MODEL ...

DATA holds videos/compiled with shots.csv, videos/real, and scenes6/test. For every model these figures:

- shots: the middle frame of each shot against frames every 0.5 s of all films but its own neighbourhood (±1 s);
  right if the nearest code belongs to a stretch with the same clip. Beside it the mean distance of unrelated frames.
- duplicates: frames of real clips, greyed, with bars, a logo, cropped by a tenth, at half size, against all the
  originals; right if the nearest code is the frame itself or another of the same clip.
- boxes: parts of the same frames, 40 to 80 % of each side (seed 0), against the whole originals, right likewise; the
  part as it is, grown to the smallest square, or in place with the rest grey.
- scenes: MAP@10 over min(K, R), tie-aware, every picture of scenes6/test as a query against the others.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from encoder.codes import hamming_distances
from encoder.data.labels import read_class_folders
from encoder.model import Model, load_model
from encoder.pictures import crop_box, crop_square
from encoder.scaling import resize
from search.evaluation import expected_average_precision

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]

STEP = 12
FRAMES_PER_CLIP = 6
BARS = 0.12
CROP = 0.1


def main() -> None:
    """Print one JSON line a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("models", nargs="+", help="names or model directories")
    options = parser.parse_args()
    for name in options.models:
        model = load_model(name, device="cpu")
        figures = {"model": model.name, "bits": model.bits, "transform": model.transform.to_json()}
        figures |= score_shots(model, options.data / "videos" / "compiled")
        figures |= score_duplicates(model, options.data / "videos" / "real")
        figures |= score_scenes(model, options.data / "scenes6" / "test")
        print(json.dumps(figures), flush=True)


def score_shots(model: Model, folder: Path) -> dict[str, float]:
    """Return how many shots are found and how far unrelated frames lie apart."""
    with (folder / "shots.csv").open() as file:
        shots = list(csv.DictReader(file))
    frames: list[tuple[str, int, str]] = []
    images: list[Image] = []
    middles = {(s["video"], int(s["first_frame"]) + int(s["frames"]) // 2): s["clip"] for s in shots}
    for film in sorted({shot["video"] for shot in shots}):
        for number, image in enumerate(read_frames(folder / film)):
            if number % STEP == 0 or (film, number) in middles:
                frames.append((film, number, clip_at(shots, film, number)))
                images.append(image)
    distances = hamming_distances(*(codes := model.encode(images), codes))
    right = asked = 0
    unrelated: list[int] = []
    for query, (film, number, clip) in enumerate(frames):
        if (film, number) not in middles:
            continue
        far = [
            i
            for i, (other, place, _) in enumerate(frames)
            if place % STEP == 0 and not (other == film and abs(place - number) <= 2 * STEP)
        ]
        unrelated += [int(distances[query, i]) for i in far if frames[i][2] != clip]
        if any(frames[i][2] == clip for i in far):
            asked += 1
            right += frames[far[int(distances[query, far].argmin())]][2] == clip
    return {"shots": right / asked, "unrelated_bits": float(np.mean(unrelated))}


def clip_at(shots: list[dict[str, str]], film: str, number: int) -> str:
    """Return which clip a film shows at a frame."""
    for shot in shots:
        first = int(shot["first_frame"])
        if shot["video"] == film and first <= number < first + int(shot["frames"]):
            return shot["clip"]
    return ""


def score_duplicates(model: Model, folder: Path) -> dict[str, float]:
    """Return, for each change, the share of frames whose nearest original is of the same clip."""
    clips: list[str] = []
    images: list[Image] = []
    for path in sorted(folder.iterdir()):
        kept = list(read_frames(path))
        chosen = np.linspace(0, len(kept) - 1, FRAMES_PER_CLIP).round().astype(int)
        images += [kept[i] for i in chosen]
        clips += [path.stem] * len(chosen)
    originals = model.encode(images)
    names = np.array(clips)
    scores = {}
    for change, apply in CHANGES.items():
        distances = hamming_distances(model.encode([apply(image) for image in images]), originals)
        scores[f"duplicates_{change}"] = float((names[distances.argmin(axis=1)] == names).mean())
    boxes = [draw_box(np.random.default_rng((0, i))) for i in range(len(images))]
    for handling, cut in BOX_HANDLINGS.items():
        parts = [cut(image, box) for image, box in zip(images, boxes, strict=True)]
        nearest = hamming_distances(model.encode(parts), originals).argmin(axis=1)
        scores[f"boxes_{handling}"] = float((names[nearest] == names).mean())
    return scores


def score_scenes(model: Model, folder: Path) -> dict[str, float]:
    """Return MAP@10 over min(K, R) with ties in expectation."""
    data = read_class_folders(folder)
    codes = model.encode([data.read(i) for i in range(len(data))])
    labels = data.targets.argmax(axis=1)
    scores = []
    for query in range(len(codes)):
        others = np.arange(len(codes)) != query
        distances = hamming_distances(codes[query : query + 1], codes[others])[0]
        relevant = labels[others] == labels[query]
        items = np.bincount(distances, minlength=model.bits + 1)
        found = np.bincount(distances[relevant], minlength=model.bits + 1)
        groups = [(int(n), int(r)) for n, r in zip(items, found, strict=True) if n]
        scores.append(expected_average_precision(groups, 10, "minKR", int(relevant.sum())))
    return {"scenes_map10": float(np.mean(scores))}


def read_frames(path: Path) -> Iterator[Image]:
    """Yield the frames of a video, uint8 [h, w, 3]."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def grey(image: Image) -> Image:
    """Return the picture without colour."""
    luma = (image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=2)


def bars(image: Image) -> Image:
    """Return the picture with black bars above and below."""
    result = image.copy()
    height = int(len(image) * BARS)
    result[:height] = result[-height:] = 0
    return result


def logo(image: Image) -> Image:
    """Return the picture with a white disc in a corner."""
    result = image.copy()
    radius = min(image.shape[:2]) // 8
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    result[(y - 2 * radius) ** 2 + (x - image.shape[1] + 2 * radius) ** 2 <= radius**2] = 255
    return result


def crop(image: Image) -> Image:
    """Return the inner part of the picture."""
    height, width = (int(side * CROP) for side in image.shape[:2])
    return np.ascontiguousarray(image[height:-height, width:-width])


def half(image: Image) -> Image:
    """Return the picture at half size."""
    return resize(image, max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))


def draw_box(rng: np.random.Generator) -> Box:
    """Return a box (x, y, w, h) relative to a picture's sides."""
    w, h = rng.uniform(0.4, 0.8, 2)
    return rng.uniform(0, 1 - w), rng.uniform(0, 1 - h), w, h


def in_place(image: Image, box: Box) -> Image:
    """Return the picture with everything outside a box grey."""
    height, width = image.shape[:2]
    part = crop_box(image, box)
    top, left = int(box[1] * height), int(box[0] * width)
    result = np.full_like(image, 128)
    result[top : top + part.shape[0], left : left + part.shape[1]] = part
    return result


BOX_HANDLINGS: dict[str, Callable[[Image, Box], Image]] = {
    "part": crop_box,
    "square": crop_square,
    "in_place": in_place,
}
CHANGES: dict[str, Callable[[Image], Image]] = {"grey": grey, "bars": bars, "logo": logo, "crop": crop, "half": half}


if __name__ == "__main__":
    main()
