from typing import Any

import pytest
import torch
from torch import Tensor, nn

from encoder.networks import create_network, network_kinds
from encoder.networks.baseline import BaselineHashNetwork
from encoder.networks.hash_head import HashHead
from encoder.networks.psp import PAPER_KERNELS, PspModule, PyramidPooling, scaled_kernels
from encoder.networks.psp_hash import PspHashNetwork, masked_means
from encoder.networks.segmentation import SegmentationHead, SegmentationNetwork
from encoder.trunks import Trunk, create_trunk
from hashreel.errors import BadInputError

PAPER = {
    "kind": "psp",
    "side": 28,
    "fuse_channels": 512,
    "mask_classes": 21,
    "input": "grid",
    "with_trunk": False,
    "hidden": [4096, 4096],
    "classes": 10,
    "dropout": 0.5,
    "centre": False,
}
BASELINE = {
    "kind": "baseline",
    "input": "spatial",
    "hidden": [4096, 4096],
    "classes": 10,
    "dropout": 0.5,
    "centre": False,
}


class TinyTrunk(Trunk):
    """8 channels at stride 8 and a final map of 12, for networks without a real trunk's cost."""

    def __init__(self) -> None:
        super().__init__("tiny", channels=8, stride=8, pooled_channels=12)
        self.body = nn.Conv2d(3, 8, 8, 8)
        self.tail = nn.Conv2d(8, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x))

    def final_map(self, feature_map: Tensor) -> Tensor:
        return torch.relu(self.tail(feature_map))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_pooling_kernels_are_the_papers_and_scale_with_the_map() -> None:
    assert scaled_kernels(28) == PAPER_KERNELS
    assert scaled_kernels(14) == (14, 7, 4, 3)
    for side in (4, 7, 14, 28, 30):
        assert [side // k for k in scaled_kernels(side)][:2] == [1, 2]
    with pytest.raises(BadInputError, match="4 × 4"):
        scaled_kernels(3)


def test_psp_shapes_at_224() -> None:
    psp = PspModule(512, 28).eval()
    x = torch.zeros(1, 512, 28, 28)
    assert [level.pool(x).shape[-1] for level in psp.pyramid.levels] == [1, 2, 3, 4]
    assert [level.conv.weight.shape for level in psp.pyramid.levels] == [(128, 512, 1, 1)] * 4
    with torch.inference_mode():
        stack, fused = psp(x)
    assert stack.shape == (1, 1024, 28, 28)
    assert fused.shape == (1, 512, 28, 28)


def test_psp_parameters() -> None:
    levels, fuse = 4 * (512 * 128 + 2 * 128), 1024 * 512 * 9 + 2 * 512
    assert count(PspModule(512, 28)) == levels + fuse == 4_982_784


def slow_pyramid(x: Tensor, weights: list[Tensor], kernels: tuple[int, ...]) -> Tensor:
    """Pool, project, rectify and enlarge by loops over cells; BN is the identity at initialisation."""
    n, channels, side, _ = x.shape
    parts = [x]
    for weight, kernel in zip(weights, kernels, strict=True):
        bins = side // kernel
        pooled = torch.zeros(n, channels, bins, bins)
        for i in range(bins):
            for j in range(bins):
                window = x[:, :, i * kernel : (i + 1) * kernel, j * kernel : (j + 1) * kernel]
                pooled[:, :, i, j] = window.mean(dim=(2, 3))
        small = torch.einsum("oc,ncij->noij", weight[:, :, 0, 0], pooled).clamp(min=0) / (1 + 1e-5) ** 0.5
        large = torch.zeros(n, weight.shape[0], side, side)
        for i in range(side):
            for j in range(side):
                y, z = ((k + 0.5) * bins / side - 0.5 for k in (i, j))
                y, z = max(y, 0.0), max(z, 0.0)
                y0, z0 = int(y), int(z)
                y1, z1 = min(y0 + 1, bins - 1), min(z0 + 1, bins - 1)
                top = small[:, :, y0, z0] * (1 - z + z0) + small[:, :, y0, z1] * (z - z0)
                bottom = small[:, :, y1, z0] * (1 - z + z0) + small[:, :, y1, z1] * (z - z0)
                large[:, :, i, j] = top * (1 - y + y0) + bottom * (y - y0)
        parts.append(large)
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("side", [28, 14, 10])
def test_pyramid_equals_a_slow_direct_computation(side: int) -> None:
    torch.manual_seed(0)
    pyramid = PyramidPooling(8, side).eval()
    x = torch.randn(2, 8, side, side)
    with torch.inference_mode():
        expected = slow_pyramid(x, [level.conv.weight for level in pyramid.levels], scaled_kernels(side))
        torch.testing.assert_close(pyramid(x), expected, atol=1e-5, rtol=1e-5)


def test_segmentation_scores_have_the_pictures_size() -> None:
    network = SegmentationNetwork(TinyTrunk(), 8, classes=5, fuse_channels=16).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 5, 64, 64)
    assert count(SegmentationHead(512, 21)) == 512 * 21 + 21


