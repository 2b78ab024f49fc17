"""What all arms have in common: trunk, network, schedules, tuning budget. One protocol a recipe."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

__all__ = ["RECIPES", "Protocol", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """How a phase descends: SGD with momentum 0.9; the rate falls to a tenth after two thirds of the epochs."""

    epochs: int
    batch: int


@dataclass(frozen=True)
class Protocol:
    """The one protocol of a campaign.

    Attributes:
        recipe: its name.
        trunk: frozen, with its packaged or published ImageNet weights.
        size: side of the network's input in pixels; the trunk's map has stride 8.
        reduced: channels that a 1 × 1 convolution leaves of the map before the pyramid, so that the stack has twice
            as many; 0 keeps the map as it is, as in the paper.
        fuse: channels of the 3 × 3 convolution after the stack, on which masks or tags are learned.
        hidden: widths of the full layers between the mean of the stack and the hash layer.
        bits: code length.
        cifar_train: pictures that the hash phase of the first track learns from, which are also its gallery.
        cifar_test: queries of it.
        pretraining: schedule of the phase on masks or tags.
        pretraining_rate: its learning rate, the same for the three arms that have the phase.
        cifar: schedule of the hash phase on CIFAR-10.
        labels: schedule of the hash phase on the mask pictures' own labels, the second track.
        rates: learning rates of the hash phase that every arm tries.
        tuning_pictures: of the training split that a trial learns from, at most.
        held_out: further pictures of the training split that judge it, at most a fifth of the split.
        tuning_epochs_share: how much of the epochs a trial takes.
        weight_decay: of the hash phase.
        least_area: share of the cropped picture from which on a class counts as a concept of it.
        frame_step_s: seconds between key-frames of films.
        cutoffs: K of the scores.
    """

    recipe: str
    trunk: str = "efficientnet-lite0"
    size: int = 112
    reduced: int = 128
    fuse: int = 128
    hidden: tuple[int, ...] = (1024,)
    bits: int = 48
    cifar_train: int = 10_000
    cifar_test: int = 2_000
    pretraining: Schedule = Schedule(20, 32)
    pretraining_rate: float = 0.05
    cifar: Schedule = Schedule(10, 128)
    labels: Schedule = Schedule(60, 32)
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    tuning_pictures: int = 3_000
    held_out: int = 1_000
    tuning_epochs_share: float = 0.5
    weight_decay: float = 5e-4
    least_area: float = 0.005
    frame_step_s: float = 0.5
    cutoffs: tuple[int, ...] = (10, 50)

    def digest(self) -> str:
        """Return a short name of these settings; results of other settings are never mixed in."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


RECIPES: dict[str, Protocol] = {
    "cpu": Protocol("cpu"),
    "voc": Protocol(
        "voc",
        trunk="vgg16",
        size=224,
        reduced=0,
        fuse=512,
        hidden=(4096, 4096),
        cifar_train=50_000,
        cifar_test=10_000,
        pretraining=Schedule(30, 32),
        cifar=Schedule(30, 96),
        labels=Schedule(30, 96),
        rates=(0.003, 0.01, 0.03),
    ),
    "generated": Protocol(
        "generated",
        size=64,
        reduced=16,
        fuse=16,
        hidden=(64,),
        bits=16,
        cifar_train=64,
        cifar_test=40,
        pretraining=Schedule(10, 16),
        cifar=Schedule(24, 16),
        labels=Schedule(24, 16),
        rates=(0.1, 0.3),
        held_out=12,
    ),
}
"""cpu: for two cores. voc: the paper's sizes, the trunk frozen, for a GPU and about 50 GB of disk.
generated: small painted scenes instead of data, to see that everything works."""
