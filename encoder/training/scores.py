"""Figures on held-out pictures while training: segmentation overlap and precision of codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoder.codes import hamming_distances

__all__ = ["confusion", "expected_precision", "overlap_scores"]

BLOCK = 256


def confusion(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int, ignore: int) -> NDArray[np.int64]:
    """Return counts [C, C]: pixels of class i that were predicted as j; pixels marked ``ignore`` do not count."""
    valid = truth != ignore
    pairs = truth[valid].astype(np.int64) * classes + predicted[valid]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def overlap_scores(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return pixel accuracy and mean IoU of confusion counts [C, C], over classes that occur in truth or prediction."""
    right = np.diag(counts).astype(float)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    present = union > 0
    accuracy = right.sum() / max(counts.sum(), 1)
    return {"pixel_accuracy": float(accuracy), "mean_iou": float((right[present] / union[present]).mean())}


def expected_precision(
    queries: NDArray[np.uint8],
    query_targets: NDArray[np.float32],
    gallery: NDArray[np.uint8],
    gallery_targets: NDArray[np.float32],
    top: int,
) -> float:
    """Return the mean precision among the ``top`` nearest codes, its expectation where distances tie.

    Of the group of equal distances that is cut at ``top``, each member counts in proportion to what is taken.

    Args:
        queries: packed codes, uint8 [q, w].
        query_targets: float32 [q, C] of 0 and 1.
        gallery: packed codes, uint8 [n, w].
        gallery_targets: float32 [n, C]; an item is relevant if it shares a class.
        top: K, at most n.
    """
    top = min(top, len(gallery))
    total = 0.0
    for start in range(0, len(queries), BLOCK):
        distances = hamming_distances(queries[start : start + BLOCK], gallery)
        relevant = query_targets[start : start + BLOCK] @ gallery_targets.T > 0
        cut = np.partition(distances, top - 1, axis=1)[:, top - 1 : top]  # distance of the K-th
        inside, tied = distances < cut, distances == cut
        share = (top - inside.sum(axis=1)) / tied.sum(axis=1)
        found = (inside & relevant).sum(axis=1) + share * (tied & relevant).sum(axis=1)
        total += float(found.sum()) / top
    return total / len(queries)