def test_hash_head_shapes_parameters_and_initialisation() -> None:
    torch.manual_seed(0)
    head = HashHead(25088, hidden=(4096, 4096), bits=48, classes=10).eval()
    assert count(head) == 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 48 + 48 + 48 * 10 + 10
    assert float(head.hash.weight.detach().std()) == pytest.approx(0.005, rel=0.02)
    assert float(head.classify.weight.detach().std()) == pytest.approx(0.01, rel=0.15)
    assert head.hash.bias.eq(1).all()
    with torch.no_grad():
        latent, outputs, logits = head(torch.randn(3, 25088))
        assert (latent.shape, outputs.shape, logits.shape) == ((3, 48), (3, 48), (3, 10))
        torch.testing.assert_close(outputs, latent.sigmoid())
        torch.testing.assert_close(logits, head.classify(outputs))
    assert (logits < 0).any()  # nothing clips the class scores


def test_hash_head_can_centre_its_bits() -> None:
    torch.manual_seed(0)
    head = HashHead(6, hidden=(), bits=8, classes=2, centre=True)
    latent = head(torch.randn(200, 6) + 5).latent
    torch.testing.assert_close(latent.mean(dim=0), torch.zeros(8), atol=1e-3, rtol=0)


def test_the_papers_network_at_224() -> None:
    network = create_network(PAPER, create_trunk("vgg16", pretrained=False), 48).eval()
    assert isinstance(network, PspHashNetwork)
    with torch.inference_mode():
        feature_map = network.trunk(torch.zeros(1, 3, 224, 224))
        assert feature_map.shape == (1, 512, 28, 28)
        assert network.head_input(feature_map).shape == (1, 25088)
        result = network.from_map(feature_map)
    assert result.outputs.shape == (1, 48)
    assert result.logits is not None
    assert result.logits.shape == (1, 10)
    assert result.mask_scores is not None
    assert result.mask_scores.shape == (1, 21, 28, 28)


def test_the_baseline_at_224_is_vgg_with_a_hash_layer() -> None:
    network = create_network(BASELINE, create_trunk("vgg16", pretrained=False), 48).eval()
    assert isinstance(network, BaselineHashNetwork)
    vgg_without_last = 138_357_544 - (4096 * 1000 + 1000)
    assert count(network) == vgg_without_last + 4096 * 48 + 48 + 48 * 10 + 10
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 224, 224)).outputs.shape == (1, 48)


@pytest.mark.parametrize(
    ("input_kind", "width"), [("grid", 49 * 16), ("gap", 16), ("logits", 5 * 64), ("masked", 5 * 17)]
)
@pytest.mark.parametrize("with_trunk", [False, True])
def test_every_head_input_has_its_width(input_kind: str, width: int, with_trunk: bool) -> None:
    small: dict[str, Any] = {"side": 8, "fuse_channels": 16, "mask_classes": 5, "hidden": [32], "input": input_kind}
    network = create_network({**PAPER, **small, "with_trunk": with_trunk}, TinyTrunk(), 16).eval()
    with torch.inference_mode():
        feature_map = network.trunk(torch.rand(2, 3, 64, 64))
        features = network.head_input(feature_map)
        assert features.shape == (2, width + 12 * with_trunk)
        torch.testing.assert_close(network.from_head_input(features).outputs, network.from_map(feature_map).outputs)


def test_masked_means_equal_loops_over_cells() -> None:
    torch.manual_seed(0)
    fused, scores = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    p = scores.softmax(dim=1)
    expected = torch.zeros(2, 5 * 4)
    for n in range(2):
        for m in range(5):
            weighted = sum(p[n, m, i, j] * fused[n, :, i, j] for i in range(4) for j in range(4))
            expected[n, 3 * m : 3 * m + 3] = weighted / (p[n, m].sum() + 1)
            expected[n, 15 + m] = p[n, m].mean()
    torch.testing.assert_close(masked_means(fused, scores), expected)


@pytest.mark.parametrize("kind", ["baseline", "psp", "nothing"])
def test_bad_architectures_are_refused(kind: str) -> None:
    with pytest.raises(BadInputError):
        create_network({"kind": kind}, TinyTrunk(), 16)
    small = {"side": 8, "fuse_channels": 16, "mask_classes": 5, "input": "nothing"}
    with pytest.raises(BadInputError, match="head input"):
        create_network({**PAPER, **small, "kind": "psp"}, TinyTrunk(), 16)


def test_kinds_are_named() -> None:
    assert {"linear", "baseline", "psp"} <= set(network_kinds())


def test_a_head_that_standardises_sees_mean_0_and_spread_1() -> None:
    torch.manual_seed(0)
    head = HashHead(6, hidden=(4,), bits=8, classes=3, standardise=True)
    plain = HashHead(6, hidden=(4,), bits=8, classes=3)
    plain.load_state_dict({k: v for k, v in head.state_dict().items() if not k.startswith("standardise")})
    x = torch.rand(500, 6) * torch.tensor([1.0, 10, 100, 0.1, 1, 1]) + 5
    for _ in range(80):
        head.train()(x)
    expected = plain.eval()((x - x.mean(dim=0)) / x.std(dim=0)).latent
    torch.testing.assert_close(head.eval()(x).latent, expected, atol=0.02, rtol=0.02)
