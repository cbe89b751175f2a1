"""MeshNet keeps the size of what it sees, looks as far as its dilations say, and numbers its layers as published."""

import pytest
import torch

from napari_medseg.errors import BundleError
from napari_medseg.models import ModelSpec, build
from napari_medseg.models.registry import network_def


def spec(dims: int = 3, **options) -> ModelSpec:
    return ModelSpec(name="m", architecture="meshnet", dims=dims, patch_size=(16,) * dims, options=options)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("activation", ["relu", "elu", "gelu"])
@pytest.mark.parametrize("instance_norm", [False, True])
def test_one_logit_per_class_and_voxel(dims, activation, instance_norm):
    model = spec(dims, features=3, dilations=[1, 2], activation=activation, instance_norm=instance_norm, bias=False)
    network = build(model)
    size = (7, 9, 11)[:dims]
    assert network(torch.randn((2, 1, *size))).shape == (2, 2, *size)
    assert list(network.state_dict()) == ["0.weight", "2.weight", "4.weight", "4.bias"]


def test_a_voxel_sees_as_far_as_the_sum_of_the_dilations():
    network = build(spec(features=2, dilations=[1, 2, 4]))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.1)
    image = torch.zeros((1, 1, 21, 1, 21))
    image[..., 10, 0, 10] = 1.0
    changed = (network(image) - network(torch.zeros_like(image)))[0, 0, :, 0].abs() > 1e-7
    assert changed.any(dim=1).nonzero().flatten().tolist() == list(range(3, 18))


def test_by_hand_one_layer_is_convolution_activation_and_mixing():
    network = build(spec(dims=2, features=1, dilations=[1], activation="elu"))
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), (1.0, -5.0, 2.0, 0.5), strict=True):
            parameter.fill_(value)
    output = network(torch.ones((1, 1, 3, 3)))
    # The middle sums nine ones, a corner four: elu(9 - 5) = 4, elu(4 - 5) = e^-1 - 1.
    assert output[0, 0, 1, 1].item() == pytest.approx(2 * 4 + 0.5)
    assert output[0, 1, 0, 0].item() == pytest.approx(2 * (2.718281828**-1 - 1) + 0.5)


def test_monai_reads_the_layers_as_a_list():
    config = network_def(spec(features=3, dilations=[1, 2])).to_config()
    assert config["network_def"] == "$torch.nn.Sequential(*@network_layers)"
    assert [layer["_target_"] for layer in config["network_layers"]][:2] == ["torch.nn.Conv3d", "torch.nn.ReLU"]
    assert len(config["network_layers"]) == 5


@pytest.mark.parametrize("options", [{"dilations": []}, {"dilations": [0]}, {"activation": "tanh"}, {"features": 0}])
def test_sizes_that_make_no_network(options):
    with pytest.raises(BundleError, match="MeshNet"):
        build(spec(**options))
