"""Saving layers on the exact grid of their image: the writer commands of the manifest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning

from napari_medseg.io import write
from napari_medseg.ui.layers import image_volume, labels_volume

if TYPE_CHECKING:
    from napari_medseg.volume import Volume


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:  # noqa: ANN401 - any array napari shows
    """Write a labels layer, whoever made it, on the grid of the image that it was painted on.

    Parameters
    ----------
    path : str
        With the suffix of a format that can be written. DICOM refers to the series of the image.
    data : array
        The layer's labels.
    meta : dict
        The layer's attributes.

    Returns
    -------
    list of str
        The file that was written.
    """
    viewer = napari.current_viewer()
    images = [] if viewer is None else [layer for layer in viewer.layers if layer.name != meta.get("name")]
    layer = Labels(data, colormap=meta["colormap"], features=meta["features"], **_kept(meta))
    return [str(write(labels_volume(layer, images), path, report=show_warning))]


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:  # noqa: ANN401 - any array napari shows
    """Write an image layer on its own exact grid; parameters and return value as in `write_labels`.

    An image of several slices that shall be DICOM becomes a series, in a folder of the name without ``.dcm``.
    """
    layer = Image(data, rgb=meta["rgb"], contrast_limits=(0, 1), **_kept(meta))
    volume = image_volume(layer)
    return [str(write(volume, _place(path, volume), report=show_warning))]


def _place(path: str, volume: "Volume") -> Path:
    place = Path(path)
    single = volume.geometry is None or (not volume.axes and (volume.geometry.ndim == 2 or 1 in volume.geometry.shape))
    return place if single or place.suffix.lower() != ".dcm" else place.with_suffix("")


def _kept(meta: dict[str, Any]) -> dict[str, Any]:
    """Return what says where a layer lies and what it holds; how it looks does not matter for a file."""
    names = (
        "name", "metadata", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels", "multiscale",
    )  # fmt: skip
    return {name: meta[name] for name in names if name in meta}
