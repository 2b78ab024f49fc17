"""The segmentation phase: the PSP module learns masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from encoder.data.pairs import augment_pair, centre_pair
from encoder.data.sets import IGNORE, MaskSet
from encoder.networks.segmentation import SegmentationNetwork, resize_scores
from encoder.training.build import freeze, groups
from encoder.training.loop import Phase
from encoder.training.recipes import Schedule, SegmentationSettings
from encoder.training.scores import confusion, overlap_scores

__all__ = ["SegmentationPhase", "StoredMaps", "median_frequency_weights", "segmentation_loss"]

HIGHEST_WEIGHT = 10.0


@dataclass(frozen=True)
class StoredMaps:
    """A frozen trunk's maps of centre crops, float16 [n, N, h, w], and their masks, uint8 [n, s, s]."""

    maps: NDArray[np.float16]
    masks: NDArray[np.uint8]


class SegmentationPhase(Phase):
    """Negative log-likelihood of the true class, averaged over pixels that have one.

    Args:
        network: on its device.
        data: pictures and masks to learn from.
        size: side of the network's input.
        settings: of the phase.
        seed: of augmentation.
        stored: maps of ``data`` if the trunk is frozen.
        held_out: pictures and masks for scores after each epoch.
        held_out_stored: their maps if the trunk is frozen.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        data: MaskSet,
        size: int,
        settings: SegmentationSettings,
        seed: int,
        *,
        stored: StoredMaps | None = None,
        held_out: MaskSet | None = None,
        held_out_stored: StoredMaps | None = None,
    ) -> None:
        self.network: SegmentationNetwork = network
        self.data = data
        self.count = len(data)
        self.size = size
        self.settings = settings
        self.seed = seed
        self.stored = stored
        self.held_out = held_out
        self.held_out_stored = held_out_stored
        self.device = next(network.parameters()).device
        if settings.freeze == "trunk":
            freeze([network.trunk])
        self.weights = self._class_weights() if settings.class_weights else None

    def loss(self, numbers: NDArray[np.int64], epoch: int) -> Tensor:
        """Return the mean loss over the pixels of these pictures."""
        if self.stored is not None:
            scores, masks = self._stored_scores(self.stored, numbers)
        else:
            pixels, masks = self._read(numbers, epoch)
            scores = self.network(self.network.trunk.normalise(pixels))
        return segmentation_loss(scores, masks, self.weights)

    def parameter_groups(self, schedule: Schedule) -> list[dict[str, Any]]:
        """Return the trunk at its own factor and the rest."""
        return groups(self.network, {"trunk.": schedule.trunk_factor})

    def begin_epoch(self) -> None:
        """Train everything but a frozen trunk, whose statistics stay."""
        self.network.train()
        if self.settings.freeze == "trunk":
            self.network.trunk.eval()

    def score(self) -> dict[str, float]:
        """Return pixel accuracy and mean IoU on the held-out pictures; the latter is the score."""
        if self.held_out is None:
            return {}
        classes = len(self.data.classes)
        counts = np.zeros((classes, classes), dtype=np.int64)
        with torch.inference_mode():
            for start in range(0, len(self.held_out), self.settings.batch):
                numbers = np.arange(start, min(start + self.settings.batch, len(self.held_out)))
                scores, masks = self._held_out_scores(self.held_out, numbers)
                predicted = scores.argmax(dim=1).to(torch.uint8).cpu().numpy()
                counts += confusion(masks.cpu().numpy().astype(np.uint8), predicted, classes, IGNORE)
        figures = overlap_scores(counts)
        return {**figures, "score": figures["mean_iou"]}

    def _held_out_scores(self, held_out: MaskSet, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        if self.held_out_stored is not None:
            return self._stored_scores(self.held_out_stored, numbers)
        pairs = [centre_pair(*held_out.read(int(i)), self.size) for i in numbers]
        pixels, masks = self._stack(pairs)
        return self.network(self.network.trunk.normalise(pixels)), masks

    def _stored_scores(self, stored: StoredMaps, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        order = np.sort(numbers)  # the file is read forwards
        maps = torch.from_numpy(stored.maps[order].astype(np.float32)).to(self.device)
        masks = torch.from_numpy(stored.masks[order].astype(np.int64)).to(self.device)
        return resize_scores(self.network.scores(maps), self.size), masks

    def _read(self, numbers: NDArray[np.int64], epoch: int) -> tuple[Tensor, Tensor]:
        pairs = []
        for number in numbers.tolist():
            image, mask = self.data.read(number)
            if self.settings.augment:
                rng = np.random.default_rng((self.seed, epoch, number))
                pairs.append(augment_pair(image, mask, self.size, rng))
            else:
                pairs.append(centre_pair(image, mask, self.size))
        return self._stack(pairs)

    def _stack(self, pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(np.stack([image for image, _ in pairs])).to(self.device)
        masks = torch.from_numpy(np.stack([mask for _, mask in pairs]).astype(np.int64)).to(self.device)
        return pixels, masks

    def _class_weights(self) -> Tensor:
        masks = self.stored.masks if self.stored else [self.data.read(i)[1] for i in range(self.count)]
        counts = sum(np.bincount(mask.ravel(), minlength=256) for mask in masks)
        weights = median_frequency_weights(np.asarray(counts)[: len(self.data.classes)])
        return torch.from_numpy(weights).to(self.device)


def segmentation_loss(scores: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return −Σ w_c log softmax(scores)_c / Σ w_c over all pixels whose class is not 255; 0 if there is none.

    Args:
        scores: float32 [n, C, s, s].
        masks: int64 [n, s, s], a class or 255.
        weights: float32 [C], or None for 1.
    """
    total = F.cross_entropy(scores, masks, weight=weights, ignore_index=IGNORE, reduction="sum")
    valid = masks[masks != IGNORE]
    weight = valid.numel() if weights is None else weights[valid].sum()
    return total / torch.as_tensor(weight, device=scores.device).clamp(min=1e-6)


def median_frequency_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return median(counts) / counts, at most 10, for pixel counts [C]; classes that never occur weigh 1."""
    present = counts > 0
    weights = np.ones(len(counts))
    weights[present] = np.minimum(np.median(counts[present]) / counts[present], HIGHEST_WEIGHT)
    return weights.astype(np.float32)
