"""Classifiers give one logit per class; pretrained weights are adapted to channels and classes."""

import re

import pytest
import torch

from napari_medseg.errors import BundleError
from napari_medseg.models import ModelSpec, build
from napari_medseg.models.card import model_card
from napari_medseg.models.configs import metadata
from napari_medseg.models.nets.classifiers import adapted
from napari_medseg.models.pretrained import head_names, load_pretrained
from napari_medseg.volume import LabelClass


def spec(architecture: str, classes: int = 3, **fields) -> ModelSpec:
    dims = fields.pop("dims", 2)
    known = tuple(LabelClass(value=k, name=f"c{k}") for k in range(classes))
    values = {"patch_size": (32,) * dims, "axcodes": None, "channels": 1} | fields
    return ModelSpec(name="m", architecture=architecture, task="classification", dims=dims, classes=known, **values)


@pytest.mark.parametrize(
    ("architecture", "fields"),
    [
        ("resnet18_small", {"options": {"width": 2}, "patch_size": (28, 28)}),
        ("cnn_small", {"options": {"width": 2}}),
        ("cnn_small", {"options": {"width": 2}, "dims": 3, "patch_size": (8, 8, 8)}),
        ("squeezenet1_1", {}),
        ("resnet18", {"channels": 2}),
        ("resnet10_3d", {"dims": 3, "patch_size": (16, 16, 16)}),
        ("vit_3d", {"dims": 3, "patch_size": (8, 16, 8), "options": {"patch": 8, "hidden": 12, "layers": 1}}),
    ],
)
def test_one_logit_per_class(architecture, fields):
    model = spec(architecture, **fields)
    network = build(model).eval()
    assert network(torch.zeros((2, model.channels, *model.patch_size))).shape == (2, 3)


@pytest.mark.parametrize(
    "architecture",
    ["resnet34", "resnet50", "densenet121", "vgg16", "inception_v3", "efficientnet_b0", "convnext_tiny", "vit_b_16",
     "densenet121_3d", "resnet34_3d", "resnet50_3d"],
)  # fmt: skip
def test_every_family_can_be_built(architecture):
    dims = 3 if architecture.endswith("_3d") else 2
    with torch.device("meta"):
        network = build(spec(architecture, dims=dims, patch_size=(224,) * 2 if dims == 2 else (64,) * 3))
    assert any(parameter.shape[0] == 3 for parameter in network.parameters())


def test_the_small_resnet_of_width_64_is_the_one_of_the_benchmark():
    # torchvision's ResNet-18 for ten classes, whose 7 x 7 stem has 9408 weights and the 3 x 3 one 1728.
    network = build(spec("resnet18_small", 10, channels=3, options={"width": 64}))
    assert sum(p.numel() for p in network.parameters()) == 11_181_642 - 9408 + 1728


@pytest.mark.parametrize("classes", [2, 5])
def test_a_grey_image_gives_what_three_equal_channels_gave(tmp_path, classes):
    torch.manual_seed(0)
    colour = build(spec("squeezenet1_1", 4, channels=3)).eval()
    path = tmp_path / "weights.pt"
    torch.save(colour.state_dict(), path)
    model = spec("squeezenet1_1", classes)
    grey = build(model).eval()
    load_pretrained(grey, model, path)
    image = torch.randn((2, 1, 32, 32))
    torch.testing.assert_close(grey.features(image), colour.features(image.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_only_the_last_layer_may_be_new(tmp_path):
    model = spec("squeezenet1_1")
    assert head_names(model) == {"classifier.1.weight", "classifier.1.bias"}
    state = build(model).state_dict()
    del state["features.0.bias"]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(BundleError, match=r"features\.0\.bias is missing"):
        load_pretrained(build(model), model, tmp_path / "weights.pt")


def test_weights_from_imagenet_by_hand(shared_data):
    path = shared_data("weights") / "squeezenet1_0-imagenet" / "squeezenet1_0_imagenet_fp16.safetensors"
    model = spec("squeezenet1_0", 2)
    network = build(model)
    load_pretrained(network, model, path)
    from safetensors.torch import load_file

    before = load_file(path)["features.0.weight"].float()
    torch.testing.assert_close(network.features[0].weight.data, before.sum(dim=1, keepdim=True))


def test_files_of_older_versions_are_understood(tmp_path):
    model = spec("densenet121")
    torch.manual_seed(0)
    before, after = build(model), build(model)
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name): value
        for name, value in before.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save(state, tmp_path / "densenet.pth")
    load_pretrained(after, model, tmp_path / "densenet.pth")
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())


@pytest.mark.parametrize("architecture", ["resnet10_3d", "resnet18_3d"])
def test_files_laid_out_as_those_of_medicalnet_fit(tmp_path, architecture):
    model = spec(architecture, dims=3, channels=2, patch_size=(16, 16, 16))
    torch.manual_seed(0)
    source, after = build(model.model_copy(update={"channels": 1})), build(model)
    # As in MedicalNet's files: without a last layer and the counters of normalisation, in a wrapper, from several GPUs.
    state = {
        f"module.{name}": value
        for name, value in source.state_dict().items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }
    torch.save({"state_dict": state}, tmp_path / "resnet.pth")
    last = after.fc.weight.clone()
    load_pretrained(after, model, tmp_path / "resnet.pth")
    found = after.state_dict()
    torch.testing.assert_close(found["conv1.weight"].sum(dim=1), source.conv1.weight.data.sum(dim=1))
    assert torch.equal(found["layer4.0.conv2.weight"], source.layer4[0].conv2.weight)
    assert torch.equal(after.fc.weight, last)


def test_two_channels_share_the_sum():
    weight = torch.arange(6.0).reshape(1, 3, 2)
    torch.testing.assert_close(adapted(weight, 2).sum(dim=1), weight.sum(dim=1))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: spec("unet"), "not for classification"),
        (lambda: spec("resnet18", patch_size=(28, 28)), "at least 32 pixels"),
        (lambda: spec("vit_b_16", patch_size=(40, 40)), "multiple of 16"),
        (lambda: spec("resnet18", dims=3), "cannot have 3 dimensions"),
        (lambda: spec("vit_3d", dims=3, patch_size=(20, 16, 16)), "no multiples of 16"),
    ],
)
def test_specifications_that_cannot_be_built(model, message):
    with pytest.raises(BundleError, match=message):
        build(model())


def test_card_and_metadata_speak_of_classes():
    model = spec("cnn_small")
    assert "Tells apart c0, c1, c2." in model_card(model)
    assert metadata(model)["network_data_format"]["outputs"]["pred"]["format"] == "classification"
    assert metadata(model)["task"] == "2D classification"
