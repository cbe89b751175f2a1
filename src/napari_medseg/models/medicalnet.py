"""Weights of MedicalNet for three-dimensional ResNets, trained on segmentations of 23 sets of CT and MR."""

import os
import re
from collections.abc import Generator
from pathlib import Path

from napari_medseg.errors import BundleError
from napari_medseg.models.download.fetch import DownloadError, fetch_file, fetch_text
from napari_medseg.models.library import library_folder
from napari_medseg.progress import Control, Event, Note

MIRROR = "NAPARI_MEDSEG_MEDICALNET"
"""Environment variable with the address of a copy, for sites without the internet."""
ADDRESS = "https://huggingface.co/TencentMedicalNet"
FILES = {
    "resnet10_3d": ("MedicalNet-Resnet10", "resnet_10_23dataset.pth"),
    "resnet18_3d": ("MedicalNet-Resnet18", "resnet_18_23dataset.pth"),
    "resnet34_3d": ("MedicalNet-Resnet34", "resnet_34_23dataset.pth"),
    "resnet50_3d": ("MedicalNet-Resnet50", "resnet_50_23dataset.pth"),
}
"""Repository and file by architecture."""
TERMS = "MIT (MedicalNet, Tencent); cite Chen et al., Med3D, arXiv 1904.00625"
POINTER = re.compile(r"oid sha256:([0-9a-f]{64})")
"""The line with the sum in the small text that stands for a large file in its repository."""


def fetch_medicalnet(architecture: str, control: Control) -> Generator[Event, None, Path]:
    """Fetch MedicalNet's weights of a network, unless they are there already.

    The repository itself says the SHA-256 of its file, which is checked.

    Parameters
    ----------
    architecture : str
        One of `FILES`.
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
        If there are none for it.
    DownloadError
        If they cannot be had, or are not what the repository promises.
    """
    if architecture not in FILES:
        raise BundleError(
            f"MedicalNet has no weights for {architecture}.", f"It has them for {', '.join(FILES)} on volumes."
        )
    repository, name = FILES[architecture]
    base = f"{(os.environ.get(MIRROR) or ADDRESS).rstrip('/')}/{repository}"
    address = f"{base}/resolve/main/{name}"
    path = library_folder().parent / "medicalnet" / name
    yield Note(f"MedicalNet weights {name}: {TERMS}. Without a connection, fetch {address} and set pretrained=FILE.")
    if path.is_file():
        return path
    pointer = fetch_text(f"{base}/raw/main/{name}")
    found = POINTER.search(pointer or "")
    if found is None:
        raise DownloadError(
            f"{base} does not say the sum of {name}, so it cannot be checked.", "Fetch it by hand, and set pretrained."
        )
    yield from fetch_file(address, path, found[1], control)
    return path
