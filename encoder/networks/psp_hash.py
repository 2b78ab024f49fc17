"""The paper's network: codes from a map that has learned to segment."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from encoder.networks.base import HashNetwork, NetworkOutput
from encoder.networks.hash_head import HashHead
from encoder.networks.psp import PspModule
from encoder.networks.segmentation import SegmentationHead
from encoder.trunks.base import Trunk
from hashreel.errors import BadInputError

__all__ = ["PspHashNetwork", "PspInput", "psp_head_width"]

PspInput = Literal["grid", "gap", "logits", "masked"]
GRID = 7


class PspHashNetwork(HashNetwork):
    """Trunk → PSP module → hash head, the segmentation head kept beside it for masks.

    The head's input, by ``input_kind``, for a stack S [2 N, h, w], fusion Z [F, h, w] and class scores
    Q [M, h, w]:

    - "grid": Z averaged to 7 × 7 and flattened, 49 F; 25,088 in the paper's network, as wide as VGG's fc6 input.
    - "gap": S averaged, 2 N.
    - "logits": Q flattened, M h w: the paper's "softmax layer removed", to the letter.
    - "masked": Z averaged under each class's probability p = softmax(Q), Σ p Z / Σ p, and the M mean
      probabilities: M (F + 1).

    With ``with_trunk`` the trunk's pooled features [P] are put beside it: image-level and object-level cues.

    Source:
        [0] Gkountakos et al.: Incorporation of Semantic Segmentation Information in Deep Hashing Techniques
        for Image Retrieval, 2018.
    """

    def __init__(
        self,
        trunk: Trunk,
        psp: PspModule,
        segmentation: SegmentationHead,
        head: HashHead,
        bits: int,
        input_kind: PspInput,
        *,
        with_trunk: bool = False,
    ) -> None:
        super().__init__(trunk, bits)
        self.psp = psp
        self.segmentation = segmentation
        self.head = head
        self.input_kind = input_kind
        self.with_trunk = with_trunk

    def from_map(self, feature_map: Tensor) -> NetworkOutput:
        """Return outputs, class logits and mask scores for a trunk's map [n, N, h, w]."""
        stack, fused = self.psp(feature_map)
        scores = self.segmentation(fused)
        features = self._select(feature_map, stack, fused, scores)
        return self.from_head_input(features)._replace(mask_scores=scores)

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the head's input [n, W] for a trunk's map [n, N, h, w]."""
        stack, fused = self.psp(feature_map)
        return self._select(feature_map, stack, fused, self.segmentation(fused))

    def from_head_input(self, features: Tensor) -> NetworkOutput:
        """Return outputs and class logits for head inputs [n, W]."""
        latent, outputs, logits = self.head(features)
        return NetworkOutput(outputs, latent, logits)

    def _select(self, feature_map: Tensor, stack: Tensor, fused: Tensor, scores: Tensor) -> Tensor:
        if self.input_kind == "grid":
            chosen = F.adaptive_avg_pool2d(fused, GRID).flatten(1)
        elif self.input_kind == "gap":
            chosen = stack.mean(dim=(2, 3))
        elif self.input_kind == "logits":
            chosen = scores.flatten(1)
        else:
            chosen = masked_means(fused, scores)
        return torch.cat([chosen, self.trunk.pool(feature_map)], dim=1) if self.with_trunk else chosen


def masked_means(fused: Tensor, scores: Tensor) -> Tensor:
    """Return, for every class, the mean of the features under its probability, and its mean probability.

    Args:
        fused: Z, float32 [n, F, h, w].
        scores: Q, float32 [n, M, h, w]; p = softmax over M.

    Returns:
        float32 [n, M (F + 1)]: first M × F means Σ p Z / (Σ p + 1), then M means of p. A class that covers less
        than about a cell is drawn towards 0 instead of averaging noise.
    """
    p = scores.softmax(dim=1).flatten(2)  # (n, M, cells)
    sums = p @ fused.flatten(2).transpose(1, 2)  # (n, M, F)
    means = sums / (p.sum(dim=2, keepdim=True) + 1)
    return torch.cat([means.flatten(1), p.mean(dim=2)], dim=1)


def psp_head_width(
    trunk: Trunk, psp: PspModule, mask_classes: int, side: int, input_kind: str, with_trunk: bool
) -> int:
    """Return the width of the head's input.

    Raises:
        BadInputError: If ``input_kind`` is unknown.
    """
    widths = {
        "grid": GRID * GRID * psp.fuse_channels,
        "gap": psp.stack_channels,
        "logits": mask_classes * side * side,
        "masked": mask_classes * (psp.fuse_channels + 1),
    }
    if input_kind not in widths:
        raise BadInputError(f"head input is {input_kind!r}; accepted: {', '.join(get_args(PspInput))}")
    return widths[input_kind] + (trunk.pooled_channels if with_trunk else 0)
