"""From the axes that a header describes to a `Geometry`, and back."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_medseg.volume import Geometry, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

UNORIENTED = "The file gives voxel sizes but no orientation: left and right are a guess."
"""Said of every grid from `unoriented`."""

NO_ORIGIN = "The file gives no position of the first voxel; the place of the image in the patient is unknown."
"""Said of a grid that is put at 0."""

MM_PER_UNIT = {
    "nm": 1e-6, "nanometer": 1e-6,
    "µm": 1e-3, "μm": 1e-3, "um": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "\\u00b5m": 1e-3,
    "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0,
    "cm": 10.0, "centimeter": 10.0, "centimetre": 10.0,
    "m": 1000.0, "meter": 1000.0, "metre": 1000.0,
    "inch": 25.4, "in": 25.4,
}  # fmt: skip
"""Lower-case names of the units of length in use."""


def grid_of(steps: ArrayLike, origin: ArrayLike, sizes: Sequence[int]) -> Geometry:
    """Return the grid of an array that holds a file's axes in reverse.

    Parameters
    ----------
    steps : (n, 3) array
        RAS+ mm from one voxel to the next along each axis of the file, the fastest axis first; two or three axes.
    origin : (3,) array
        RAS+ mm of the first voxel's centre.
    sizes : sequence of int
        Number of voxels along each axis of the file, the fastest first.
    """
    affine = np.eye(4)
    affine[:3, 2] = 0
    affine[:3, : len(sizes)] = np.asarray(steps, dtype=np.float64)[::-1].T
    affine[:3, 3] = origin
    return Geometry(tuple(sizes)[::-1], affine, tuple(range(len(sizes)))[::-1])


def unoriented(spacing_mm: Sequence[float], sizes: Sequence[int]) -> Geometry:
    """Return a grid for a file that knows voxel sizes and no place: rows grow to posterior, columns to left, from 0.

    This is how ITK reads such files, and in the viewer the picture stands upright as in any other program.

    Parameters
    ----------
    spacing_mm, sizes : sequence
        Along each axis of the file, the fastest first.
    """
    steps = np.diag([*spacing_mm, 1.0][:3])[: len(spacing_mm)] @ LPS_TO_RAS
    return grid_of(steps, np.zeros(3), sizes)


def in_file_order(volume: Volume) -> tuple[NDArray[np.generic], Geometry | None]:
    """Return array and grid with the spatial axes as the file that they came from holds them, the slowest first."""
    data = np.asarray(volume.data)
    if volume.geometry is None:
        return data, None
    order = volume.geometry.file_order[::-1]
    lead = len(volume.axes)
    axes = (*range(lead), *(lead + axis for axis in order), *range(lead + len(order), data.ndim))
    return data.transpose(axes), volume.geometry.transposed(order)
