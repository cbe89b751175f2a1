"""napari's world: where a grid of the patient's space lies on the axes of the viewer.

The world is (-z, y, x) of LPS millimetres, the one in which napari's default camera shows axial, coronal, sagittal and
3D views all the radiological way. napari paints wrong voxels through a rotated layer, so layers carry signed scale and
translate only; an oblique series is shown with the whole world rotated onto its axes instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_medseg.volume import Geometry

WORLD_FROM_RAS = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])
"""Turns a direction in RAS+ into napari's (-z, y, x) of LPS."""

AXIS_ALIGNED_VOXELS = 1e-3
"""A series that is off the patient's axes by less than this, at its farthest corner, is not called oblique."""


@dataclass(frozen=True, eq=False)
class Placement:
    """How a grid lies in the world, one number per spatial axis of the array."""

    scale: tuple[float, ...]
    """Signed mm per voxel."""
    translate: tuple[float, ...]
    """World position in mm of the first voxel."""
    residual_voxels: float = 0.0
    """How far the farthest corner is from its true place, in voxels; over 0.5 the grid does not fit the frame."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The world's axes in the patient.

    Parameters
    ----------
    rotation : (3, 3) array
        Proper rotation that is applied to RAS+ positions before they become world positions; the identity for a
        series along the patient's axes.
    """

    rotation: NDArray[np.float64]

    @classmethod
    def patient(cls) -> "Frame":
        """Return the frame along the patient's own axes."""
        return cls(np.eye(3))

    @classmethod
    def of(cls, geometry: Geometry) -> "Frame":
        """Return the frame along the axes of `geometry`; the patient's own where they are the same."""
        grid = solid(geometry)
        if cls.patient().place(grid).residual_voxels < AXIS_ALIGNED_VOXELS:
            return cls.patient()
        # The rotation that brings the array's axes nearest to the world's, in the sense of least squares: exact
        # unless the axes are sheared, as by a tilted gantry.
        left, _, right = np.linalg.svd(WORLD_FROM_RAS.T @ np.diag(_signs(grid)) @ grid.direction.T)
        return cls(np.asarray(left @ right))

    @property
    def world_from_ras(self) -> NDArray[np.float64]:
        """(3, 3) matrix from RAS+ mm to world mm."""
        return np.asarray(WORLD_FROM_RAS @ self.rotation)

    def place(self, geometry: Geometry) -> Placement:
        """Return the scale and translate under which `geometry` is shown, and how well that fits.

        The centre of the grid is at its exact place; the error grows towards the corners.
        """
        grid = solid(geometry)
        matrix = self.world_from_ras @ grid.affine[:3, :3]
        scale = np.diag(matrix)
        centre = (np.array(grid.shape) - 1) / 2
        translate = self.world_from_ras @ (grid @ centre) - scale * centre
        off_axis = np.abs(matrix - np.diag(scale)) @ centre
        # Judged by the spacing, not the scale: an axis across its world axis has no scale at all.
        residual = float((off_axis / np.array(grid.spacing)).max())
        fits = bool(np.abs(scale).min() > 0)
        kept = in_plane(geometry)
        return Placement(
            tuple(float(scale[axis]) for axis in kept),
            tuple(float(translate[axis]) for axis in kept),
            residual if fits else float("inf"),
        )

    def geometry(self, shape: Sequence[int], scale: Sequence[float], translate: Sequence[float]) -> Geometry:
        """Return the grid of three axes that is shown with this scale and translate."""
        ras_from_world = self.world_from_ras.T
        affine = np.eye(4)
        affine[:3, :3] = ras_from_world * np.asarray(scale, dtype=np.float64)
        affine[:3, 3] = ras_from_world @ np.asarray(translate, dtype=np.float64)
        return Geometry(tuple(shape), affine)

    def covering(self, geometry: Geometry) -> Geometry:
        """Return a grid along the world's axes that holds every voxel centre of `geometry`, at about its spacing."""
        corners = geometry.corners() @ self.world_from_ras.T
        low, high = corners.min(axis=0), corners.max(axis=0)
        nearest = np.abs(self.world_from_ras @ geometry.direction).argmax(axis=1)
        scale = np.array(geometry.spacing)[nearest]
        shape = np.ceil((high - low) / scale - 1e-6).astype(int) + 1
        return self.geometry([int(n) for n in shape], list(scale), list(low))


def solid(geometry: Geometry) -> Geometry:
    """Return a plane as a block of one voxel thickness, its axes nearest to (z, y, x); a block as it is."""
    if geometry.ndim == 3:
        return geometry
    columns, shape = [0, 1], list(geometry.shape)
    columns.insert(_normal(geometry), 2)
    shape.insert(_normal(geometry), 1)
    return Geometry(tuple(shape), geometry.affine[:, [*columns, 3]])


def in_plane(geometry: Geometry) -> tuple[int, ...]:
    """Return which axes of `solid` are the axes of `geometry`."""
    return tuple(axis for axis in range(3) if geometry.ndim == 3 or axis != _normal(geometry))


def _normal(plane: Geometry) -> int:
    """Return the world axis that a plane is most nearly perpendicular to."""
    return int(np.abs(WORLD_FROM_RAS @ plane.direction[:, 2]).argmax())


def _signs(grid: Geometry) -> tuple[int, ...]:
    """Return the signs of the world axes nearest to the array's, of the same handedness as the array."""
    directions = WORLD_FROM_RAS @ grid.direction
    along = np.diag(directions)
    handed = np.sign(np.linalg.det(directions))
    allowed = [signs for signs in product((1, -1), repeat=3) if np.prod(signs) == handed]
    return max(allowed, key=lambda signs: float(np.dot(signs, along)))
