"""Logits from the network's grid back to the image's voxel size, slab by slab and class by class.

The numbers are those of MONAI's ``SpatialResample`` (linear, clamped at the border, in float64).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from napari_medseg.inference.tiling import Slab
from napari_medseg.volume import Geometry

CHUNK_VOXELS = 1 << 21
"""Voxels per step, so that the float64 planes of one class stay in tens of megabytes."""
NEGLIGIBLE = 1e-9
"""Voxels by which a position may be wrong: far less than a float32 logit can tell."""


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
    def between(cls, scale: float, offset: float, size: int, count: int) -> "AxisWeights":
        """Return the weights for positions ``scale * i + offset`` of an axis of `size`, clamped to its ends."""
        position = (torch.arange(count, dtype=torch.float64) * scale + offset).clamp(0, size - 1)
        lower = position.floor().long()
        return cls(lower, (lower + 1).clamp(max=size - 1), position - lower)

    def along(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        """Interpolate float64 `values` along `axis`."""
        shape = [-1 if dim == axis else 1 for dim in range(values.ndim)]
        lower = values.index_select(axis, self.lower.to(values.device))
        upper = values.index_select(axis, self.upper.to(values.device))
        return torch.lerp(lower, upper, self.weight.to(values.device).view(shape))

    def part(self, rows: slice, first: int) -> "AxisWeights":
        """Return the weights of some outputs, for an input that begins with index `first`."""
        return AxisWeights(self.lower[rows] - first, self.upper[rows] - first, self.weight[rows])


def axis_weights(source: Geometry, target: Geometry) -> tuple[AxisWeights, AxisWeights, AxisWeights]:
    """Return how to interpolate from one grid to another whose axes have the same directions."""
    transform = np.linalg.solve(source.affine, target.affine)
    z, y, x = (
        AxisWeights.between(float(transform[a, a]), float(transform[a, 3]), source.shape[a], target.shape[a])
        for a in range(3)
    )
    return z, y, x


class Resampling:
    """Where the voxels of an image's grid lie on the network's grid.

    Parameters
    ----------
    source, target : Geometry
        The network's and the image's grid, with axes in about the same directions.
    """

    def __init__(self, source: Geometry, target: Geometry) -> None:
        self._transform = np.linalg.solve(source.affine, target.affine)
        self._source, self._target = source.shape, target.shape
        self.weights = axis_weights(source, target)
        skew = np.abs(self._transform[:3, :3] - np.diag(np.diag(self._transform[:3, :3])))
        self.separable = bool((skew @ target.shape).max() < NEGLIGIBLE)
        """Whether the axes are exactly parallel. A header of 32-bit numbers is enough to make them not quite so."""

    @cached_property
    def rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """For each plane of the target, the first and the last plane of the source that it needs; (z,) int64 each."""
        per_plane, per_row, per_column, offset = self._transform[0]
        tilts = [per_row * (self._target[1] - 1), per_column * (self._target[2] - 1)]
        position = torch.arange(self._target[0], dtype=torch.float64) * per_plane + offset
        last = self._source[0] - 1
        lower = (position + sum(min(tilt, 0.0) for tilt in tilts)).clamp(0, last).floor().long()
        upper = (position + sum(max(tilt, 0.0) for tilt in tilts)).clamp(0, last).floor().long()
        return lower, (upper + 1).clamp(max=last)

    def positions(self, rows: slice, first: int, count: int) -> torch.Tensor:
        """Return (1, plane, y, x, 3) positions for ``grid_sample`` with aligned corners.

        Parameters
        ----------
        rows : slice
            Planes of the target.
        first, count : int
            The planes of the source that are at hand.
        """
        axes = [torch.arange(n, dtype=torch.float64) for n in self._target]
        z, y, x = axes[0][rows, None, None], axes[1][None, :, None], axes[2][None, None, :]
        found = []
        for axis, size in ((2, self._source[2]), (1, self._source[1]), (0, self._source[0])):
            a, b, c, offset = (float(value) for value in self._transform[axis])
            position = (a * z + b * y + c * x + offset).clamp_(0, size - 1)
            begin, span = (first, count - 1) if axis == 0 else (0, size - 1)
            found.append((position - begin) * (2 / span) - 1 if span else torch.zeros_like(position))
        return torch.stack(found, dim=-1)[None]


class ClassPlanes:
    """Some planes of the image's grid, one class at a time, so that never all classes are held at full size.

    Parameters
    ----------
    start : int
        Index of the first plane.
    slab : (class, plane, y, x) tensor
        Logits on the network's grid.
    resampling : Resampling, optional
        From the network's to the image's grid; None if they are the same.
    rows : slice
        The planes, with `resampling`.
    first : int
        Plane of the network's grid that `slab` begins with.
    """

    def __init__(
        self,
        start: int,
        slab: torch.Tensor,
        resampling: Resampling | None = None,
        rows: slice = slice(None),
        first: int = 0,
    ) -> None:
        self.start = start
        self._resampling, self._rows = resampling, rows
        if resampling is not None:
            lower, upper = (ends[rows] for ends in resampling.rows)
            self._first = int(lower.min())
            slab = slab[:, self._first - first : int(upper.max()) + 1 - first]
        self._slab = slab

    def __len__(self) -> int:
        return int(self._slab.shape[0])

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return the (plane, y, x) float32 logits of class number `index`."""
        values = self._slab[index]
        if self._resampling is None:
            return values
        if not self._resampling.separable:
            return torch.nn.functional.grid_sample(
                values.double()[None, None], self._positions, padding_mode="border", align_corners=True
            )[0, 0].float()
        z, y, x = self._resampling.weights
        # Along x, where memory is touched in the least convenient order, before there are more voxels.
        values = y.along(x.along(values.double(), 2), 1)
        return z.part(self._rows, self._first).along(values, 0).float()

    @cached_property
    def _positions(self) -> torch.Tensor:
        assert self._resampling is not None
        return self._resampling.positions(self._rows, self._first, self._slab.shape[1]).to(self._slab.device)


class SlabResampler:
    """Turns slabs on the network's grid into planes on the image's grid as soon as their neighbours are there."""

    def __init__(self, source: Geometry, target: Geometry) -> None:
        self._resampling = Resampling(source, target)
        self._held: torch.Tensor | None = None
        self._first = 0
        self._done = 0
        _, height, width = target.shape
        self._rows = max(1, CHUNK_VOXELS // (height * width))

    def add(self, slab: Slab) -> Iterator[ClassPlanes]:
        """Take the next slab and yield the planes that it completes."""
        # There is no float64 on Apple's GPU.
        logits = slab.logits.cpu() if slab.logits.device.type == "mps" else slab.logits
        held = logits if self._held is None else torch.cat([self._held, logits], dim=1)
        lower, upper = self._resampling.rows
        ready = int((upper < self._first + held.shape[1]).sum())
        for start in range(self._done, ready, self._rows):
            rows = slice(start, min(start + self._rows, ready))
            yield ClassPlanes(start, held, self._resampling, rows, self._first)
        self._done = ready
        needed = int(lower[ready]) if ready < len(lower) else self._first + held.shape[1]
        self._held, self._first = held[:, needed - self._first :].clone(), needed
