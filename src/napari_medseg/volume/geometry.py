"""Where a grid of voxels lies in the patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from nibabel.orientations import aff2axcodes, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import ArrayLike, NDArray

from napari_medseg.errors import GeometryError


@dataclass(frozen=True, eq=False)
class Geometry:
    """A regular grid in space.

    Parameters
    ----------
    shape : tuple of int
        Number of voxels along each spatial axis, in the array's own axis order: three numbers, or two for a single
        plane.
    affine : (4, 4) array
        Maps an index (i, j, k, 1), in the array's own axis order, to RAS+ millimetres (the convention of NIfTI and
        nibabel). For a plane, column 2 is the normal; a zero column is replaced by the unit normal.
    file_axes : tuple of int, optional
        For each array axis, which axis of the file it is, 0 the one that varies fastest; empty where no file has a say,
        and files then hold the axes in reverse. It lets a label map be written in the order of its image's file, and
        says nothing about where the grid lies: equality does not ask for it.

    Raises
    ------
    GeometryError
        If the affine is not finite or is singular, or an axis has no voxel.

    Examples
    --------
    >>> grid = Geometry((10, 20, 30), np.diag([5.0, 0.8, 0.8, 1.0]))
    >>> grid.spacing
    (5.0, 0.8, 0.8)
    >>> grid @ (1, 1, 1)
    array([5. , 0.8, 0.8])
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    file_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        shape = tuple(int(n) for n in self.shape)
        if affine.shape != (4, 4) or len(shape) not in (2, 3):
            raise GeometryError(
                f"A grid needs 2 or 3 axes and a 4x4 affine; got shape {shape} and an affine of shape {affine.shape}."
            )
        if min(shape) < 1:
            raise GeometryError(f"The grid {shape} has an axis without voxels.")
        if len(shape) == 2 and not affine[:3, 2].any():
            affine[:3, 2] = _unit(np.cross(affine[:3, 0], affine[:3, 1]))
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        regular = np.isfinite(affine).all() and lengths.all() and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-4
        if not regular:
            raise GeometryError(
                f"The affine {affine.tolist()} is singular or not finite, so the voxels have no place in space.",
                "Repair the header, or drop its geometry on purpose.",
            )
        affine[3] = (0, 0, 0, 1)
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Geometry):
            return NotImplemented
        return self.shape == other.shape and bool(np.array_equal(self.affine, other.affine))

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    def __matmul__(self, index: ArrayLike) -> NDArray[np.float64]:
        """Return the RAS+ millimetres of (..., ndim) indices in the array's axis order."""
        index = np.asarray(index, dtype=np.float64)
        return np.asarray(index @ self.affine[:3, : index.shape[-1]].T + self.affine[:3, 3])

    def to_index(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return the (..., 3) fractional indices of (..., 3) points in RAS+ millimetres."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(np.asarray(points_mm, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])

    @property
    def file_order(self) -> tuple[int, ...]:
        """Array axes in the order in which the file holds them, the one that varies fastest first."""
        last = self.ndim - 1
        axes = self.file_axes or tuple(range(last, -1, -1))
        return tuple(axes.index(axis) for axis in range(self.ndim))

    @property
    def ndim(self) -> int:
        """Number of spatial axes of the array, 2 or 3."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance in mm between neighbouring voxels along each array axis."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, : self.ndim], axis=0))

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3) matrix whose columns are the unit directions of the array axes in RAS+."""
        return np.asarray(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def origin(self) -> NDArray[np.float64]:
        """(3,) RAS+ mm of the centre of the first voxel."""
        return np.asarray(self.affine[:3, 3]).copy()

    @property
    def axcodes(self) -> str:
        """Nearest anatomical direction in which each array axis grows, such as ``"SPL"`` for an axial CT."""
        return "".join(str(code) for code in aff2axcodes(self.affine))[: self.ndim]

    @property
    def obliquity_degrees(self) -> float:
        """Largest angle between an array axis and its nearest anatomical axis."""
        return float(np.degrees(np.arccos(np.clip(np.abs(self.direction).max(axis=0).min(), 0, 1))))

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def corners(self) -> NDArray[np.float64]:
        """Return the (8, 3) RAS+ mm of the centres of the grid's corner voxels."""
        last = np.array([*self.shape, 1][:3]) - 1
        return self @ np.asarray(np.indices((2, 2, 2)).reshape(3, -1).T * last)

    def matches(self, other: "Geometry", tolerance_mm: float = 1e-3) -> bool:
        """Return whether both grids have the same shape and no corner is further apart than `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self.corners() - other.corners()).max() <= tolerance_mm)

    def axes_nearest_zyx(self) -> tuple[int, ...]:
        """Return the permutation for `transposed` that brings the axes nearest to (z, y, x), flipping none."""
        if self.ndim == 2:
            ornt = io_orientation(self.affine)[:2, 0]
            return (0, 1) if ornt[0] > ornt[1] else (1, 0)
        ornt = io_orientation(self.affine)
        by_patient_axis = {int(patient): array for array, patient in enumerate(ornt[:, 0])}
        return by_patient_axis[2], by_patient_axis[1], by_patient_axis[0]

    def transposed(self, axes: Sequence[int]) -> Self:
        """Return the grid of ``array.transpose(axes)``."""
        columns = [*axes, *range(self.ndim, 4)]
        file_axes = tuple(self.file_axes[axis] for axis in axes) if self.file_axes else ()
        return type(self)(tuple(self.shape[axis] for axis in axes), self.affine[:, columns], file_axes)

    def flipped(self, axis: int) -> Self:
        """Return the grid of ``numpy.flip(array, axis)``."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, axis] * (self.shape[axis] - 1)
        affine[:3, axis] *= -1
        return type(self)(self.shape, affine, self.file_axes)

    def cropped(self, start: Sequence[int], stop: Sequence[int]) -> Self:
        """Return the grid of ``array[start[0]:stop[0], ...]``; a start below 0 or a stop past the end pads."""
        affine = self.affine.copy()
        affine[:3, 3] = self @ np.asarray(start)
        return type(self)(tuple(b - a for a, b in zip(start, stop, strict=True)), affine, self.file_axes)

    def reoriented(self, axcodes: str) -> tuple[Self, "NDArray[np.float64]"]:
        """Return the grid with its axes permuted and flipped to `axcodes`, and nibabel's orientation transform.

        Parameters
        ----------
        axcodes : str
            Three letters, such as ``"SPL"``: the direction in which each axis shall grow.

        Returns
        -------
        geometry : Geometry
            The new grid; the same voxels at the same places.
        transform : (3, 2) array
            For `nibabel.orientations.apply_orientation` on the array.
        """
        transform = ornt_transform(io_orientation(self.affine), axcodes2ornt(axcodes))
        affine = self.affine @ inv_ornt_aff(transform, self.shape)
        shape = [0, 0, 0]
        for axis, target in enumerate(transform[:, 0].astype(int)):
            shape[target] = self.shape[axis]
        return type(self)(tuple(shape), affine), transform

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, for JSON."""
        return {"shape": list(self.shape), "affine": self.affine.tolist(), "file_axes": list(self.file_axes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the geometry that `to_dict` described, bit for bit."""
        affine = np.array(values["affine"], dtype=np.float64)
        return cls(tuple(values["shape"]), affine, tuple(values.get("file_axes", ())))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vector)
    return vector / length if length else vector
