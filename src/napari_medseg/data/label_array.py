"""The values of a label map, one per voxel."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError, GeometryError
from napari_medseg.io.orientation import as_block, onto_grid
from napari_medseg.volume import Geometry, Volume

TOLERANCE_MM = 0.01
"""How far apart the corners of two grids of the same voxels may be: files round."""


def label_array(volume: Volume, name: str) -> NDArray[np.generic]:
    """Return the values of a label map without leading axes.

    Parameters
    ----------
    volume : Volume
        From any file. A mask that was saved as a picture in colour is taken by one of its equal colours, an alpha
        channel is left out.
    name : str
        Of the case, for messages.

    Returns
    -------
    (Z, Y, X) or (Y, X) array
        As stored.

    Raises
    ------
    DataError
        If it has several values per voxel.
    """
    data = np.asarray(volume.data)
    if volume.rgb:
        data = data[..., :3]
        if not (data == data[..., :1]).all():
            raise DataError(f"{name}: {volume.name} is a picture in colour.", "Save the mask as grey values.")
        data = data[..., 0]
    if data.size != np.prod(volume.spatial_shape):
        raise DataError(f"{name}: the labels have the shape {data.shape}, not one class per voxel.", "Use a label map.")
    return data.reshape(volume.spatial_shape)


def labels_on(
    labels: Volume, shape: tuple[int, ...], geometry: Geometry | None, name: str, of: str = "labels"
) -> NDArray[np.generic]:
    """Return the values of a label map along the axes of its image.

    Programs store the same voxels with their axes in another order or direction; such a map is turned, never resampled.

    Parameters
    ----------
    labels : Volume
        From any file; see `label_array`.
    shape : tuple of int
        Voxels of the image along its own two or three axes.
    geometry : Geometry or None
        Where the image lies; without it, or without that of the labels, the numbers of voxels have to do.
    name : str
        Of the case, for messages.
    of : str
        What the label map is, for messages.

    Returns
    -------
    array of `shape`
        A view where that is possible.

    Raises
    ------
    DataError
        If it has several values per voxel, or other voxels than the image.
    GeometryError
        If it lies elsewhere in space.

    Examples
    --------
    >>> grid = Geometry((1, 1, 3), np.eye(4)[:, [2, 1, 0, 3]])
    >>> turned = Volume(np.array([[[0, 0, 7]]]), grid.flipped(2), kind="labels")
    >>> labels_on(turned, (1, 1, 3), grid, "head")
    array([[[7, 0, 0]]])
    """
    values = label_array(labels, name)
    if geometry is None or labels.geometry is None:
        if _without_lead(values.shape) != _without_lead(shape):
            raise DataError(
                f"{name}: the {of} have {values.shape} voxels, but their image has {shape}.",
                f"Use {of} that were drawn on this image.",
            )
        return values.reshape(shape)
    target = as_block(Volume(np.broadcast_to(np.uint8(0), geometry.shape), geometry)).geometry
    assert target is not None
    found = onto_grid(as_block(Volume(values, labels.geometry)), target, TOLERANCE_MM)
    if found is None:
        raise GeometryError(
            f"{name}: the {of} {_elsewhere(labels, geometry)} their image ({shape}).",
            f"Use {of} that were drawn on this image, or bring them to its grid first.",
        )
    return np.asarray(found.data).reshape(shape)


def _without_lead(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape as that of a plane, if it is a block of one slice."""
    return shape[1:] if len(shape) == 3 and shape[0] == 1 else shape


def _elsewhere(labels: Volume, geometry: Geometry) -> str:
    if labels.spatial_shape != geometry.shape or labels.geometry is None:
        return f"have {labels.spatial_shape} voxels, unlike"
    apart = float(np.linalg.norm(labels.geometry.corners() - geometry.corners(), axis=1).max())
    return f"lie elsewhere in space, up to {apart:.3g} mm, than"
