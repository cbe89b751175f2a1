"""Weights of networks that saw whole images, or other boxes, for a detector to begin with."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.errors import BundleError
from napari_medseg.models.pretrained import COUNTER, take_over
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.weights import read_checkpoint

if TYPE_CHECKING:
    import torch
    from torch import nn

KNOWN = (
    "squeezenet1_0", "squeezenet1_1", "mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet34", "resnet50",
)  # fmt: skip


def backbone_in(path: Path) -> str:
    """Return the name of the torchvision network that a file holds the weights of.

    Raises
    ------
    BundleError
        If it cannot be read safely, or holds another network.
    """
    import torch

    from napari_medseg.models.nets.detectors.backbones import backbone

    found = read_checkpoint(path)
    if any(name.startswith("rpn.") for name in found):
        return "resnet50_fpn"
    for name in KNOWN:
        with torch.device("meta"):
            wanted = backbone(name, (8,), 3, 2, 16).net.state_dict()
        if all(key in found and found[key].shape[:1] == value.shape[:1] for key, value in _needed(wanted).items()):
            return name
    raise BundleError(f"{path.name} holds none of the networks {', '.join(KNOWN)}.", "Name its backbone.")


def load_detector(network: "nn.Module", spec: ModelSpec, path: Path) -> None:
    """Copy weights into a detector: of the whole network, or of its backbone alone.

    Parameters
    ----------
    network : nn.Module
        As built for `spec`; changed in place.
    spec : ModelSpec
        Of the network.
    path : Path
        ``.safetensors`` or a state dictionary of PyTorch; nothing in it is executed.

    Raises
    ------
    BundleError
        If the file cannot be read safely, or holds the weights of another network.
    """
    from napari_medseg.models.nets.classifiers import adapted, first_convolution
    from napari_medseg.models.nets.detectors.backbones import Backbone

    found = read_checkpoint(path)
    body = next((module for module in network.modules() if isinstance(module, Backbone)), None)
    if body is None or any(name.startswith("rpn.") for name in found):
        take_over(network, spec, {f"net.{name}": value for name, value in found.items()}, path.name)
        return
    wanted = body.net.state_dict()
    first = f"{first_convolution(body.net)[0]}.weight"
    if first in found and found[first].ndim == wanted[first].ndim:
        found = found | {first: adapted(found[first].float(), spec.channels)}
    for name, value in _needed(wanted).items():
        if name not in found or found[name].shape != value.shape:
            raise BundleError(
                f"{path.name} has no {name} of shape {tuple(value.shape)}: it is not of {spec.options['backbone']}.",
                "Choose the backbone that it belongs to.",
            )
    chosen = {name: found[name].to(value.dtype) if name in found else value for name, value in wanted.items()}
    body.net.load_state_dict(chosen)


def _needed(wanted: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    return {name: value for name, value in wanted.items() if not name.endswith(COUNTER)}
