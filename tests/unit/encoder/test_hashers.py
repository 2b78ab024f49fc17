import itertools
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoder.codes import hamming_distances, unpack_codes
from encoder.hashers import Hasher, create_hasher, hasher_names
from encoder.hashers.base import principal_directions
from encoder.hashers.bre import best_step
from encoder.hashers.cnnh import decompose_similarity
from encoder.hashers.isohash import equal_diagonal_rotation
from encoder.hashers.itq import random_rotation
from encoder.networks.pooled import LinearHead, SpectralHead
from hashreel.errors import BadInputError


def blobs(n: int = 400, d: int = 64, groups: int = 8, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return clustered features [n, d] and the cluster of each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, groups, n)
    return (rng.normal(size=(groups, d))[labels] + 0.3 * rng.normal(size=(n, d))).astype(np.float32), labels


def fitted(kind: str, x: NDArray[np.float32], labels: NDArray[np.int64], bits: int = 16, **options: Any) -> Hasher:
    hasher = create_hasher(kind, bits, **options)
    return hasher.fit(x, np.eye(labels.max() + 1)[labels]) if kind == "cnnh" else hasher.fit(x)


@pytest.mark.parametrize("kind", hasher_names())
def test_every_hasher_puts_pictures_of_one_cluster_closer(kind: str) -> None:
    x, labels = blobs()
    codes = fitted(kind, x, labels).encode(x)
    assert codes.shape == (400, 2)
    distances = hamming_distances(codes, codes)
    same = labels[:, None] == labels[None, :]
    assert distances[~same].mean() > distances[same].mean() + 3


@pytest.mark.parametrize("kind", hasher_names())
def test_bits_are_the_signs_of_projections_scaled_to_unit_spread(kind: str) -> None:
    x, labels = blobs()
    hasher = fitted(kind, x, labels)
    projections = hasher.project(x)
    assert projections.std() == pytest.approx(1)
    np.testing.assert_array_equal(unpack_codes(hasher.encode(x), 16), projections >= 0)


@pytest.mark.parametrize("kind", hasher_names())
def test_equal_seeds_give_equal_codes(kind: str) -> None:
    x, labels = blobs()
    first, second = (fitted(kind, x, labels, seed=3).encode(x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", hasher_names())
def test_length_of_a_vector_does_not_count_when_normalised(kind: str) -> None:
    x, labels = blobs()
    hasher = fitted(kind, x, labels)
    np.testing.assert_array_equal(hasher.encode(x), hasher.encode(x * 7))


@pytest.mark.parametrize("kind", hasher_names())
def test_bad_features_are_refused(kind: str) -> None:
    x, _ = blobs()
    for bad in (x[:0], x[0], x.astype(int), np.where(x > 2, np.nan, x)):
        with pytest.raises(BadInputError):
            create_hasher(kind, 16).fit(bad)
    with pytest.raises(BadInputError, match="equal"):
        create_hasher(kind, 16).fit(np.ones((50, 20)))
    with pytest.raises(BadInputError, match="fit"):
        create_hasher(kind, 16).encode(x)


def test_itq_loss_never_rises_and_its_rotation_is_orthogonal() -> None:
    x, _ = blobs()
    hasher = create_hasher("itq", 16, normalise=False).fit(x)
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(hasher.losses))
    np.testing.assert_allclose(hasher.weight.T @ hasher.weight, np.eye(16), atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_itq_quantises_no_worse_than_faiss_from_the_same_first_rotation(seed: int) -> None:
    x, _ = blobs(n=2000, seed=seed)
    hasher = create_hasher("itq", 16, normalise=False, seed=seed).fit(x)
    mean = x.mean(axis=0, dtype=np.float64)
    directions, _ = principal_directions(x - mean, 16)
    v = ((x - mean) @ directions).astype(np.float32)
    theirs = faiss.ITQMatrix(16)
    faiss.copy_array_to_vector(random_rotation(16, seed=seed).ravel(), theirs.init_rotation)
    theirs.train(v)

    def loss(z: NDArray[np.floating]) -> float:
        return float(np.mean((np.where(z >= 0, 1, -1) - z) ** 2))

    assert loss(hasher.project(x) / hasher.scale) <= loss(theirs.apply(v)) + 1e-6


def test_pca_spans_the_space_that_faiss_finds() -> None:
    x, _ = blobs(n=2000)
    ours = create_hasher("pca", 8, normalise=False).fit(x)
    theirs = faiss.PCAMatrix(64, 8)
    theirs.train(x)
    np.testing.assert_allclose(np.abs(ours.project(x) / ours.scale), np.abs(theirs.apply(x)), atol=2e-3)


def test_lsh_equals_faiss_with_the_same_hyperplanes() -> None:
    x, _ = blobs()
    hasher = create_hasher("lsh", 48, normalise=False, centre=False).fit(x)
    index = faiss.IndexLSH(64, 48, True, False)
    faiss.copy_array_to_vector(hasher.weight.T.astype(np.float32).ravel(), index.rrot.A)
    index.rrot.is_orthonormal = False
    np.testing.assert_array_equal(hasher.encode(x), index.sa_encode(x))


def test_lsh_collisions_follow_the_angle() -> None:
    rng = np.random.default_rng(0)
    hasher = create_hasher("lsh", 256, centre=False).fit(rng.normal(size=(10, 50)))
    a = rng.normal(size=50)
    b = a + 0.5 * rng.normal(size=50)
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) / np.pi
    codes = hasher.encode(np.stack([a, b]))
    assert hamming_distances(codes[:1], codes[1:])[0, 0] / 256 == pytest.approx(angle, abs=0.1)


def test_pca_bits_are_in_the_order_of_falling_variance() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 12)) * np.arange(12, 0, -1)
    variances = create_hasher("pca", 8, normalise=False).fit(x).project(x).var(axis=0)
    assert (np.diff(variances) < 0).all()


