import pytest
import torch
from torch import nn

from encoder.trunks import create_trunk
from encoder.trunks.vgg import CUT, VggNetwork
from encoder.trunks.vgg_transfer import fit_pointwise, sum_taps, transfer_d_to_c
from hashreel.errors import BadInputError

SMALL = (4, 6, 8, 8, 8)


@pytest.mark.parametrize(("configuration", "millions"), [("D", 138.4), ("C", 133.6)])
def test_parameters_are_those_in_print(configuration: str, millions: float) -> None:
    with torch.device("meta"):
        network = VggNetwork(configuration)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions


def test_d_has_torchvisions_layers() -> None:
    from torchvision.models import vgg16

    with torch.device("meta"):
        ours, theirs = VggNetwork("D").state_dict(), vgg16(weights=None).state_dict()
    assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in theirs.items()}


def test_d_computes_what_torchvision_computes() -> None:
    from torchvision.models import vgg16

    theirs = vgg16(weights=None).features.eval()
    trunk = create_trunk("vgg16", pretrained=False)
    trunk.body.load_state_dict(theirs[:CUT].state_dict())
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(trunk(x), theirs[:CUT](x))


@pytest.mark.parametrize("name", ["vgg16", "vgg16c"])
def test_the_cut_is_28_by_28_by_512_and_the_rest_gives_fc6s_input(name: str) -> None:
    trunk = create_trunk(name, pretrained=False)
    with torch.inference_mode():
        feature_map = trunk(torch.zeros(1, 3, 224, 224))
        assert feature_map.shape == (1, 512, 28, 28)
        assert trunk.final_map(feature_map).flatten(1).shape == (1, 25088)
        assert trunk.pool(feature_map).shape == (1, 512)
    assert (trunk.channels, trunk.stride) == (512, 8)


def test_c_has_three_pointwise_convolutions() -> None:
    convolutions = [layer for layer in VggNetwork("C", widths=SMALL, hidden=8).features if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size[0] for layer in convolutions] == [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]


def test_summed_taps_equal_the_kernel_on_constant_input() -> None:
    weight = torch.rand(5, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    x = torch.rand(1, 4, 1, 1).expand(1, 4, 5, 5)
    inner = nn.functional.conv2d(x, weight)
    torch.testing.assert_close(nn.functional.conv2d(x, sum_taps(weight))[..., :3, :3], inner)


def test_least_squares_find_an_exact_pointwise_map() -> None:
    torch.manual_seed(0)
    x, w, b = torch.randn(200, 6), torch.randn(3, 6), torch.randn(3)
    weight, bias = fit_pointwise(x, x @ w.T + b)
    torch.testing.assert_close(weight.float(), w, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bias.float(), b, atol=1e-4, rtol=1e-4)


def _pair() -> tuple[VggNetwork, VggNetwork]:
    torch.manual_seed(0)
    source, target = (VggNetwork(c, widths=SMALL, hidden=8, classes=3).eval() for c in "DC")
    for layer in source.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return source, target


def test_fitted_transfer_is_nearer_to_d_than_summed_taps() -> None:
    x = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    errors = []
    for batches in ([], [x[:4], x[4:8]]):
        source, target = _pair()
        transfer_d_to_c(source, target, batches)
        with torch.inference_mode():
            errors.append(float((source.features[:CUT](x[8:]) - target.features[:CUT](x[8:])).pow(2).mean()))
    summed, fitted = errors
    assert fitted < 0.7 * summed


def test_transfer_is_exact_where_d_uses_only_its_centre_taps() -> None:
    source, target = _pair()
    for number in (14, 21, 28):
        weight = source.features[number].weight.data
        weight[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    transfer_d_to_c(source, target)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(source.features(x), target.features(x))


def test_transfer_refuses_the_wrong_way_round_and_other_widths() -> None:
    source, target = _pair()
    with pytest.raises(BadInputError, match="configuration"):
        transfer_d_to_c(target, source)
    with pytest.raises(BadInputError, match="widths"):
        transfer_d_to_c(source, VggNetwork("C", widths=(4, 6, 8, 8, 10), hidden=8, classes=3))


@pytest.mark.parametrize(("name", "stride", "channels"), [("resnet18", 32, 512), ("resnet50", 16, 2048)])
def test_resnets_are_trunks(name: str, stride: int, channels: int) -> None:
    trunk = create_trunk(name, pretrained=False, output_stride=stride)
    with torch.inference_mode():
        assert trunk(torch.zeros(1, 3, 64, 64)).shape == (1, channels, 64 // stride, 64 // stride)
    assert trunk.stride == stride


@pytest.mark.parametrize(("name", "stride"), [("resnet18", 8), ("vgg16", 32)])
def test_impossible_strides_are_refused(name: str, stride: int) -> None:
    with pytest.raises(BadInputError, match="stride"):
        create_trunk(name, pretrained=False, output_stride=stride)
