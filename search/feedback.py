"""Relevance feedback on codes: more like these, less like those, as a bit-weighted Hamming distance.

Rocchio's formula [0] over bits as -1 and +1. With the query q, the mean m of the frames marked "more" and the mean l of
those marked "less", the profile is p = ALPHA q + BETA m - GAMMA l. Ranking by the inner product of p with a frame's
bits is the same as ranking by the Hamming distance to the signs of p in which bit j weighs abs(p_j): agreeing costs
nothing, and a bit on which query and marks contradict each other hardly counts.

[0] J. J. Rocchio, Relevance feedback in information retrieval, 1971; Manning, Raghavan, Schuetze, Introduction to
Information Retrieval, 2008, chapter 9, https://nlp.stanford.edu/IR-book/. ALPHA and BETA are theirs; GAMMA is 0.5 where
they take 0.15, since these marks are set by hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, pack_codes, unpack_codes

__all__ = ["ALPHA", "BETA", "GAMMA", "refine"]

ALPHA, BETA, GAMMA = 1.0, 0.75, 0.5


def refine(query: Codes | None, more: Codes, less: Codes, bits: int) -> tuple[Codes, NDArray[np.float32]]:
    """Return the refined code and the weight of each of its bits.

    Args:
        query: uint8 [ceil(bits / 8)], or None to start from nothing but the marks.
        more: uint8 [m, ceil(bits / 8)], frames to be like.
        less: uint8 [n, ceil(bits / 8)], frames to be unlike.
        bits: Length of a code.

    Returns:
        uint8 [ceil(bits / 8)] and float32 [bits], at least 0, with the sum ``bits``, so that distances are on the scale
        of Hamming distances. Without marks the weights are 1 and the code is the query's.
    """
    profile = np.zeros(bits)
    if query is not None:
        profile += ALPHA * _signs(query[None], bits)
    profile += BETA * _signs(more, bits) - GAMMA * _signs(less, bits)
    weights = np.abs(profile)
    total = weights.sum()
    weights = weights * (bits / total) if total else np.ones(bits)
    return pack_codes((profile > 0)[None].astype(np.uint8))[0], weights.astype(np.float32)


def _signs(codes: Codes, bits: int) -> NDArray[np.float64]:
    """Return the mean of the codes' bits as -1 and +1, float64 [bits]; zeros for none."""
    if not len(codes):
        return np.zeros(bits)
    return np.asarray(2.0 * unpack_codes(codes, bits).mean(axis=0) - 1.0, np.float64)
