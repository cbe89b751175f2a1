"""Images of which a network sees a part: nnU-Net leaves out what is zero around the patient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_medseg.data.grid import GridMap
from napari_medseg.inference.pipelines.nnunet import Prepared
from napari_medseg.inference.preview import SliceAnswer


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

    def slice_of(self, place: tuple[int, int], predict: Callable[[tuple[int, int]], SliceAnswer]) -> SliceAnswer:
        """Return what is said of a slice of the whole: certain background outside of the part.

        Parameters
        ----------
        place : tuple of int
            Axis and index of the slice in the whole array; a plane is its own only slice.
        predict : callable
            Returns the answer for the part's slice at such a place.
        """
        axis, index = place
        planar = len(self.shape) == 2
        shape = [n for k, n in enumerate(self.shape) if planar or k != axis]
        whole = SliceAnswer(np.zeros(shape, np.uint16), np.zeros(shape, np.uint8))
        rows = self.box[axis]
        if planar or rows.start <= index < rows.stop:
            inside = tuple(part for k, part in enumerate(self.box) if planar or k != axis)
            found = predict((axis, index if planar else index - rows.start))
            whole.labels[inside], whole.doubt[inside] = found.labels, found.doubt
        return whole
