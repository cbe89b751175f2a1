"""ImageNet weights for torchvision's networks: from a file that the user has, or fetched with a known sum."""

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.errors import BundleError
from napari_medseg.models.anatomy import head_axes
from napari_medseg.models.download.fetch import fetch_file
from napari_medseg.models.library import library_folder
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.weights import check_fit, read_checkpoint
from napari_medseg.progress import Control, Event, Note

if TYPE_CHECKING:
    import torch
    from torch import nn

MIRROR = "NAPARI_MEDSEG_IMAGENET"
"""Environment variable with the address of a copy of torchvision's weights, for sites without the internet."""
TERMS = "BSD-3-Clause (torchvision); trained on ImageNet, whose images are for non-commercial research"
AUXILIARY = ("AuxLogits.", "conv_seg.")
"""Parts of published weights that serve their first training alone: Inception's, and MedicalNet's."""
OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Names of layers in torchvision's file for DenseNet, which is older than its code."""
COUNTER = ".num_batches_tracked"
"""What batch normalisation did not have when most files were made; it is used in no prediction."""
SUM_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")


def fetch_imagenet(network: str, control: Control) -> Generator[Event, None, Path]:
    """Fetch torchvision's default weights of a network, unless they are there already.

    Parameters
    ----------
    network : str
        Name in ``torchvision.models``.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        A `Note` with the licence, and `Progress`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    BundleError
        If torchvision has none for it.
    DownloadError
        If it cannot be had, or is another file than torchvision names.
    """
    from torchvision.models import get_model_weights

    try:
        address = str(get_model_weights(network)["DEFAULT"].url)
    except ValueError as error:
        raise BundleError(f"There are no ImageNet weights for {network}.", "Set pretrained to a file.") from error
    name = address.rpartition("/")[2]
    mirror = os.environ.get(MIRROR)
    address = f"{mirror.rstrip('/')}/{name}" if mirror else address
    path = library_folder().parent / "imagenet" / name
    match = SUM_IN_NAME.search(name)
    yield Note(f"ImageNet weights {name}: {TERMS}. Without a connection, fetch {address} and set pretrained=FILE.")
    yield from fetch_file(address, path, match[1] if match else "", control)
    return path


def load_pretrained(network: "nn.Module", spec: ModelSpec, path: Path) -> None:
    """Copy weights of the same architecture, trained for other classes or channels, into a network.

    The first convolution is adapted to the channels; the last layer stays random where the classes are others.

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
    content = read_checkpoint(path).items()
    found = {OLD_DENSE.sub(r"\1\2", name): value for name, value in content if not name.startswith(AUXILIARY)}
    take_over(network, spec, found, path.name)


def take_over(network: "nn.Module", spec: ModelSpec, found: "dict[str, torch.Tensor]", name: str) -> None:
    """Copy tensors into a network, but for a last layer of other classes; see `load_pretrained`."""
    from napari_medseg.models.nets.classifiers import adapted, first_convolution
    from napari_medseg.models.nets.fused import Fused

    if isinstance(network, Fused) and not any(key.startswith("image.") for key in found):
        network, spec = network.image, spec.model_copy(update={"covariates": ()})
    wanted = network.state_dict()
    first = f"{first_convolution(network)[0]}.weight"
    if first in found and found[first].ndim == wanted[first].ndim:
        found = found | {first: adapted(found[first].float(), spec.channels)}
    head = head_names(spec)
    fresh = {
        key: value
        for key, value in wanted.items()
        if (key in head and (key not in found or found[key].shape != value.shape))
        or (key.endswith(COUNTER) and key not in found)
    }
    found = {key: value for key, value in found.items() if key not in fresh} | fresh
    check_fit(name, spec.architecture, wanted, found)
    network.load_state_dict({key: value.to(wanted[key].dtype) for key, value in found.items()})


def head_names(spec: ModelSpec) -> frozenset[str]:
    """Return the names of the tensors that depend on the number of classes."""
    return frozenset(head_axes(spec))
