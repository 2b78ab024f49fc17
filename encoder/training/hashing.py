"""The hash phase: codes and classes are learned together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.codes import binarise
from encoder.data.pairs import centre_pair
from encoder.data.sets import MaskSet, PictureSet
from encoder.losses import HashLoss
from encoder.networks import HashNetwork, NetworkOutput
from encoder.networks.segmentation import resize_scores
from encoder.training.build import freeze, groups
from encoder.training.loop import Phase
from encoder.training.recipes import HashSettings, Schedule
from encoder.training.scores import expected_precision
from encoder.training.segmentation import segmentation_loss
from encoder.transforms import Transform

__all__ = ["HashPhase", "StoredInputs"]

TOP = 50
GALLERY = 5000


@dataclass(frozen=True)
class StoredInputs:
    """What frozen layers give, maps or head inputs: one float16 [n, ...] array, or a second of flipped pictures."""

    views: tuple[NDArray[np.float16], ...]

    def take(self, numbers: NDArray[np.int64], flipped: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return float32 [len(numbers), ...], from the second array where ``flipped``."""
        values = np.empty((len(numbers), *self.views[0].shape[1:]), dtype=np.float32)
        for view, chosen in zip(self.views, (~flipped, flipped), strict=False):
            values[chosen] = view[numbers[chosen]]
        return values


class HashPhase(Phase):
    """The recipe's loss on codes and classes, optionally + λ · segmentation loss so that masks are not forgotten.

    Args:
        network: on its device.
        data: pictures with classes.
        transform: of the model; pictures have one crop in training.
        loss: of outputs and targets.
        settings: of the phase.
        seed: of flips and of the pictures whose masks are rehearsed.
        stored: outputs of the frozen layers for ``data``, as ``settings.freeze`` says.
        held_out: pictures with classes for scores after each epoch.
        held_out_stored: their stored outputs.
        masks: pictures with masks, if ``settings.segmentation_weight`` is above 0.
    """

    def __init__(
        self,
        network: HashNetwork,
        data: PictureSet,
        transform: Transform,
        loss: HashLoss,
        settings: HashSettings,
        seed: int,
        *,
        stored: StoredInputs | None = None,
        held_out: PictureSet | None = None,
        held_out_stored: StoredInputs | None = None,
        masks: MaskSet | None = None,
    ) -> None:
        self.network: HashNetwork = network
        self.data = data
        self.count = len(data)
        self.transform = transform
        self.hash_loss = loss
        self.settings = settings
        self.seed = seed
        self.stored = stored
        self.held_out = held_out
        self.held_out_stored = held_out_stored
        self.masks = masks
        self.device = next(network.parameters()).device
        self.targets = torch.from_numpy(data.targets)
        freeze(self._frozen())

    def loss(self, numbers: NDArray[np.int64], epoch: int) -> Tensor:
        """Return the loss of a batch of pictures."""
        result = self._outputs(self.data, self.stored, numbers, epoch if self.settings.flip else None)
        loss: Tensor = self.hash_loss(result, self.targets[torch.from_numpy(numbers)].to(self.device))
        if self.masks is not None and self.settings.segmentation_weight > 0:
            loss = loss + self.settings.segmentation_weight * self._rehearse(self.masks, numbers, epoch)
        return loss

    def parameter_groups(self, schedule: Schedule) -> list[dict[str, Any]]:
        """Return trunk, class layer and the rest with their factors of the learning rate."""
        factors = {"trunk.": schedule.trunk_factor, "head.classify.": self.settings.class_rate_factor}
        return groups(self.network, factors)

    def begin_epoch(self) -> None:
        """Train all but frozen parts; the trunk's statistics stay fixed even where its weights are trained."""
        self.network.train()
        for module in (self.network.trunk, *self._frozen()):
            module.eval()

    def score(self) -> dict[str, float]:
        """Return precision@50 of held-out pictures among training pictures, and class accuracy where it is trained."""
        if self.held_out is None:
            return {}
        numbers = np.arange(min(self.count, GALLERY))
        gallery, _ = self._codes(self.data, self.stored, numbers)
        queries, accuracy = self._codes(self.held_out, self.held_out_stored, np.arange(len(self.held_out)))
        precision = expected_precision(queries, self.held_out.targets, gallery, self.data.targets[numbers], TOP)
        figures = {f"precision_at_{TOP}": precision, "score": precision}
        return {**figures, "class_accuracy": accuracy} if self.hash_loss.uses_class_layer else figures

    def _codes(
        self, data: PictureSet, stored: StoredInputs | None, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], float]:
        codes, right = [], 0.0
        with torch.inference_mode():
            for start in range(0, len(numbers), self.settings.batch):
                part = numbers[start : start + self.settings.batch]
                result = self._outputs(data, stored, part, None)
                codes.append(binarise(result.outputs.float().cpu().numpy()))
                if result.logits is not None:
                    best = result.logits.argmax(dim=1).cpu().numpy()
                    right += float(data.targets[part, best].sum())
        return np.concatenate(codes), right / len(numbers)

    def _outputs(
        self, data: PictureSet, stored: StoredInputs | None, numbers: NDArray[np.int64], flip_epoch: int | None
    ) -> NetworkOutput:
        flipped = [flip_epoch is not None and self._is_flipped(int(i), flip_epoch) for i in numbers]
        if stored is None:
            return self._from_pixels(data, numbers, flipped)
        inputs = torch.from_numpy(stored.take(numbers, np.array(flipped))).to(self.device)
        return self.network.from_map(inputs) if inputs.ndim == 4 else self.network.from_head_input(inputs)

    def _from_pixels(self, data: PictureSet, numbers: NDArray[np.int64], flipped: list[bool]) -> NetworkOutput:
        crops = [self.transform.apply(data.read(int(i)))[0] for i in numbers]
        crops = [crop[:, ::-1] if turn else crop for crop, turn in zip(crops, flipped, strict=True)]
        pixels = torch.from_numpy(np.stack(crops)).to(self.device)
        result: NetworkOutput = self.network(self.network.trunk.normalise(pixels))
        return result

    def _is_flipped(self, number: int, epoch: int) -> bool:
        return bool(np.random.default_rng((self.seed, epoch, number)).integers(2))

    def _rehearse(self, masks: MaskSet, numbers: NDArray[np.int64], epoch: int) -> Tensor:
        rng = np.random.default_rng((self.seed, epoch, int(numbers[0])))
        chosen = rng.integers(0, len(masks), len(numbers))
        pairs = [centre_pair(*masks.read(int(i)), self.transform.size) for i in chosen]
        pixels = torch.from_numpy(np.stack([image for image, _ in pairs])).to(self.device)
        truth = torch.from_numpy(np.stack([mask for _, mask in pairs]).astype(np.int64)).to(self.device)
        scores = self.network(self.network.trunk.normalise(pixels)).mask_scores
        return segmentation_loss(resize_scores(scores, self.transform.size), truth)

    def _frozen(self) -> list[torch.nn.Module]:
        if self.settings.freeze == "none":
            return []
        if self.settings.freeze == "trunk":
            return [self.network.trunk]
        return [module for name, module in self.network.named_children() if name != "head"]
