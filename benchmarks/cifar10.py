"""Models on CIFAR-10 by the usual protocol: the training split is the gallery, the test split asks.

    python -m benchmarks.cifar10 --cifar10 data/cifar10 --gate 0.74 runs/ortho/model

Every picture goes through the model as any other does: transform, network, packed code. Prints one JSON line a model:
MAP@1000 over the relevant items found ("hits", as the public code of Lin et al. has it) and over min(K, R), both in
expectation over the order of equal distances, and P@1000. Exits 1 where a model's "hits" is below the gate.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.data.cifar import LabelledImages, read_cifar10
from encoder.model import Model, load_model
from search.evaluation import Labels, Metric, count_distances, evaluate, metrics_for

TOP = 1000
BLOCK = 500


def main() -> int:
    """Score the models and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True, help="folder of the CIFAR-10 pack")
    parser.add_argument("--gate", type=float, default=0.0, help="least MAP@1000 over hits")
    parser.add_argument("--threads", type=int, help="CPU threads of a forward pass")
    parser.add_argument("--gallery", type=int, help="only the first so many training pictures")
    parser.add_argument("--queries", type=int, help="only the first so many test pictures")
    parser.add_argument("models", nargs="+", help="names or model directories")
    options = parser.parse_args()
    gallery = read_cifar10(options.cifar10, "train", limit=options.gallery)
    queries = read_cifar10(options.cifar10, "test", limit=options.queries)
    missed = 0
    for name in options.models:
        figures = score(load_model(name, device="cpu", threads=options.threads), gallery, queries)
        print(json.dumps({**figures, "gate": options.gate}), flush=True)
        missed += float(str(figures["map1000_hits"])) < options.gate
    return int(missed > 0)


def score(model: Model, gallery: LabelledImages, queries: LabelledImages) -> dict[str, object]:
    """Return the figures of a model, macro means over the classes, and how long encoding took."""
    began = time.monotonic()
    query_codes, gallery_codes = (encode(model, pictures.images) for pictures in (queries, gallery))
    seconds = time.monotonic() - began
    asked, known = (Labels.from_classes(pictures.labels, pictures.classes) for pictures in (queries, gallery))
    counts = count_distances(query_codes, gallery_codes, asked, known)
    keys = [f"{number:05}" for number in range(len(queries.labels))]
    metrics = metrics_for((TOP,), ("hits", "minKR"))
    run = evaluate(counts, queries.classes, keys, name=model.name, metrics=metrics)
    return {
        "model": model.name,
        "fingerprint": model.fingerprint[:16],
        "bits": model.bits,
        "gallery": len(gallery.labels),
        "queries": len(queries.labels),
        "map1000_hits": round(run.macro(Metric("map", TOP, "hits")), 4),
        "map1000_minkr": round(run.macro(Metric("map", TOP, "minKR")), 4),
        "precision1000": round(run.macro(Metric("precision", TOP)), 4),
        "encoding_s": round(seconds, 1),
    }


def encode(model: Model, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return packed codes, uint8 [n, ceil(bits / 8)], of pictures uint8 [n, h, w, 3]."""
    blocks = [model.encode(list(images[start : start + BLOCK])) for start in range(0, len(images), BLOCK)]
    return np.concatenate(blocks)


if __name__ == "__main__":
    sys.exit(main())
