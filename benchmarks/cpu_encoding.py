"""Bar: the default model through onnxruntime against eager torch, one thread, batches of 8 at 224 pixels.

    python -m benchmarks.cpu_encoding

Prints pictures a second, medians of interleaved runs, and the share of equal bits. Eager torch is measured twice: the
network on a batch in torch's own layout, which is what the bar was set against, and this project's torch runtime, whose
batches lie channels last because pictures do, which is faster. Exits 1 where onnxruntime is below 3.5 times the first
or the share is below 99.99 %. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from encoder.codes import unpack_codes
from encoder.data.mosaics import mosaics
from encoder.model import Model, load_model
from encoder.networks import HashNetwork

LEAST_RATIO = 3.5
LEAST_EQUAL = 0.9999
BATCH = 8


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=10, help="batches a run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch_model, onnx_model = (
        load_model(options.model, device="cpu", threads=1, runtime=kind) for kind in ("torch", "onnx")
    )
    pixels = make_pictures(torch_model, BATCH * options.batches)
    ways: dict[str, Callable[[], object]] = {
        "eager torch": lambda: run_eager(torch_model.runtime.network, pixels),
        "torch runtime": lambda: torch_model.runtime.run(pixels),
        "onnxruntime": lambda: onnx_model.runtime.run(pixels),
    }
    rates = measure(ways, len(pixels), options.runs)
    ratios = {name: rates["onnxruntime"] / rate for name, rate in rates.items()}
    equal = equal_bits(torch_model, onnx_model, pixels)
    is_met = ratios["eager torch"] >= LEAST_RATIO and equal >= LEAST_EQUAL
    print(", ".join(f"{name} {rate:.1f} pictures/s" for name, rate in rates.items()))
    print(
        f"onnxruntime is {ratios['eager torch']:.2f} × eager torch, {ratios['torch runtime']:.2f} × our torch runtime"
    )
    print(f"equal bits {equal:.6f}; bar {LEAST_RATIO} and {LEAST_EQUAL}: {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


def make_pictures(model: Model, count: int) -> np.ndarray:
    """Return pictures at the model's input size: mosaics of coarse noise, uint8 [n, s, s, 3]."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (200, 4, 4, 3), dtype=np.uint8)
    return np.stack(list(mosaics(small, count, tiles=3, size=model.transform.size, seed=0)))


def run_eager(network: HashNetwork, pixels: np.ndarray) -> None:
    """Run the network on pictures, uint8 [n, s, s, 3], in batches of torch's own layout."""
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            batch = torch.from_numpy(pixels[start : start + BATCH])
            network(network.trunk.normalise(batch).contiguous())


def measure(ways: dict[str, Callable[[], object]], count: int, runs: int) -> dict[str, float]:
    """Return pictures a second of each way: medians over interleaved runs, after one to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(runs + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if number:
                rates[name].append(count / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def equal_bits(one: Model, other: Model, pixels: np.ndarray) -> float:
    """Return the share of equal bits."""
    codes = [unpack_codes(model.encode(list(pixels)), model.bits) for model in (one, other)]
    return float((codes[0] == codes[1]).mean())


if __name__ == "__main__":
    sys.exit(main())
