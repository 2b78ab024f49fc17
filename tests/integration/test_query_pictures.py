"""Query pictures: those that arrive together are encoded together, and a model of three windows uses all three."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S, wait_until
from numpy.typing import NDArray
from PIL import Image as PilImage
from stored_gallery import fill_video

from encoder.codes import code_to_hex
from encoder.fitting import fit_hasher, hasher_manifest
from encoder.hashers import create_hasher
from encoder.model import Model, load_model, save_model
from encoder.model_card import model_card
from encoder.scaling import Image, scale_short_side
from encoder.transforms import Transform
from encoder.trunks import create_trunk
from hashreel.errors import BadInputError
from hashreel.schemas import Query, SearchRequest
from hashreel.settings import Settings
from indexer.chunks import Chunk
from indexer.store import Store
from search.engine import SearchEngine
from search.galleries import facts_of
from search.picture_batches import PictureBatches


def pictures(count: int, seed: int) -> list[Image]:
    """Return wide pictures of random coarse blocks."""
    rng = np.random.default_rng(seed)
    shapes = [(rng.integers(3, 5), rng.integers(6, 12), 3) for _ in range(count)]
    return [np.kron(rng.integers(0, 256, shape), np.ones((16, 16, 1))).astype(np.uint8) for shape in shapes]


def as_png(picture: Image) -> str:
    buffer = io.BytesIO()
    PilImage.fromarray(picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that looks at three windows of a picture."""
    path = tmp_path_factory.mktemp("three")
    trunk, transform, hasher = create_trunk("efficientnet-lite0"), Transform("three", 64), create_hasher("itq", 16)
    network = fit_hasher(hasher, trunk, transform, pictures(20, seed=1))
    manifest = hasher_manifest("three", hasher, trunk, transform, data=[], training={"seed": 0})
    save_model(path, manifest, network, model_card(manifest))
    return path


class Held:
    """A model whose network waits for a sign, and remembers how many pictures each pass had."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.go = threading.Event()
        self.passes: list[int] = []

    def outputs(self, images: Sequence[Image]) -> NDArray[np.float32]:
        self.passes.append(len(images))
        assert self.go.wait(WAIT_S)
        return self._model.outputs(images)

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)


@pytest.fixture
def open_engine(store: Store, tmp_path: Path) -> Iterator[Callable[[object], SearchEngine]]:
    engines: list[SearchEngine] = []

    def make(model: object) -> SearchEngine:
        settings = Settings(data=tmp_path, index="flat", consistency_wait_ms=int(1000 * WAIT_S))
        engines.append(SearchEngine(store, settings, lambda _: model))  # type: ignore[arg-type, return-value]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def store_frames(store: Store, model: Model, images: Sequence[Image]) -> None:
    generation = store.ensure_collection("main", model=model.name, **facts_of(model))
    codes = np.concatenate([model.encode([image]) for image in images])
    times = (1000 * np.arange(len(images))).astype(np.uint32)
    fill_video(store, generation, [Chunk(times, codes, None, model.bits, model.fingerprint)])


def test_pictures_that_arrive_together_are_encoded_together(
    store: Store, open_engine: Callable[[object], SearchEngine], folder: Path
) -> None:
    model = load_model(folder, device="cpu", threads=1)
    held = Held(model)
    store_frames(store, model, pictures(4, seed=2))
    engine, asked = open_engine(held), pictures(6, seed=3)
    batches = engine._batches_of(store.collection("main"), held)  # type: ignore[arg-type]
    with ThreadPoolExecutor(len(asked)) as pool:
        requests = [SearchRequest(query=Query(image=as_png(picture)), top=4) for picture in asked]
        first = pool.submit(engine.search, requests[0])
        wait_until(lambda: held.passes == [1], "the first pass")
        rest = [pool.submit(engine.search, request) for request in requests[1:]]
        wait_until(lambda: len(batches) == 5, "five pictures that wait")
        held.go.set()
        answers = [future.result() for future in [first, *rest]]
    assert held.passes == [1, 5]
    alone = [model.encode([scale_short_side(picture, 64)])[0] for picture in asked]
    assert [answer.code for answer in answers] == [code_to_hex(code) for code in alone]


def test_one_picture_that_cannot_be_encoded_costs_its_neighbours_nothing() -> None:
    go, passes = threading.Event(), []

    def encode(images: Sequence[Image]) -> NDArray[np.float32]:
        passes.append(len(images))
        assert go.wait(WAIT_S)
        if any(image.size == 0 for image in images):
            raise BadInputError("a picture without pixels")
        return np.array([[image[0, 0, 0]] for image in images], np.float32)

    batches = PictureBatches(encode, largest=3)
    images = [np.full((1, 1, 3), value, np.uint8) for value in range(5)]
    images[2] = np.empty((0, 1, 3), np.uint8)
    with ThreadPoolExecutor(len(images)) as pool:
        futures = [pool.submit(batches.outputs, images[0])]
        wait_until(lambda: passes == [1], "the first pass")
        for number, image in enumerate(images[1:], start=1):
            futures.append(pool.submit(batches.outputs, image))
            wait_until(lambda number=number: len(batches) == number, "a place in the line")  # type: ignore[misc]
        go.set()
        with pytest.raises(BadInputError, match="without pixels"):
            futures[2].result()
        assert [float(futures[n].result()[0]) for n in (0, 1, 3, 4)] == [0, 1, 3, 4]
    assert max(passes) == 3


def test_a_model_of_three_windows_searches_with_all_of_them(
    store: Store, open_engine: Callable[[object], SearchEngine], folder: Path
) -> None:
    model = load_model(folder, device="cpu", threads=1)
    frames = pictures(30, seed=4)
    store_frames(store, model, frames)
    engine = open_engine(model)

    def code_of(picture: Image) -> list[bool]:
        """Average the outputs of the windows at the start, the centre and the end, each by itself."""
        scaled = scale_short_side(picture, 64)
        room = scaled.shape[1] - 64
        windows = [np.ascontiguousarray(scaled[:, x : x + 64]) for x in (0, room // 2, room)]
        outputs = [model.runtime.run(window[None]).outputs[0] for window in windows]
        return [bool(bit) for bit in np.mean(outputs, axis=0) >= 0.5]

    stored = [code_of(frame) for frame in frames]
    for picture in [*pictures(6, seed=5), frames[7]]:
        wanted = code_of(picture)
        distances = [sum(a != b for a, b in zip(wanted, code, strict=True)) for code in stored]
        expected = sorted((distance, (1 << 32) + place) for place, distance in enumerate(distances))
        answer = engine.search(SearchRequest(query=Query(image=as_png(picture)), top=30))
        assert [(hit.distance, int(hit.frame_id)) for hit in answer.hits] == expected
    first = model.encode_crops([frames[7]])[0]
    assert len({code.tobytes() for code in first}) > 1  # the windows differ, so that one of them would not do
