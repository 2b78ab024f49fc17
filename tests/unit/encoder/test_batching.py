"""Pictures of several threads through one network: the codes they have alone, whatever the others do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from gallery_mirror import wait_until
from numpy.typing import NDArray

from encoder.analysis import Analysis
from encoder.batching import Batcher
from encoder.model import Model, load_model
from encoder.runtime import RawOutput
from encoder.transforms import Transform
from hashreel.errors import BadInputError, UnavailableError

SIZE = 8
LONG_S = 60.0


class StepRuntime:
    """A network that adds up pixels, in batches that a test lets through one by one."""

    name, runs_side_by_side = "step-cpu", True

    def __init__(self, batch_size: int = 4, ahead: int = 0) -> None:
        self.batch_size, self.ahead = batch_size, ahead
        self.steps = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.launched = 0
        self.error: Exception | None = None

    def start(self, pixels: NDArray[np.uint8]) -> Callable[[], RawOutput]:
        self.sizes.append(len(pixels))
        self.launched += 1
        error, self.error = self.error, None

        def wait() -> RawOutput:
            assert self.steps.acquire(timeout=LONG_S)
            if error is not None:
                raise error
            return RawOutput(pixels.reshape(len(pixels), -1)[:, :8].astype(np.float32) / 255, None)

        return wait

    def let_through(self, count: int = 10_000) -> None:
        self.steps.release(count)


class StepModel:
    """The part of a model that a batcher uses."""

    bits = 8

    def __init__(self, runtime: StepRuntime, kind: str = "centre") -> None:
        self.runtime, self.transform = runtime, Transform(kind, SIZE)  # type: ignore[arg-type]

    prepare = Model.prepare
    read = Model.read


def picture(number: int) -> NDArray[np.uint8]:
    return np.full((SIZE, SIZE, 3), number, np.uint8)


def batcher(runtime: StepRuntime, *, threads: int = 1, pictures: int = 8) -> Batcher:
    return Batcher(StepModel(runtime), threads=threads, queue_bytes=pictures * SIZE * SIZE * 3)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("default", device="cpu", threads=1)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_codes_are_those_of_the_pictures_alone(runtime: str) -> None:
    model = load_model("default", device="cpu", threads=1, runtime=runtime)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    films = [rng.integers(0, 256, (count, 40, 60, 3), dtype=np.uint8) for count in (1, 5, 12)]
    expected = [model.analyse(list(film)).codes for film in films]

    def encode(film: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with mixer.open() as stream:
            for image in film:
                stream.put(image)
            return stream.finish().codes

    with Batcher(model, threads=2) as mixer, ThreadPoolExecutor(3) as threads:
        for codes, alone in zip(threads.map(encode, films), expected, strict=True):
            np.testing.assert_array_equal(codes, alone)
    assert mixer.pictures == 18


def test_a_batch_mixes_streams_and_each_gets_its_own_in_order() -> None:
    runtime = StepRuntime(batch_size=4)
    with batcher(runtime) as mixer, mixer.open() as one, mixer.open() as other:
        one.put(picture(200))
        wait_until(lambda: runtime.launched == 1, "the network has begun")
        for number in range(3):
            one.put(picture(number))
            other.put(picture(130 + number))
        runtime.let_through()
        assert one.finish().codes.ravel().tolist() == [255, 0, 0, 0]
        assert other.finish().codes.ravel().tolist() == [255, 255, 255]
        # The first went alone, since nothing else waited; then a full batch, then the rest.
        assert runtime.sizes == [1, 4, 2]
        assert one.network_s > 0


def test_several_crops_of_a_picture_stay_together() -> None:
    runtime = StepRuntime(batch_size=4)
    with Batcher(StepModel(runtime, "three")) as mixer, mixer.open() as stream:  # type: ignore[arg-type]
        for number in (0, 200, 0):
            stream.put(picture(number))
        runtime.let_through()
        assert stream.finish().codes.ravel().tolist() == [0, 255, 0]
    assert set(runtime.sizes) == {3}


def test_areas_of_a_segmenting_model_come_along() -> None:
    class Segments(StepModel):
        def read(self, raw: RawOutput) -> Analysis:
            return Analysis(np.zeros((len(raw.outputs), 1), np.uint8), raw.outputs, None, raw.outputs[:, :2])

    runtime = StepRuntime()
    runtime.let_through()
    with Batcher(Segments(runtime)) as mixer:  # type: ignore[arg-type]
        with mixer.open() as stream:
            for number in (0, 51, 255):
                stream.put(picture(number))
            areas = stream.finish().areas
            assert areas is not None
            np.testing.assert_allclose(areas, [[0, 0], [0.2, 0.2], [1, 1]])
        with mixer.open() as stream:
            assert stream.finish().areas is None


def test_a_full_queue_holds_the_decoder_and_is_worked_off() -> None:
    runtime = StepRuntime(batch_size=2)
    with batcher(runtime, pictures=4) as mixer, mixer.open() as stream, ThreadPoolExecutor(1) as decoder:

        def decode() -> int:
            for number in range(50):
                stream.put(picture(number))
            return stream.finish().codes.shape[0]

        done = decoder.submit(decode)
        wait_until(lambda: len(mixer._items) == 4, "the queue is full")
        assert len(stream) <= 4 + 2
        runtime.let_through()
        assert done.result(LONG_S) == 50
    assert max(runtime.sizes) == 2


def test_a_batch_always_fits_into_the_queue() -> None:
    runtime = StepRuntime(batch_size=4)
    runtime.let_through()
    with batcher(runtime, pictures=0) as mixer, mixer.open() as stream:
        for number in range(9):
            stream.put(picture(number))
        assert len(stream.finish().codes) == 9


def test_what_fails_in_the_network_is_raised_where_the_pictures_came_from() -> None:
    runtime = StepRuntime(batch_size=2)
    with batcher(runtime) as mixer:
        with mixer.open() as one, mixer.open() as other:
            runtime.error = RuntimeError("CUDA out of memory")
            one.put(picture(1))
            wait_until(lambda: runtime.launched == 1, "the network has begun")
            other.put(picture(2))
            runtime.let_through()
            with pytest.raises(RuntimeError, match="out of memory"):
                one.finish()
            with pytest.raises(RuntimeError, match="out of memory"):
                one.put(picture(3))
            # It was not in that batch.
            assert len(other.finish().codes) == 1
        with mixer.open() as later:
            later.put(picture(1))
            assert len(later.finish().codes) == 1


def test_a_stream_that_is_left_takes_what_waits_with_it() -> None:
    runtime = StepRuntime(batch_size=1)
    with batcher(runtime, pictures=3) as mixer, mixer.open() as other, ThreadPoolExecutor(1) as decoder:
        with mixer.open() as left:
            for number in range(4):
                left.put(picture(number))
            waiting = decoder.submit(other.put, picture(200))
            wait_until(lambda: bool(mixer._room._waiters), "another stream waits for room")
        waiting.result(LONG_S)
        runtime.let_through()
        assert other.finish().codes.ravel().tolist() == [255]
        assert runtime.launched == 2


def test_closing_ends_whoever_waits() -> None:
    runtime = StepRuntime(batch_size=1)
    mixer = batcher(runtime, pictures=1)
    with ThreadPoolExecutor(2) as decoders:

        def decode(stream: object) -> None:
            while True:
                stream.put(picture(0))  # type: ignore[attr-defined]

        puts = decoders.submit(decode, mixer.open())
        wait_until(lambda: bool(mixer._room._waiters), "the queue is full")
        runtime.let_through(1)
        mixer_closes = decoders.submit(mixer.close)
        runtime.let_through()
        mixer_closes.result(LONG_S)
        with pytest.raises(UnavailableError, match="closed"):
            puts.result(LONG_S)
    with pytest.raises(UnavailableError, match="closed"):
        mixer.open().put(picture(0))


def test_the_next_batch_of_a_gpu_starts_before_the_last_is_waited_for() -> None:
    runtime = StepRuntime(batch_size=1, ahead=1)
    with batcher(runtime) as mixer, mixer.open() as stream:
        for number in range(3):
            stream.put(picture(number))
        wait_until(lambda: runtime.launched == 2, "two batches are on their way")
        runtime.let_through()
        assert len(stream.finish().codes) == 3


def test_pictures_are_checked_where_they_are_put_in(model: Model) -> None:
    with Batcher(model) as mixer, mixer.open() as stream:
        with pytest.raises(BadInputError, match="float32"):
            stream.put(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]
        assert len(stream.finish().codes) == 0


@pytest.fixture
def gpu_model() -> Iterator[Model]:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return load_model("default", device="cuda")


@pytest.mark.gpu
def test_codes_on_a_gpu_do_not_depend_on_how_pictures_are_mixed(gpu_model: Model) -> None:
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (150, 40, 60, 3), dtype=np.uint8))
    alone = np.concatenate([gpu_model.outputs([image]) for image in images])
    assert gpu_model.outputs(images).tobytes() == alone.tobytes()
    with Batcher(gpu_model) as mixer, ThreadPoolExecutor(3) as threads:

        def encode(first: int) -> NDArray[np.uint8]:
            with mixer.open() as stream:
                for image in images[first::3]:
                    stream.put(image)
                return stream.finish().codes

        for first, codes in enumerate(threads.map(encode, range(3))):
            np.testing.assert_array_equal(codes, gpu_model.encode(images[first::3]))
