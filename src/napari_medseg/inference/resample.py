"""Logits from the network's grid back to the image's voxel size, slab by slab and class by class."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from napari_medseg.inference.tiling import Slab
from napari_medseg.volume import Geometry

CHUNK_VOXELS = 1 << 22
"""Voxels per step, so that the float64 planes of one class stay in tens of megabytes."""


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

    def part(self, rows: slice) -> tuple["AxisWeights", slice]:
        """Return the weights of some outputs, counted from the first input that they need, and the inputs."""
        lower, upper, weight = self.lower[rows], self.upper[rows], self.weight[rows]
        first = int(lower[0])
        return AxisWeights(lower - first, upper - first, weight), slice(first, int(upper[-1]) + 1)


def axis_weights(source: Geometry, target: Geometry) -> tuple[AxisWeights, AxisWeights, AxisWeights]:
    """Return how to interpolate from one grid to another whose axes have the same directions."""
    transform = np.linalg.solve(source.affine, target.affine)
    z, y, x = (
        AxisWeights.between(float(transform[a, a]), float(transform[a, 3]), source.shape[a], target.shape[a])
        for a in range(3)
    )
    return z, y, x


class ClassPlanes:
    """Some planes of the image's grid, one class at a time, so that never all classes are held at full size.

    Parameters
    ----------
    start : int
        Index of the first plane.
    slab : (class, plane, y, x) tensor
        Logits on the network's grid.
    weights : tuple of AxisWeights, optional
        From the network's to the image's grid; None if they are the same.
    rows : slice
        The planes, with `weights`.
    first : int
        Plane of the network's grid that `slab` begins with.
    """

    def __init__(
        self,
        start: int,
        slab: torch.Tensor,
        weights: tuple[AxisWeights, AxisWeights, AxisWeights] | None = None,
        rows: slice = slice(None),
        first: int = 0,
    ) -> None:
        self.start = start
        self._slab, self._weights, self._rows, self._first = slab, weights, rows, first

    def __len__(self) -> int:
        return int(self._slab.shape[0])

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return the (plane, y, x) float32 logits of class number `index`."""
        values = self._slab[index]
        if self._weights is None:
            return values
        z, y, x = self._weights
        along_z, inputs = z.part(self._rows)
        values = values[inputs.start - self._first : inputs.stop - self._first].double()
        # Along x, where memory is touched in the least convenient order, before there are more voxels.
        return along_z.along(y.along(x.along(values, 2), 1), 0).float()


class SlabResampler:
    """Turns slabs on the network's grid into planes on the image's grid as soon as their neighbours are there."""

    def __init__(self, source: Geometry, target: Geometry) -> None:
        self._weights = axis_weights(source, target)
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
        z = self._weights[0]
        ready = int((z.upper < self._first + held.shape[1]).sum())
        for start in range(self._done, ready, self._rows):
            rows = slice(start, min(start + self._rows, ready))
            yield ClassPlanes(start, held, self._weights, rows, self._first)
        self._done = ready
        needed = int(z.lower[ready]) if ready < len(z.lower) else self._first + held.shape[1]
        self._held, self._first = held[:, needed - self._first :].clone(), needed
