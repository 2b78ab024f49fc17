"""Train or fit every method, evaluate it, and write the table and the plot: ``python -m benchmarks.methods``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.methods.catalogue import METHODS, FeatureKind, method_names
from benchmarks.methods.features import FeatureSet, pooled_sets
from benchmarks.methods.protocol import GATES, MAIN_LENGTH, Protocol
from benchmarks.methods.runner import Result, Runner
from benchmarks.methods.table import write_docs

EXAMPLE = """
example:
  python -m benchmarks.methods --cifar10 data/cifar10 --masks data/camvid_seg --work work/methods --docs docs
"""

COMMAND = "python -m benchmarks.methods --cifar10 DIR --masks DIR --work DIR --docs docs"


def main() -> int:
    """Run what is missing and return the exit code: 1 where a gate is missed."""
    options = _parser().parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    protocol = Protocol()
    runner = Runner(_loader(options.cifar10, options.masks, options.work, protocol), options.work, protocol)
    chosen = [m for m in METHODS if m.name in options.methods and (options.masks or m.features == "pooled")]
    results = [
        runner.result(method, bits, seed)
        for length_first in (True, False)
        for method in chosen
        for bits in method.lengths
        if bits in options.bits and (bits == MAIN_LENGTH) is length_first
        for seed in options.seeds
    ]
    tuned = {method.name: runner.tuned(method) for method in chosen}
    if options.docs:
        write_docs(options.docs, results, tuned, protocol, COMMAND)
    return _check_gates(results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cifar10", type=Path, required=True, help="folder of the CIFAR-10 pack")
    parser.add_argument(
        "--masks", type=Path, help="pictures with masks, VOC layout; without it the paper's rows are out"
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="features and results; a second run goes on from there"
    )
    parser.add_argument("--docs", type=Path, help="where to write methods.md and methods.svg")
    parser.add_argument("--methods", nargs="+", choices=method_names(), default=method_names(), metavar="NAME")
    parser.add_argument("--bits", nargs="+", type=int, default=[16, 32, 48, 64, 128])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    return parser


def _loader(
    cifar10: Path, masks: Path | None, work: Path, protocol: Protocol
) -> Callable[[FeatureKind], tuple[FeatureSet, FeatureSet]]:
    def load(kind: FeatureKind) -> tuple[FeatureSet, FeatureSet]:
        if kind == "pooled":
            return pooled_sets(cifar10, work, protocol)
        assert masks is not None  # methods that need masks are not chosen without them
        from benchmarks.methods.segments import segment_sets, stack_width

        gallery, queries = segment_sets(cifar10, masks, work, protocol)
        if kind == "psp":
            width = stack_width(protocol)
            return gallery.columns(width), queries.columns(width)
        return gallery, queries

    return load


def _check_gates(results: list[Result]) -> int:
    missed = 0
    for result in results:
        gate = GATES.get(result["method"])
        if gate is not None and result["bits"] == MAIN_LENGTH:
            score = result["scores"]["map@1000:hits"]["macro"]
            verdict = "met" if score >= gate else "MISSED"
            print(f"{result['method']}: MAP@1000 over hits {score:.3f}, gate {gate}: {verdict}")
            missed += score < gate
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