def test_too_few_vectors_for_the_bits_are_refused() -> None:
    with pytest.raises(BadInputError, match="principal directions"):
        create_hasher("itq", 48).fit(np.random.default_rng(0).normal(size=(40, 64)))


def test_unknown_hashers_and_options_are_refused() -> None:
    with pytest.raises(BadInputError, match="no hasher"):
        create_hasher("nothing")
    with pytest.raises(BadInputError, match="options"):
        create_hasher("itq", 16, speed=9)


def test_spectral_bits_are_cosines_along_principal_directions() -> None:
    x, _ = blobs()
    hasher = create_hasher("sh", 16, normalise=False).fit(x)
    directions, _ = principal_directions(x - x.mean(axis=0, dtype=np.float64), 16)
    v = (x - x.mean(axis=0, dtype=np.float64)) @ directions
    low, high = v.min(axis=0), v.max(axis=0)
    modes = sorted((k / (high[d] - low[d]), d, k) for d in range(16) for k in range(1, 17))[:16]
    expected = np.stack([np.cos(k * np.pi * (v[:, d] - low[d]) / (high[d] - low[d])) for _, d, k in modes], axis=1)
    np.testing.assert_allclose(hasher.project(x) / hasher.scale, expected, atol=1e-6)


@pytest.mark.parametrize("size", [2, 8, 48])
def test_isotropic_rotation_equalises_the_diagonal(size: int) -> None:
    rng = np.random.default_rng(size)
    a = rng.normal(size=(size, size))
    matrix = a @ a.T
    q = equal_diagonal_rotation(matrix)
    np.testing.assert_allclose(q.T @ q, np.eye(size), atol=1e-9)
    np.testing.assert_allclose(np.diag(q.T @ matrix @ q), np.trace(matrix) / size, rtol=1e-9)


def test_isohash_gives_every_bit_the_same_variance() -> None:
    x, _ = blobs()
    variances = create_hasher("isohash", 16).fit(x).project(x).var(axis=0)
    np.testing.assert_allclose(variances, variances.mean(), rtol=1e-6)


def test_bre_step_is_the_best_of_all_intervals() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        without, kernel = rng.normal(size=(2, 9))
        cost = rng.normal(size=(9, 9))
        cost += cost.T

        def objective(t: float, w: Any = without, k: Any = kernel, c: Any = cost) -> float:
            signs = np.where(w + t * k >= 0, 1, -1)
            return float((c * (1 - np.outer(signs, signs)) / 2).sum())

        best = min(objective(t) for t in np.linspace(-30, 30, 3001))
        assert objective(best_step(without, kernel, cost, 0.0)) <= best + 1e-9


def test_bre_objective_never_rises_and_falls_in_all() -> None:
    x, _ = blobs()
    losses = create_hasher("bre", 16).fit(x).losses
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(losses))
    assert losses[-1] < 0.95 * losses[0]


def test_cnnh_codes_rebuild_the_similarity_of_labels() -> None:
    targets = np.eye(2)[np.arange(10) % 2]
    codes = decompose_similarity(targets, 16, np.random.default_rng(0))
    np.testing.assert_array_equal(codes @ codes.T / 16, np.where(targets @ targets.T > 0, 1, -1))


def test_labels_are_asked_for_and_refused() -> None:
    x, labels = blobs()
    targets = np.eye(8)[labels]
    with pytest.raises(BadInputError, match="labels"):
        create_hasher("cnnh", 16).fit(x)
    with pytest.raises(BadInputError, match="does not learn from labels"):
        create_hasher("itq", 16).fit(x, targets)
    with pytest.raises(BadInputError, match="targets"):
        create_hasher("cnnh", 16).fit(x, targets[:-1])


@pytest.mark.parametrize("kind", hasher_names())
def test_the_network_part_computes_what_the_hasher_computes(kind: str) -> None:
    x, labels = blobs()
    hasher = fitted(kind, x, labels)
    head = {"linear": LinearHead, "spectral": SpectralHead}[hasher.head](64, 16)
    head.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in hasher.tensors().items()})
    unit = torch.nn.functional.normalize(torch.from_numpy(x), dim=1)
    np.testing.assert_allclose(head(unit).numpy(), hasher.project(x), atol=1e-4)
