"""Whether a difference over concepts could be chance: the sign-flip test, and Holm's correction for several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.groups import FloatArray

__all__ = ["MAX_EXACT_CONCEPTS", "holm_adjusted", "sign_flip_p"]

MAX_EXACT_CONCEPTS = 20
"""Up to here all 2^C sign patterns are tried (8 MB of sums); beyond, random ones."""

TOLERANCE = 1e-12
"""Relative: sums of the same numbers in another order may differ in the last digits and still be equal."""


def sign_flip_p(differences: Sequence[float] | FloatArray, *, samples: int = 200_000, seed: int = 0) -> float:
    """Return the two-sided p of the mean difference if each concept's sign were a coin's.

    Exact over all 2^C sign patterns up to ``MAX_EXACT_CONCEPTS``; beyond, from random patterns with the
    observed one counted, so that p is never 0.

    Args:
        differences: one number a concept (mean over its queries and seeds), finite.
        samples: random patterns, where there are too many to try all.
        seed: of the random generator.

    Raises:
        BadInputError: If there is no difference or one is not finite.

    Example:
        >>> sign_flip_p([0.1, 0.2, 0.3])
        0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise BadInputError(f"differences have shape {values.shape}; expected finite numbers, one a concept")
    observed = abs(values.sum()) - TOLERANCE * np.abs(values).sum()
    if len(values) <= MAX_EXACT_CONCEPTS:
        return float(np.mean(np.abs(_all_sums(values)) >= observed))
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, samples, 4096):
        signs = rng.integers(0, 2, size=(min(4096, samples - start), len(values))) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ values) >= observed))
    return (extreme + 1) / (samples + 1)


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of a family of tests after Holm's step-down correction, in the given order.

    Example:
        >>> holm_adjusted([0.04, 0.01])
        [0.04, 0.02]
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise BadInputError(f"p-values are {list(p_values)}; expected numbers in [0, 1]")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def _all_sums(values: FloatArray) -> FloatArray:
    """Return the sums under all sign patterns with the first sign fixed; the other half mirrors them."""
    sums = values[:1]
    for value in values[1:]:
        sums = np.concatenate((sums + value, sums - value))
    return sums
