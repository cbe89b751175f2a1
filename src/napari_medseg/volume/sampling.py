"""How thick slices arise from a finer grid, and how to go back without contradicting them.

All maps are matrices along one axis. Coarse voxel `k` covers the fine ones from ``k * factor`` to ``(k + 1) * factor``:
the first edges of both coincide, and the centre of coarse voxel `k` is at fine index ``(k + 0.5) * factor - 0.5``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import make_interp_spline

from napari_medseg.errors import GeometryError
from napari_medseg.volume.geometry import Geometry

Profile = Literal["gaussian", "box"]
FWHM_PER_SIGMA = float(2 * np.sqrt(2 * np.log(2)))
"""Full width at half maximum of a Gaussian of standard deviation 1."""
REACH = 4.0
"""Standard deviations to each side that a Gaussian blur is computed for."""
NEGLIGIBLE = 1e-4
"""Share of the input's variance that consistency may leave as error, so that noise is not amplified."""


@dataclass(frozen=True)
class AxisSampling:
    """How one axis was sampled."""

    factor: float
    """Spacing of the coarse voxels over that of the fine ones; 1 where both are the same."""
    width: float | None = None
    """Thickness of a slice in fine voxels: full width at half maximum of a Gaussian, or length of a box. None:
    `factor`, so that slices touch."""
    profile: Profile = "gaussian"
    """Weight of what lies across a slice."""

    @property
    def thickness(self) -> float:
        """Thickness of a slice in fine voxels."""
        return self.factor if self.width is None else self.width

    def fine(self, coarse: int) -> int:
        """Return the number of fine voxels for a number of coarse ones."""
        return max(1, round(coarse * self.factor))


def averaging_matrix(coarse: int, fine: int, axis: AxisSampling) -> NDArray[np.float64]:
    """Return the (coarse, fine) matrix that makes thick slices of fine ones; rows sum to 1.

    Examples
    --------
    >>> averaging_matrix(2, 4, AxisSampling(2, profile="box"))
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])
    """
    centres = (np.arange(coarse) + 0.5) * axis.factor - 0.5
    distance = np.abs(np.arange(fine) - centres[:, None])
    if axis.profile == "gaussian":
        weights = np.exp(-0.5 * (distance * FWHM_PER_SIGMA / axis.thickness) ** 2)
    else:
        # The part of each fine voxel that lies in the box.
        weights = np.clip(0.5 + axis.thickness / 2 - distance, 0, min(1.0, axis.thickness))
    sums = weights.sum(axis=1, keepdims=True)
    # A slice thinner than the fine grid falls between two voxels: the nearest ones are what it shows.
    return np.where(sums > 0, weights / np.where(sums > 0, sums, 1), spline_matrix(fine, coarse, 1 / axis.factor))


def spline_matrix(coarse: int, fine: int, factor: float) -> NDArray[np.float64]:
    """Return the (fine, coarse) matrix of interpolation by a cubic spline; beyond the outer centres values stay."""
    at = (np.arange(fine) + 0.5) / factor - 0.5
    if coarse == 1:
        return np.ones((fine, 1))
    degree = min(3, coarse - 1)
    degree -= degree == 2
    spline = make_interp_spline(np.arange(coarse), np.eye(coarse), degree)
    return np.asarray(spline(np.clip(at, 0, coarse - 1)), np.float64)


def correcting_matrix(averaging: NDArray[np.float64], noise: float = NEGLIGIBLE) -> NDArray[np.float64]:
    """Return the (fine, coarse) matrix that turns what is missing in the thick slices into the least correction.

    Parameters
    ----------
    averaging : (coarse, fine) array
        As of `averaging_matrix`.
    noise : float
        Variance of the noise over that of the signal; larger values correct less.
    """
    gram = averaging @ averaging.T
    return np.asarray(np.linalg.solve(gram + noise * np.eye(len(gram)), averaging).T, np.float64)


