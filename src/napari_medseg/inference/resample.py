"""From one grid to another: an image to the network's voxel size, and logits back to the image's, part by part.

The numbers are those of MONAI's ``SpatialResample`` (linear, clamped at the border, in float64).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from napari_medseg.inference.tiling import Box3, Shape3
from napari_medseg.volume import Geometry

NEGLIGIBLE = 5e-5
"""Voxels by which a position may be wrong: about what a header of 32-bit numbers leaves open far from its origin."""
KEPT_MATRICES = 256
"""Small matrices of weights that are kept."""
LINEAR = (False, False, False)


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """Linear interpolation along one axis: output i is (1 - w[i]) * in[lower[i]] + w[i] * in[upper[i]]."""

    lower: torch.Tensor
    """(n,) int64 indices."""
    upper: torch.Tensor
    """(n,) int64 indices."""
    weight: torch.Tensor
    """(n,) float64, in [0, 1)."""

    @classmethod
    def between(cls, scale: float, offset: float, size: int, count: int, nearest: bool = False) -> "AxisWeights":
        """Return the weights for positions ``scale * i + offset`` of an axis of `size`, clamped to its ends."""
        position = (torch.arange(count, dtype=torch.float64) * scale + offset).clamp(0, size - 1)
        if nearest:
            position = (position + 0.5).floor().clamp(max=size - 1)
        lower = position.floor().long()
        return cls(lower, (lower + 1).clamp(max=size - 1), position - lower)

    def along(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        """Interpolate float64 `values` along `axis`."""
        shape = [-1 if dim == axis else 1 for dim in range(values.ndim)]
        lower = values.index_select(axis, self.lower.to(values.device))
        upper = values.index_select(axis, self.upper.to(values.device))
        return torch.lerp(lower, upper, self.weight.to(values.device).view(shape))

    def matrix(self, rows: slice, first: int, size: int) -> torch.Tensor:
        """Return (output, input) float64 weights of some outputs, for `size` inputs that begin with index `first`."""
        weight = self.weight[rows, None]
        found = torch.zeros((len(weight), size), dtype=torch.float64)
        found.scatter_(1, self.lower[rows, None] - first, 1 - weight)
        # At the end of the axis both neighbours are the same voxel, and the weight is zero.
        return found.scatter_add_(1, self.upper[rows, None] - first, weight)


def axis_weights(
    source: Geometry, target: Geometry, nearest: Sequence[bool] = LINEAR
) -> tuple[AxisWeights, AxisWeights, AxisWeights]:
    """Return how to interpolate from one grid to another whose axes have the same directions."""
    transform = np.linalg.solve(source.affine, target.affine)
    z, y, x = (
        AxisWeights.between(
            float(transform[a, a]), float(transform[a, 3]), source.shape[a], target.shape[a], nearest[a]
        )
        for a in range(3)
    )
    return z, y, x


class Resampling:
    """Where the voxels of one grid lie on another, and the values there.

    Parameters
    ----------
    source, target : Geometry
        The grid that has values and the grid that wants them, with axes in about the same directions.
    nearest : sequence of bool
        Axes (z, y, x) along which the nearest voxel of the source counts, instead of a linear mixture.
    """

    def __init__(self, source: Geometry, target: Geometry, nearest: Sequence[bool] = LINEAR) -> None:
        self._transform = np.linalg.solve(source.affine, target.affine)
        self._nearest = tuple(nearest)
        self.source_shape, self.target_shape = _shape3(source), _shape3(target)
        skew = np.abs(self._transform[:3, :3] - np.diag(np.diag(self._transform[:3, :3])))
        self.separable = bool((skew @ target.shape).max() < NEGLIGIBLE)
        """Whether the axes are parallel, as far as a header of 32-bit numbers can tell."""
        self.weights = axis_weights(source, target, nearest)
        """Along each axis; where axes are not parallel only about right."""
        self._matrices: dict[tuple[int, int, int], torch.Tensor] = {}
        self.needs = tuple(self._needs(axis) for axis in range(3))
        """Along each axis, the first and the last voxel of the source that each target voxel needs; (n,) int64 each."""

    def _needs(self, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self.separable:
            return self.weights[axis].lower, self.weights[axis].upper
        row, last = self._transform[axis], self.source_shape[axis] - 1
        position = torch.arange(self.target_shape[axis], dtype=torch.float64) * row[axis] + row[3]
        tilts = [row[other] * (self.target_shape[other] - 1) for other in range(3) if other != axis]
        low = (position + sum(min(tilt, 0.0) for tilt in tilts)).clamp(0, last)
        high = (position + sum(max(tilt, 0.0) for tilt in tilts)).clamp(0, last)
        # Half a voxel more where positions are rounded.
        half = 0.5 if self._nearest[axis] else 0.0
        return (low - half).clamp(min=0).floor().long(), ((high + half).floor().long() + 1).clamp(max=last)

    def source_box(self, target: Box3) -> Box3:
        """Return the part of the source that a part of the target needs."""
        z, y, x = (
            slice(int(lower[rows][0]), int(upper[rows][-1]) + 1)
            for (lower, upper), rows in zip(self.needs, target, strict=True)
        )
        return z, y, x

    def values(self, source: torch.Tensor, first: Sequence[int], target: Box3, exact: bool = True) -> torch.Tensor:
        """Interpolate.

        Parameters
        ----------
        source : (class, z, y, x) tensor
            Of any real type, with all that `source_box` says; not on Apple's GPU, which has no float64.
        first : (z, y, x) sequence of int
            Voxel of the source's grid that the array begins with.
        target : Box3
            The part of the target's grid.
        exact : bool
            Whether to compute in float64, as MONAI does, or else in float32.

        Returns
        -------
        (class, z, y, x) float32 tensor
        """
        needed = self.source_box(target)
        inside = tuple(slice(box.start - a, box.stop - a) for box, a in zip(needed, first, strict=True))
        values = source[(slice(None), *inside)].to(torch.float64 if exact else torch.float32)
        begin = tuple(box.start for box in needed)
        if not self.separable:
            positions = self._positions(target, begin, values.shape[1:]).to(values)
            sampled = torch.nn.functional.grid_sample(
                values[None], positions, padding_mode="border", align_corners=True
            )
            return sampled[0].float()
        # Products of small matrices: most of their numbers are zero, but nothing is gathered from memory.
        z, y, x = (self._matrix(axis, rows, needed[axis]).to(values) for axis, rows in enumerate(target))
        values = torch.matmul(y, torch.matmul(values, x.T))
        height, width = values.shape[2:]
        return torch.matmul(z, values.flatten(2)).reshape(len(values), len(z), height, width).float()

    def _matrix(self, axis: int, rows: slice, needed: slice) -> torch.Tensor:
        """Return the weights along an axis; kept, as they are used for several groups of classes."""
        key = (axis, rows.start, rows.stop)
        if key not in self._matrices:
            if len(self._matrices) >= KEPT_MATRICES:
                self._matrices.clear()
            self._matrices[key] = self.weights[axis].matrix(rows, needed.start, needed.stop - needed.start)
        return self._matrices[key]

    def _positions(self, target: Box3, first: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
        """Return (1, z, y, x, 3) positions in a part of the source, for ``grid_sample`` with aligned corners."""
        axes = [torch.arange(rows.start, rows.stop, dtype=torch.float64) for rows in target]
        z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
        found = []
        for axis in (2, 1, 0):
            a, b, c, offset = (float(value) for value in self._transform[axis])
            position = (a * z + b * y + c * x + offset).clamp_(0, self.source_shape[axis] - 1)
            if self._nearest[axis]:
                position = (position + 0.5).floor_().clamp_(max=self.source_shape[axis] - 1)
            span = shape[axis] - 1
            found.append((position - first[axis]) * (2 / span) - 1 if span else torch.zeros_like(position))
        return torch.stack(found, dim=-1)[None]


def _shape3(geometry: Geometry) -> Shape3:
    return cast("Shape3", geometry.shape)
