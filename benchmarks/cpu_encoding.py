"""Bar: the default model through onnxruntime against eager torch, one thread, batches of 8 at 224 pixels.

    python -m benchmarks.cpu_encoding

Prints the ratio of pictures a second, median of interleaved runs, and the share of equal bits; exits 1 where the
ratio is below 3.5 or the share below 99.99 %. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np

from encoder.codes import unpack_codes
from encoder.data.mosaics import mosaics
from encoder.model import Model, load_model

LEAST_RATIO = 3.5
LEAST_EQUAL = 0.9999


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=10, help="batches a run")
    options = parser.parse_args()
    torch_model, onnx_model = (
        load_model(options.model, device="cpu", threads=1, runtime=kind) for kind in ("torch", "onnx")
    )
    pixels = make_pictures(torch_model, 8 * options.batches)
    rates: dict[str, list[float]] = {"torch": [], "onnx": []}
    for _ in range(options.runs):
        for name, model in (("torch", torch_model), ("onnx", onnx_model)):
            rates[name].append(measure(model, pixels))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["onnx"] / medians["torch"]
    equal = equal_bits(torch_model, onnx_model, pixels)
    verdict = ratio >= LEAST_RATIO and equal >= LEAST_EQUAL
    print(f"torch {medians['torch']:.1f} pictures/s, onnxruntime {medians['onnx']:.1f}, ratio {ratio:.2f}")
    print(f"equal bits {equal:.6f}; bar {LEAST_RATIO} and {LEAST_EQUAL}: {'met' if verdict else 'MISSED'}")
    return 0 if verdict else 1


def make_pictures(model: Model, count: int) -> np.ndarray:
    """Return pictures at the model's input size: mosaics of coarse noise, uint8 [n, s, s, 3]."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (200, 4, 4, 3), dtype=np.uint8)
    return np.stack(list(mosaics(small, count, tiles=3, size=model.transform.size, seed=0)))


def measure(model: Model, pixels: np.ndarray) -> float:
    """Return pictures a second of the bare runtime."""
    start = time.perf_counter()
    model.runtime.run(pixels)
    return len(pixels) / (time.perf_counter() - start)


def equal_bits(one: Model, other: Model, pixels: np.ndarray) -> float:
    """Return the share of equal bits."""
    codes = [unpack_codes(model.encode(list(pixels)), model.bits) for model in (one, other)]
    return float((codes[0] == codes[1]).mean())


if __name__ == "__main__":
    sys.exit(main())
