"""The part of an image that a prediction is wanted for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.label_array import labels_on
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.placement import Placement
from napari_medseg.inference.resample import Resampling
from napari_medseg.inference.tiling import Box3
from napari_medseg.volume import Geometry

Region = tuple[tuple[int, int], ...] | Path


def region_mask(region: Region, shape: tuple[int, ...], geometry: Geometry | None = None) -> NDArray[np.bool_]:
    """Return the voxels of a region, on the image's own axes.

    Parameters
    ----------
    region : tuple of (first, end), or Path
        Along each axis; or a file of labels of which nonzero voxels count.
    shape : tuple of int
        Voxels of the image.
    geometry : Geometry, optional
        Where the image lies, so that labels whose axes run the other way are turned.

    Raises
    ------
    ConfigError
        If the box has another number of axes, or holds no voxel of the image.
    DataError, GeometryError
        If the labels are on another grid or hold nothing.
    """
    if isinstance(region, Path):
        return _from_labels(region, shape, geometry)
    inside = np.zeros(shape, np.bool_)
    if len(region) == len(shape):
        inside[tuple(slice(max(first, 0), max(end, 0)) for first, end in region)] = True
    if not inside.any():
        raise ConfigError(
            f"The region {region} holds no voxel of an image of {shape} voxels.",
            "Give first voxel and end along each of the image's axes.",
        )
    return inside


def _from_labels(path: Path, shape: tuple[int, ...], geometry: Geometry | None) -> NDArray[np.bool_]:
    from napari_medseg.io import read

    volumes = read(path)
    if len(volumes) != 1:
        raise DataError(f"The region {path.name} holds {len(volumes)} volumes.", "Give a file that holds one.")
    inside: NDArray[np.bool_] = labels_on(volumes[0], shape, geometry, path.name, "regions") != 0
    if not inside.any():
        raise DataError(f"The region {path.name} is empty.", "Mark the voxels that you want a prediction for.")
    return inside


def touches(region: NDArray[np.bool_], placement: Placement, resampling: Resampling | None) -> Callable[[Box3], bool]:
    """Return whether a part of the network's grid has a say in some voxel of a region on the image's own axes."""
    on_grid = placement.to_grid(region)
    if resampling is None:
        return lambda box: bool(on_grid[box].any())

    def reaches(box: Box3) -> bool:
        own = []
        for (lower, upper), rows in zip(resampling.needs, box, strict=True):
            # Positions rise along each axis, so the voxels that need something of the part are consecutive.
            own.append(slice(int((upper < rows.start).sum()), int((lower < rows.stop).sum())))
        return bool(on_grid[tuple(own)].any())

    return reaches