def inverse_matrix(averaging: NDArray[np.float64], spline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (fine, coarse) matrix of a spline that is corrected to be consistent with the thick slices.

    It is where learning starts: no other map without knowledge of images does as well.
    """
    correction = correcting_matrix(averaging, 1e-2)
    return np.asarray(spline + correction @ (np.eye(len(averaging)) - averaging @ spline), np.float64)


def along(matrix: NDArray[np.float64], values: NDArray[np.floating], axis: int) -> NDArray[np.float32]:
    """Return an array whose `axis` was multiplied by a matrix, as float32."""
    moved = np.moveaxis(np.asarray(values, np.float32), axis, 0)
    done = matrix.astype(np.float32) @ np.ascontiguousarray(moved).reshape(len(moved), -1)
    return np.ascontiguousarray(np.moveaxis(done.reshape(-1, *moved.shape[1:]), 0, axis))


def gaussian_weights(width: float) -> NDArray[np.float64]:
    """Return the weights of a Gaussian blur, an odd number of sum 1.

    Parameters
    ----------
    width : float
        Full width at half maximum in voxels.

    Examples
    --------
    >>> gaussian_weights(0.2), gaussian_weights(1.2).round(3)
    (array([1.]), array([0.   , 0.113, 0.774, 0.113, 0.   ]))
    """
    sigma = width / FWHM_PER_SIGMA
    at = np.arange(-round(REACH * sigma), round(REACH * sigma) + 1)
    weights = np.exp(-0.5 * (at / max(sigma, 1e-6)) ** 2)
    return np.asarray(weights / weights.sum(), np.float64)


def blurred(values: NDArray[np.floating], width: Sequence[float]) -> NDArray[np.float32]:
    """Return an image blurred by a Gaussian, beyond whose edges it is mirrored.

    Parameters
    ----------
    values : array
        Its last axes are those of `width`.
    width : sequence of float
        Full width at half maximum in voxels, along each axis.
    """
    for axis, size in enumerate(width, start=values.ndim - len(width)):
        values = ndimage.correlate1d(np.asarray(values, np.float32), gaussian_weights(size), axis, mode="reflect")
    return np.asarray(values, np.float32)


def coarser(values: NDArray[np.floating], axes: Sequence[AxisSampling], shape: Sequence[int]) -> NDArray[np.float32]:
    """Return what a scanner with thick slices would have seen.

    Parameters
    ----------
    values : array
        On the fine grid; its last axes are those of `axes`.
    axes : sequence of AxisSampling
        Of the last axes.
    shape : sequence of int
        Coarse voxels along them.
    """
    first = values.ndim - len(axes)
    for number, (axis, count) in enumerate(zip(axes, shape, strict=True), start=first):
        if axis.factor != 1:
            values = along(averaging_matrix(count, values.shape[number], axis), values, number)
    return np.asarray(values, np.float32)


def finer(values: NDArray[np.floating], axes: Sequence[AxisSampling]) -> NDArray[np.float32]:
    """Return the interpolation of thick slices by a cubic spline; `values` and `axes` as for `coarser`."""
    first = values.ndim - len(axes)
    for number, axis in enumerate(axes, start=first):
        if axis.factor != 1:
            count = values.shape[number]
            values = along(spline_matrix(count, axis.fine(count), axis.factor), values, number)
    return np.asarray(values, np.float32)


def consistent(
    fine: NDArray[np.float32], thick: NDArray[np.floating], axes: Sequence[AxisSampling], rounds: int = 3
) -> NDArray[np.float32]:
    """Return a fine image with the least change after which its thick slices are the given ones.

    Parameters
    ----------
    fine, thick : arrays of as many axes as `axes`
        Image, and the slices that it must give.
    axes : sequence of AxisSampling
        How the slices arise.
    rounds : int
        With several thick axes the correction of one disturbs the others a little; it is repeated.
    """
    matrices = {
        number: correcting_matrix(averaging_matrix(thick.shape[number], fine.shape[number], axis))
        for number, axis in enumerate(axes)
        if axis.factor != 1
    }
    for _ in range(rounds if len(matrices) > 1 else 1):
        missing = np.asarray(thick, np.float32) - coarser(fine, axes, thick.shape)
        for number, matrix in matrices.items():
            missing = along(matrix, missing, number)
        fine = fine + missing
    return fine


def scaled(
    fine: NDArray[np.float32], thick: NDArray[np.floating], axes: Sequence[AxisSampling], rounds: int, enough: float
) -> NDArray[np.float32]:
    """Return an image without negative values whose thick slices are nearer to the given ones (Richardson-Lucy).

    Parameters
    ----------
    fine, thick : arrays of as many axes as `axes`
        Image, and the slices that it should give; none of them negative.
    axes : sequence of AxisSampling
        How the slices arise.
    rounds : int
        Most times that every voxel is multiplied by what the slices over it lack.
    enough : float
        Root mean square of the difference at which it is good enough.
    """
    least = np.float32(NEGLIGIBLE) * max(float(np.max(thick)), float(np.finfo(np.float32).tiny))
    backs = {}
    for number, axis in enumerate(axes):
        if axis.factor != 1:
            matrix = averaging_matrix(thick.shape[number], fine.shape[number], axis)
            backs[number] = (matrix / np.maximum(matrix.sum(axis=0), NEGLIGIBLE)).T
    # Zeros would stay zeros.
    fine = np.maximum(fine, least)
    for _ in range(rounds):
        found = coarser(fine, axes, thick.shape)
        if np.sqrt(np.mean(np.square(found - thick, dtype=np.float64))) <= enough:
            break
        lacking = np.asarray(thick / np.maximum(found, least) - 1, np.float32)
        for number, back in backs.items():
            lacking = along(back, lacking, number)
        # What lies in a gap between slices stays as it is.
        fine = np.asarray(fine * (1 + lacking), np.float32)
    return np.asarray(np.where(fine > least, fine, 0), np.float32)


def refined(grid: Geometry, axes: Sequence[AxisSampling]) -> Geometry:
    """Return the fine grid of a coarse one: the same place in space, with more voxels.

    Raises
    ------
    GeometryError
        If there is not one sampling for each axis.
    """
    if len(axes) != grid.ndim:
        raise GeometryError(f"The grid has {grid.ndim} axes, but {len(axes)} factors were given.")
    affine = grid.affine.copy()
    factors = np.array([axis.factor for axis in axes])
    affine[:3, 3] = grid @ (0.5 / factors - 0.5)
    affine[:3, : grid.ndim] /= factors
    shape = tuple(axis.fine(count) for axis, count in zip(axes, grid.shape, strict=True))
    return Geometry(shape, affine, grid.file_axes)
