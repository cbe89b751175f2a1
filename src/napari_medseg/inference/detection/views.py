"""An image as a detector sees it, and the way of boxes back to the image's own voxels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_medseg.data.boxes import clipped, onto_grid
from napari_medseg.data.labelled.images import values_of, with_channels
from napari_medseg.errors import BundleError
from napari_medseg.inference.preprocess import to_model_grid, transform_named
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import intensity_transform
from napari_medseg.prediction import Boxes
from napari_medseg.volume import Geometry, Volume


@dataclass(frozen=True, eq=False)
class View:
    """An image on the grid of a detector."""

    shape: tuple[int, ...]
    """Voxels along the detector's axes, ([z,] y, x)."""
    read: Callable[[Sequence[slice]], torch.Tensor]
    """Returns the (channel, ...) float32 values of a part, ready for the network."""
    own_shape: tuple[int, ...]
    """Voxels of the image itself."""
    scale: tuple[float, ...]
    """Voxels of the view per voxel of the image, for planes and for volumes without geometry."""
    grids: tuple[Geometry, Geometry] | None = None
    """The image's own grid and that of the view, where they lie in space."""

    def seen(self, boxes: Boxes) -> Boxes:
        """Return boxes of the image in voxels of the view."""
        if self.grids is not None:
            return onto_grid(boxes, *self.grids)
        return replace(boxes, edges=boxes.edges * np.array(self.scale))

    def own(self, boxes: Boxes) -> Boxes:
        """Return boxes of the view in voxels of the image, cut at its border."""
        if self.grids is not None:
            return clipped(onto_grid(boxes, *self.grids[::-1]), self.own_shape)
        return clipped(replace(boxes, edges=boxes.edges / np.array(self.scale)), self.own_shape)


def view_of(volume: Volume, spec: ModelSpec) -> View:
    """Return an image as a model sees it.

    Raises
    ------
    MedsegError
        If it is of another kind than the model needs.
    """
    return _plane(volume, spec) if spec.dims == 2 else _block(volume, spec)


def zoomed(values: NDArray[np.floating], zoom: float) -> torch.Tensor:
    """Return a (channel, y, x) image so many times as large, averaged where it becomes smaller.

    Edges are scaled by exactly the ratio of the sizes, which may differ from `zoom` by rounding.
    """
    image = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    size = [max(1, round(n * zoom)) for n in image.shape[1:]]
    if size == list(image.shape[1:]):
        return image
    return functional.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]


def _plane(volume: Volume, spec: ModelSpec) -> View:
    values = values_of(volume)
    if values.ndim != 3:
        raise BundleError(f"{spec.name} is for planes; {volume.name} is a volume.", "Choose a model for volumes.")
    name, arguments = intensity_transform(spec.intensity)
    image = transform_named(name, arguments)(zoomed(with_channels(values, spec.channels, volume.name), spec.zoom))
    shape, own = tuple(image.shape[1:]), tuple(values.shape[1:])
    scale = tuple(n / m for n, m in zip(shape, own, strict=True))
    return View(shape, lambda box: image[(slice(None), *box)].contiguous(), own, scale)


def _block(volume: Volume, spec: ModelSpec) -> View:
    grid = to_model_grid(volume, spec)
    own = volume.spatial_shape
    grids = None if grid.geometry is None or volume.geometry is None else (volume.geometry, grid.geometry)

    def read(box: Sequence[slice]) -> torch.Tensor:
        z, y, x = box
        return grid.read((z, y, x))

    return View(grid.shape, read, own, (1.0, 1.0, 1.0), grids)
