import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.codes import hamming_distances, unpack_codes
from encoder.hashers import create_hasher, hasher_names
from encoder.hashers.base import principal_directions
from encoder.hashers.itq import random_rotation
from hashreel.errors import BadInputError


def blobs(n: int = 400, d: int = 64, groups: int = 8, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return clustered features [n, d] and the cluster of each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, groups, n)
    return (rng.normal(size=(groups, d))[labels] + 0.3 * rng.normal(size=(n, d))).astype(np.float32), labels


@pytest.mark.parametrize("kind", hasher_names())
def test_every_hasher_puts_pictures_of_one_cluster_closer(kind: str) -> None:
    x, labels = blobs()
    codes = create_hasher(kind, 16).fit(x).encode(x)
    assert codes.shape == (400, 2)
    distances = hamming_distances(codes, codes)
    same = labels[:, None] == labels[None, :]
    assert distances[~same].mean() > distances[same].mean() + 3


@pytest.mark.parametrize("kind", hasher_names())
def test_bits_are_the_signs_of_projections_scaled_to_unit_spread(kind: str) -> None:
    x, _ = blobs()
    hasher = create_hasher(kind, 16).fit(x)
    projections = hasher.project(x)
    assert projections.std() == pytest.approx(1)
    np.testing.assert_array_equal(unpack_codes(hasher.encode(x), 16), projections >= 0)


@pytest.mark.parametrize("kind", hasher_names())
def test_equal_seeds_give_equal_codes(kind: str) -> None:
    x, _ = blobs()
    first, second = (create_hasher(kind, 16, seed=3).fit(x).encode(x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", hasher_names())
def test_length_of_a_vector_does_not_count_when_normalised(kind: str) -> None:
    x, _ = blobs()
    hasher = create_hasher(kind, 16).fit(x)
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
    assert all(b <= a + 1e-12 for a, b in zip(hasher.losses, hasher.losses[1:], strict=False))
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
