"""Every detector builds from its specification, in planes and volumes, and takes weights of its backbone."""

import pytest
import torch
from safetensors.torch import save_file

from napari_medseg.errors import BundleError
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.detector_weights import backbone_in, load_detector
from napari_medseg.models.nets.detectors.anchored import AnchoredDetector
from napari_medseg.models.nets.detectors.backbones import Backbone
from napari_medseg.models.registry import network_def
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(value=1, name="cell"), LabelClass(value=2, name="bud"))
SMALL = {"width": 8, "body": 4}


def spec_of(architecture, dims=2, channels=1, **options):
    return ModelSpec(name="finder", architecture=architecture, task="detection", dims=dims, channels=channels,
                     classes=CLASSES, options=SMALL | options, axcodes=None, patch_size=(32,) * dims)  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "dims", "options"),
    [
        ("onestage", 2, {}),
        ("onestage", 3, {"strides": (4,), "depth": 2}),
        ("onestage", 2, {"backbone": "squeezenet1_0"}),
        ("onestage", 2, {"backbone": "mobilenet_v3_small", "strides": (8, 16)}),
        ("onestage", 3, {"backbone": "resnet10", "strides": (4,)}),
        ("retinanet", 2, {"backbone": "resnet18", "strides": (8, 16)}),
        ("retinanet", 3, {"strides": (4, 8), "anchors": (((4, 5, 6), (8, 8, 8)), ((12, 12, 12), (16, 20, 24)))}),
    ],
)
def test_one_pass_detectors(architecture, dims, options):
    spec = spec_of(architecture, dims, **options)
    network = build(spec).eval()
    assert isinstance(network, AnchoredDetector)
    with torch.no_grad():
        raw = network(torch.zeros((2, 1, *(32,) * dims)))
    strides = options.get("strides", (8,))
    each = len(options["anchors"][0]) if "anchors" in options else 1
    assert raw.levels == tuple((32 // stride) ** dims * each for stride in strides)
    assert raw.logits.shape == (2, sum(raw.levels), 2)
    assert raw.boxes.shape == (2, sum(raw.levels), 2 * dims)
    size = options["anchors"][0][0] if "anchors" in options else (4 * strides[0],) * dims
    first = raw.anchors[0].view(2, dims)
    torch.testing.assert_close(first[1] - first[0], torch.tensor(size, dtype=torch.float32))
    torch.testing.assert_close(first.mean(dim=0), torch.full((dims,), strides[0] / 2))
    assert raw.logits.sigmoid().mean() < 0.1


@pytest.mark.parametrize("architecture", ["fasterrcnn", "maskrcnn"])
def test_two_stage_detectors_learn_and_find(architecture):
    torch.manual_seed(0)
    network = build(spec_of(architecture, strides=(8, 16)))
    images = torch.rand((2, 1, 32, 64))
    targets = [(torch.tensor([[4.0, 20, 24, 50]]), torch.tensor([1])),
               (torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64))]  # fmt: skip
    losses = network.train().losses(images, targets)
    assert ("loss_mask" in losses) is (architecture == "maskrcnn")
    assert all(torch.isfinite(value) for value in losses.values())
    with torch.no_grad():
        found = network.eval()(images)
    edges, labels, scores, masks = found[0]
    if architecture == "maskrcnn":
        assert masks.shape == (len(labels), 28, 28)
        things = [torch.zeros((1, 32, 64), dtype=torch.bool), None]
        other = network.train().losses(images, targets, things)
        assert not torch.isclose(other["loss_mask"], losses["loss_mask"])
    else:
        assert masks is None
    assert len(found) == 2
    assert edges.shape == (len(labels), 4)
    assert len(scores) == len(labels)
    # (y, x): rows end at 32, columns at 64.
    assert (edges[:, 2] <= 32).all()
    assert set(labels.tolist()) <= {0, 1}


def test_a_bundle_of_a_detector_comes_back(tmp_path):
    spec = spec_of("onestage")
    network = build(spec)
    Bundle.create(spec, network.state_dict()).save(tmp_path / "b")
    again = Bundle.load(tmp_path / "b")
    assert again.spec == spec
    image = torch.rand((1, 1, 32, 32))
    with torch.no_grad():
        torch.testing.assert_close(again.network()(image).boxes, network.eval()(image).boxes)


@pytest.mark.parametrize("name", ["squeezenet1_0", "resnet18", "mobilenet_v3_small"])
def test_weights_of_a_network_for_whole_images(tmp_path, name):
    from torchvision import models

    torch.manual_seed(1)
    whole = models.get_model(name, weights=None).state_dict()
    path = tmp_path / "w.safetensors"
    save_file({key: value.half() if value.is_floating_point() else value for key, value in whole.items()}, path)
    assert backbone_in(path) == name
    spec = spec_of("onestage", channels=3, backbone=name)
    network = build(spec)
    load_detector(network, spec, path)
    body = next(m for m in network.modules() if isinstance(m, Backbone)).net.state_dict()
    for key, value in body.items():
        torch.testing.assert_close(value, whole[key].half().to(value.dtype))
    grey = spec_of("onestage", channels=1, backbone=name)
    network = build(grey)
    load_detector(network, grey, path)
    first = next(m for m in network.modules() if isinstance(m, Backbone)).net.state_dict()
    key = next(key for key, value in first.items() if value.ndim == 4)
    torch.testing.assert_close(first[key], whole[key].half().float().sum(dim=1, keepdim=True))
    other = spec_of("onestage", channels=3, backbone="squeezenet1_1")
    with pytest.raises(BundleError, match="not of squeezenet1_1"):
        load_detector(build(other), other, path)


def test_frozen_layers_keep_their_weights():
    network = build(spec_of("onestage", backbone="squeezenet1_0", channels=3))
    body = next(m for m in network.modules() if isinstance(m, Backbone))
    body.freeze(4)
    raw = network(torch.rand((1, 3, 32, 32)))
    raw.logits.sum().backward()
    assert body.net.features[0].weight.grad is None
    assert body.net.features[7].squeeze.weight.grad is not None
    body.freeze(0)
    assert all(p.requires_grad for p in body.parameters())


@pytest.mark.parametrize(
    ("architecture", "dims", "options", "message"),
    [
        ("onestage", 2, {"backbone": "resnet10"}, "no backbone for 2"),
        ("fasterrcnn", 2, {"backbone": "vgg16"}, "no backbone of an R-CNN"),
        ("fasterrcnn", 3, {}, "cannot have 3"),
        ("onestage", 2, {"strides": (4, 16)}, "twice the one before"),
        ("onestage", 3, {"anchors": (((4, 4),),)}, "anchors of 3 numbers"),
        ("onestage", 2, {"width": 9}, "options that"),
    ],
)
def test_what_cannot_be_built(architecture, dims, options, message):
    with pytest.raises(BundleError, match=message):
        network_def(spec_of(architecture, dims, **options))


def test_a_stride_that_a_backbone_does_not_have():
    with pytest.raises(BundleError, match="no feature maps at a stride of 32"):
        build(spec_of("onestage", backbone="squeezenet1_0", strides=(16,)))
