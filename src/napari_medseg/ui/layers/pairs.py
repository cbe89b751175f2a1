"""Which image a labels layer was painted on."""

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.ui.layers.edits import own_labels
from napari_medseg.ui.layers.images import geometry_of
from napari_medseg.ui.layers.results import MAP_OF
from napari_medseg.ui.layers.tag import spatial_shape, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image, Labels, Layer

    from napari_medseg.volume import Geometry


def image_of(labels: "Labels", layers: "Iterable[Layer]") -> "Image | None":
    """Return the image that a labels layer lies on: the one it was made for, or else the first of the same voxels.

    Parameters
    ----------
    labels : Labels
        Any.
    layers : iterable of Layer
        Usually ``viewer.layers``, whose lowest comes first.
    """
    from napari.layers import Image

    layers = list(layers)
    images = [layer for layer in layers if isinstance(layer, Image) and MAP_OF not in layer.metadata]
    tag = tag_of(labels)
    for image in images:
        if tag is not None and tag.image is not None and tag.image == image.unique_id:
            return image
    grid = own_labels(labels, layers).geometry if tag is None else tag.geometry
    return next((image for image in images if _covers(image, labels, grid)), None)


def _covers(image: "Image", labels: "Labels", grid: "Geometry | None") -> bool:
    """Return whether an image has the voxels of labels on `grid`, whichever way its axes run."""
    own = geometry_of(image)
    if own is None or grid is None:
        count = min(labels.ndim, 3)
        return own is grid and image.ndim >= count and spatial_shape(image, count) == spatial_shape(labels, count)
    if own.ndim != grid.ndim or own.shape != grid.shape:
        return False
    for flips in product((False, True), repeat=grid.ndim):
        turned = grid
        for axis in np.flatnonzero(flips):
            turned = turned.flipped(int(axis))
        if turned.matches(own):
            return True
    return False
