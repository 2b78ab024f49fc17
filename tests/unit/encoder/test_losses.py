import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from encoder.codes import binarise, hamming_distances
from encoder.losses import create_loss, loss_names
from encoder.losses.base import soft_cross_entropy
from encoder.losses.pointwise import class_codes
from encoder.networks.base import NetworkOutput
from encoder.networks.hash_head import HashHead
from hashreel.errors import BadInputError

POINTWISE = ("classification", "ssdh")  # made for a hash layer that starts at bias 1; the others need centred bits


def result(latent: Tensor, logits: Tensor | None = None) -> NetworkOutput:
    return NetworkOutput(latent.sigmoid(), latent, logits)


def batch(n: int = 6, bits: int = 8, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Return latent values [n, L], class scores [n, C] and targets [n, C]."""
    torch.manual_seed(0)
    labels = torch.arange(n) % classes
    return torch.randn(n, bits), torch.randn(n, classes), F.one_hot(labels, classes).float()


def test_cross_entropy_is_the_negative_log_likelihood_for_single_labels() -> None:
    _, logits, targets = batch()
    expected = F.nll_loss(logits.log_softmax(1), targets.argmax(1))
    torch.testing.assert_close(soft_cross_entropy(logits, targets), expected)


def test_cross_entropy_shares_the_weight_among_several_labels_and_skips_rows_without() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [5.0, 0.0, 0.0]])
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    p = logits[0].softmax(0)
    assert float(soft_cross_entropy(logits, targets)) == pytest.approx(-0.5 * (math.log(p[0]) + math.log(p[1])))


def test_ssdh_equals_its_equation() -> None:
    latent, logits, targets = batch()
    r = latent.sigmoid().numpy()
    expected = float(F.cross_entropy(logits, targets.argmax(1)))
    expected += -2 * float(np.mean((r - 0.5) ** 2)) + 3 * float(np.mean((r.mean(1) - 0.5) ** 2))
    loss = create_loss("ssdh", 8, 3, alpha=2.0, beta=3.0)
    assert float(loss(result(latent, logits), targets)) == pytest.approx(expected, rel=1e-5)


def test_orthohash_equals_loops_over_classes() -> None:
    latent, _, targets = batch()
    loss = create_loss("orthohash", 8, 3, margin=0.3)
    codes = loss.get_buffer("codes")
    total = 0.0
    for u, y in zip(latent, targets.argmax(1).tolist(), strict=True):
        scores = [float(F.cosine_similarity(u, codes[c], dim=0)) - 0.3 * (c == y) for c in range(3)]
        exponents = [math.exp(math.sqrt(8) * score) for score in scores]
        total -= math.log(exponents[y] / sum(exponents)) / len(latent)
    assert float(loss(result(latent), targets)) == pytest.approx(total, rel=1e-5)


def test_class_codes_are_signs_and_far_apart() -> None:
    codes = class_codes(48, 10, seed=0)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    distances = ((codes[:, None] != codes[None]).sum(2) + 48 * torch.eye(10)).min()
    assert distances >= 16


def test_dpsh_equals_loops_over_pairs() -> None:
    latent, _, targets = batch()
    total, pairs = 0.0, 0
    for i in range(6):
        for j in range(i + 1, 6):
            theta = 0.5 * float(latent[i] @ latent[j])
            similar = float(targets[i] @ targets[j] > 0)
            total += math.log(1 + math.exp(theta)) - similar * theta
            pairs += 1
    u = latent.numpy()
    expected = total / pairs + 0.7 * float(np.mean((u - np.where(u >= 0, 1, -1)) ** 2))
    assert float(create_loss("dpsh", 8, 3, eta=0.7)(result(latent), targets)) == pytest.approx(expected, rel=1e-5)


def test_dtsh_equals_loops_over_triplets() -> None:
    latent, _, targets = batch()
    similar = (targets @ targets.T > 0).numpy()
    theta = (0.5 * latent @ latent.T).numpy()
    terms = [
        math.log(1 + math.exp(-(theta[q, p] - theta[q, n] - 2.0)))
        for q in range(6)
        for p in range(6)
        for n in range(6)
        if p != q and similar[q, p] and not similar[q, n]
    ]
    u = latent.numpy()
    expected = float(np.mean(terms)) + 0.7 * float(np.mean((u - np.where(u >= 0, 1, -1)) ** 2))
    loss = create_loss("dtsh", 8, 3, alpha=2.0, eta=0.7)
    assert float(loss(result(latent), targets)) == pytest.approx(expected, rel=1e-5)


def test_dsh_equals_loops_over_pairs() -> None:
    latent, _, targets = batch()
    total, pairs = 0.0, 0
    for i in range(6):
        for j in range(i + 1, 6):
            distance = float((latent[i] - latent[j]).square().sum())
            total += 0.5 * (distance if targets[i] @ targets[j] > 0 else max(16 - distance, 0))
            pairs += 1
    expected = total / pairs + 0.5 * float((latent.abs() - 1).abs().mean())
    assert float(create_loss("dsh", 8, 3)(result(latent), targets)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", loss_names())
def test_gradients_are_finite_for_one_picture_and_for_equal_ones(name: str) -> None:
    head = HashHead(4, hidden=(), bits=8, classes=3)
    for x in (torch.ones(1, 4), torch.ones(5, 4)):
        out = head(x)
        targets = F.one_hot(torch.zeros(len(x), dtype=torch.long), 3).float()
        loss = create_loss(name, 8, 3)(NetworkOutput(out.outputs, out.latent, out.logits), targets)
        loss.backward()
        assert torch.isfinite(loss)
        assert head.hash.weight.grad is not None
        assert torch.isfinite(head.hash.weight.grad).all()


@pytest.mark.parametrize("name", loss_names())
def test_each_loss_learns_64_pictures_by_heart(name: str) -> None:
    """Every nearest neighbour has the same class, and codes of different classes lie at least 8 bits apart."""
    torch.manual_seed(0)
    bits, classes = 48, 4
    features = torch.randn(64, 32)  # no structure: the classes must be learned by heart
    labels = torch.arange(64) % classes
    targets = F.one_hot(labels, classes).float()
    head = HashHead(32, hidden=(128,), bits=bits, classes=classes, dropout=0.0, centre=name not in POINTWISE)
    loss = create_loss(name, bits, classes)
    optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)
    for _ in range(300):
        out = head(features)
        value = loss(NetworkOutput(out.outputs, out.latent, out.logits), targets)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    with torch.inference_mode():
        codes = binarise(head.eval()(features).outputs.numpy())
    distances = hamming_distances(codes, codes)
    same = (labels[:, None] == labels[None, :]).numpy()
    nearest = (distances + 99 * np.eye(64, dtype=np.int32)).argmin(axis=1)
    assert (labels.numpy()[nearest] == labels.numpy()).all()
    assert distances[~same].mean() - distances[same].mean() >= 8


def test_unknown_losses_options_and_missing_class_layers_are_refused() -> None:
    latent, _, targets = batch()
    with pytest.raises(BadInputError, match="no loss"):
        create_loss("nothing", 8, 3)
    with pytest.raises(BadInputError, match="options"):
        create_loss("dsh", 8, 3, speed=1)
    with pytest.raises(BadInputError, match="class layer"):
        create_loss("classification", 8, 3)(result(latent), targets)
