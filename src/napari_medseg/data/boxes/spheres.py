"""Things given by their centre in the patient and a diameter, as LUNA16 lists nodules, from and to boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.volume import Geometry

LPS = np.array([-1.0, -1.0, 1.0])
"""Turns (x, y, z) in LPS, the convention of DICOM and ITK, into RAS, and back."""


@dataclass(frozen=True)
class Sphere:
    """A thing somewhere in the patient."""

    centre_lps_mm: tuple[float, float, float]
    """(x, y, z): x towards the patient's left, y towards posterior, z towards superior."""
    diameter_mm: float


def box_of_sphere(sphere: Sphere, geometry: Geometry) -> NDArray[np.float64]:
    """Return the (2, 3) edges of the smallest box on a grid that holds a sphere; exact on oblique grids, too.

    Raises
    ------
    DataError
        If the grid is a single plane.

    Examples
    --------
    >>> grid = Geometry((10, 20, 20), np.array([[0, 0, -1.0, 0], [0, -1.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]]))
    >>> box_of_sphere(Sphere((7.0, 9.0, 10.0), 4.0), grid).tolist()
    [[4.5, 7.5, 5.5], [6.5, 11.5, 9.5]]
    """
    if geometry.ndim != 3:
        raise DataError("Centres in mm need volumes; this image is a single plane.", "Give boxes in pixels.")
    middle = geometry.to_index(np.array(sphere.centre_lps_mm) * LPS) + 0.5
    half = sphere.diameter_mm / 2 * _voxels_per_mm(geometry)
    return np.stack([middle - half, middle + half])


def sphere_of_box(edges: NDArray[np.floating], geometry: Geometry) -> Sphere:
    """Return the sphere in the middle of a (2, 3) box whose diameter is the mean of those along the axes.

    For the box of a sphere this is the sphere itself.
    """
    low, high = np.asarray(edges, np.float64)
    x, y, z = (float(value) for value in (geometry @ ((low + high) / 2 - 0.5)) * LPS)
    return Sphere((x, y, z), float(np.mean((high - low) / _voxels_per_mm(geometry))))


def _voxels_per_mm(geometry: Geometry) -> NDArray[np.float64]:
    """Return how many voxels along each axis a sphere of 1 mm radius reaches from its centre."""
    return np.asarray(np.linalg.norm(np.linalg.inv(geometry.affine[:3, :3]), axis=1))
