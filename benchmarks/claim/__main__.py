"""Run the arms, evaluate them, and write the verdict: ``python -m benchmarks.claim``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.claim.arms import arm_names
from benchmarks.claim.protocol import RECIPES

if TYPE_CHECKING:
    from benchmarks.claim.campaign import Campaign

EXAMPLE = """
example:
  python -m benchmarks.claim --cifar10 data/cifar10 --masks data/camvid_seg --scenes data/scenes6/test
      --films data/videos/compiled --work work/claim --docs docs
  python -m benchmarks.claim --recipe generated --work work/claim --seeds 0 1
"""

COMMAND = "python -m benchmarks.claim --cifar10 DIR --masks DIR --scenes DIR --films DIR --work DIR --docs docs"
DATA = ("cifar10", "masks", "scenes", "films")
TRACKS = ("cifar", "labels")
SEEDS = [0, 1, 2, 3, 4]


def main() -> int:
    """Run what is missing, write the page and return the exit code."""
    parser = _parser()
    options = parser.parse_args()
    missing = [f"--{name}" for name in DATA if getattr(options, name) is None]
    if missing and options.recipe != "generated":
        parser.error(f"recipe {options.recipe} needs {' '.join(missing)}; --recipe generated needs no data")
    campaign = _campaign(options)
    results = [
        campaign.result(track, arm, seed)
        for seed in options.seeds  # outermost, so that an interrupted campaign has whole seeds
        for track in TRACKS
        for arm in arm_names()
    ]
    if options.docs:
        from benchmarks.claim.page import write_page

        seeds = "" if options.seeds == SEEDS else f" --seeds {' '.join(map(str, options.seeds))}"
        write_page(options.docs, campaign, results, COMMAND + seeds, planned=len(SEEDS))
    return 0


def _campaign(options: argparse.Namespace) -> Campaign:
    import torch

    from benchmarks.claim.campaign import Campaign
    from benchmarks.claim.generated import generated_material
    from benchmarks.claim.material import Folders, Material, read_material

    if options.threads:
        torch.set_num_threads(options.threads)
    protocol, work, device = RECIPES[options.recipe], options.work, options.device

    def load() -> Material:
        if protocol.recipe == "generated":
            return generated_material(work, protocol, device)
        folders = Folders(options.cifar10, options.masks, options.scenes, options.films)
        return read_material(folders, work, protocol, device)

    return Campaign(load, work, protocol, device)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claim",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cifar10", type=Path, help="folder of the CIFAR-10 pack")
    parser.add_argument("--masks", type=Path, help="pictures with masks, VOC layout")
    parser.add_argument("--scenes", type=Path, help="pictures of places, a folder a class")
    parser.add_argument("--films", type=Path, help="films and shots.csv")
    parser.add_argument("--work", type=Path, required=True, help="maps and results; a second run goes on from there")
    parser.add_argument("--docs", type=Path, help="where to write claim.md")
    parser.add_argument(
        "--recipe",
        choices=sorted(RECIPES),
        default="cpu",
        help="cpu; voc: the paper's sizes, for a GPU and --masks with the VOC kit; generated: tiny, without data",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    return parser


if __name__ == "__main__":
    sys.exit(main())
