"""Saving layers on the exact grid of their image: the writer commands of the manifest."""

from typing import Any

import napari
from napari.layers import Image, Labels

from napari_medseg.io import write
from napari_medseg.ui.layers import image_volume, labels_volume


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:  # noqa: ANN401 - any array napari shows
    """Write a labels layer, whoever made it, on the grid of the image that it was painted on.

    Parameters
    ----------
    path : str
        With the suffix of a format that can be written.
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
    return [str(write(labels_volume(layer, images), path))]


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:  # noqa: ANN401 - any array napari shows
    """Write an image layer on its own exact grid; parameters and return value as in `write_labels`."""
    layer = Image(data, rgb=meta["rgb"], contrast_limits=(0, 1), **_kept(meta))
    return [str(write(image_volume(layer), path))]


def _kept(meta: dict[str, Any]) -> dict[str, Any]:
    """Return what says where a layer lies and what it holds; how it looks does not matter for a file."""
    names = (
        "name", "metadata", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels", "multiscale",
    )  # fmt: skip
    return {name: meta[name] for name in names if name in meta}
