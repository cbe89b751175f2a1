"""Images of which a network sees a part: nnU-Net leaves out what is zero around the patient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.grid import GridMap
from napari_medseg.inference.pipelines.nnunet import Prepared


@dataclass(frozen=True)
class Part:
    """A box of an image's own array."""

    shape: tuple[int, ...]
    """Voxels of the whole array along its axes."""
    box: tuple[slice, ...]

    @classmethod
    def of(cls, prepared: Prepared) -> "Part":
        """Return what nnU-Net's preparation keeps of an image."""
        whole, found = prepared.whole, {}
        for axis, own, flipped in zip(prepared.box, whole.axes, whole.flips, strict=True):
            size = (1, *whole.shape)[-3:][own]
            found[own] = slice(size - axis.stop, size - axis.start) if flipped else axis
        return cls(whole.shape, tuple(found[own] for own in range(3))[-len(whole.shape) :])

    def map(self, part: GridMap) -> GridMap:
        """Return where a grid lies in the whole array, from where it lies in the part."""
        starts = (0, *(rows.start for rows in self.box))[-3:]
        z, y, x = (
            np.where(index < 0, index, index + starts[own]) for index, own in zip(part.indices, part.axes, strict=True)
        )
        return GridMap(self.shape, part.axes, (z, y, x))

    def slice_of(
        self, axis: int, index: int, predict: Callable[[int], NDArray[np.unsignedinteger]]
    ) -> NDArray[np.unsignedinteger]:
        """Return the labels of a slice of the whole, background outside of the part.

        Parameters
        ----------
        axis, index : int
            Of the slice in the whole array; a plane is its own only slice.
        predict : callable
            Returns the (rows, columns) labels of the part's slice at an index along `axis`.
        """
        planar = len(self.shape) == 2
        whole = np.zeros([n for k, n in enumerate(self.shape) if planar or k != axis], np.uint16)
        rows = self.box[axis]
        if planar or rows.start <= index < rows.stop:
            inside = tuple(part for k, part in enumerate(self.box) if planar or k != axis)
            whole[inside] = predict(index if planar else index - rows.start)
        return whole
