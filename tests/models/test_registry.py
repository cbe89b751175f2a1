"""Architectures are found by walking the zoo, and built from JSON values by registered code only."""

import json
import subprocess
import sys

import pytest
import torch
from pydantic import BaseModel

from napari_medseg.errors import BundleError
from napari_medseg.models import ModelSpec, NetworkDef, architectures, build, register
from napari_medseg.models import registry as registry_module
from napari_medseg.models.registry import network_def
from napari_medseg.volume import LabelClass

CLASSES = tuple(LabelClass(value=value, name=f"c{value}") for value in range(4))


def spec(architecture: str = "dynunet", **fields) -> ModelSpec:
    return ModelSpec(**{"name": "m", "architecture": architecture, "classes": CLASSES} | fields)


@pytest.mark.parametrize("architecture", ["dynunet", "unet"])
@pytest.mark.parametrize("patch", [(16, 24), (8, 16, 24)])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_give_one_logit_per_class_and_voxel(architecture, patch, channels):
    model = spec(architecture, dims=len(patch), patch_size=patch, channels=channels, options={"features": 2})
    network = build(model)
    assert network(torch.zeros((2, channels, *patch))).shape == (2, 4, *patch)


def test_dynunet_is_residual_and_anisotropic():
    arguments = network_def(spec(patch_size=(16, 64, 64), options={"spacing": [4, 1, 1]})).arguments
    assert arguments["res_block"] is True
    assert arguments["strides"][1] == [1, 2, 2]
    assert arguments["kernel_size"][0] == [1, 3, 3]
    assert arguments["filters"] == [16, 32, 64, 128, 256]


def test_spacing_of_the_grid_decides_where_the_options_are_silent():
    plain = network_def(spec(patch_size=(16, 64, 64))).arguments
    thick = network_def(spec(patch_size=(16, 64, 64), spacing=(4.0, 1.0, 1.0))).arguments
    assert plain["strides"][1] == [2, 2, 2]
    assert thick["strides"][1] == [1, 2, 2]
    planes = spec(dims=2, patch_size=(64, 64), spacing=(4.0, 1.0, 1.0))
    assert network_def(planes).arguments["strides"][1] == [2, 2]


def test_given_strides_are_taken():
    options = {"strides": [[1, 1], [2, 1], [1, 2]], "kernels": [[3, 3], [3, 1], [1, 3]]}
    arguments = network_def(spec(dims=2, patch_size=(10, 6), options=options)).arguments
    assert arguments["strides"] == options["strides"]
    assert arguments["upsample_kernel_size"] == options["strides"][1:]


@pytest.mark.parametrize("architecture", [a.name for a in architectures()])
def test_definitions_survive_json(architecture):
    known = registry_module.architecture(architecture)
    fields = {"dims": known.dims[-1], "patch_size": (96,) * known.dims[-1], "task": known.tasks[0]}
    if known.tasks == ("detection",):
        fields["classes"] = CLASSES[1:]
    config = network_def(spec(architecture, **fields)).to_config()
    assert json.loads(json.dumps(config)) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "nonesuch"}, "no architecture named 'nonesuch'"),
        ({"options": {"feature": 3}}, "feature: Extra inputs"),
        ({"options": {"features": 0}}, "features: Input should be greater"),
        ({"options": {"strides": [[1, 1, 1]], "kernels": [[3, 3, 3]]}}, "at least 3"),
        ({"options": {"strides": [[1, 1]] * 3, "kernels": [[3, 3]] * 3}}, "3 numbers per stage"),
        ({"options": {"strides": [[1, 1, 1], [3, 3, 3], [1, 1, 1]], "kernels": [[3] * 3] * 3}}, "not a multiple"),
        ({"options": {"spacing": [1, 1]}}, "needs 3 numbers"),
        ({"architecture": "unet", "patch_size": (12, 16, 16)}, "multiples of 8"),
    ],
)
def test_specifications_that_cannot_be_built(fields, message):
    with pytest.raises(BundleError, match=message):
        build(spec(**fields))


class NoOptions(BaseModel):
    """Nothing to choose."""


@pytest.fixture
def own_registry(monkeypatch):
    architectures()
    monkeypatch.setattr(registry_module, "_REGISTERED", dict(registry_module._REGISTERED))


@pytest.mark.usefixtures("own_registry")
def test_a_new_architecture_is_one_function():
    @register("line", title="Line", options=NoOptions, dims=(2,), citation="me")
    def line(model: ModelSpec, options: NoOptions) -> NetworkDef:
        arguments = {"in_channels": model.channels, "out_channels": len(model.classes), "kernel_size": 1}
        return NetworkDef("torch.nn.Conv2d", arguments)

    assert "line" in [a.name for a in architectures()]
    assert isinstance(build(spec("line", dims=2, patch_size=(8, 8))), torch.nn.Conv2d)
    with pytest.raises(BundleError, match="cannot have 3 dimensions"):
        build(spec("line"))
    with pytest.raises(ValueError, match="two architectures named 'line'"):
        register("line", title="Line", options=NoOptions)(line)


def test_listing_architectures_loads_no_torch():
    code = (
        "import sys, napari_medseg.models as models; models.architectures(); "
        "print('torch' in sys.modules, 'monai' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
