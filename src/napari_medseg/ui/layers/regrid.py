"""Moving values from one grid to another, for series that do not lie along the viewer's axes."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from napari_medseg.volume import Geometry

Number = TypeVar("Number", bound=np.number)


def pull(
    values: NDArray[Number], source: Geometry, target: Geometry, *, linear: bool, fill: float = 0
) -> NDArray[Number]:
    """Return the values that `target`'s voxel centres have in `source`.

    Parameters
    ----------
    values : (..., z, y, x) array
        On the grid `source`; leading axes are moved one by one.
    source, target : Geometry
        Grids of three axes.
    linear : bool
        Trilinear interpolation; otherwise the nearest voxel, which invents no values.
    fill : float
        Value of the voxels that lie outside `source`.

    Returns
    -------
    (..., z, y, x) array
        On the grid `target`, of the type of `values`.
    """
    index_from_index = np.linalg.inv(source.affine) @ target.affine
    lead = values.shape[: values.ndim - 3]
    moved = np.empty((*lead, *target.shape), dtype=values.dtype)
    for block in np.ndindex(*lead):
        affine_transform(
            values[block],
            index_from_index,
            output_shape=target.shape,
            output=moved[block],
            order=1 if linear else 0,
            # Reaches half a voxel past the last centre, where "constant" would stop at the centre.
            mode="grid-constant",
            cval=fill,
        )
    return moved
