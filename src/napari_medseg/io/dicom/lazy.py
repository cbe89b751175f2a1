"""Stacks of slices too large for memory: each slice is decoded when it is first looked at."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.dicom.frame import Frame
from napari_medseg.io.dicom.layout import Blend
from napari_medseg.io.dicom.pictures import Target, decode
from napari_medseg.io.dicom.series import Stack
from napari_medseg.io.format import ReadOptions
from napari_medseg.io.lazy import Planes, Watched, dask_array

if TYPE_CHECKING:
    from napari_medseg.io.dicom.convert import Conversion
    from napari_medseg.io.dicom.parser import DicomFile


def lazy_values(
    stack: Stack, conversions: "dict[DicomFile, Conversion]", dtype: np.dtype[Any], *, rgb: bool
) -> NDArray[Any]:
    """Return a dask array of a stack in stored order.

    Parameters
    ----------
    stack : Stack
        What to decode.
    conversions : dict
        What is done to the pixels of each file.
    dtype : dtype
        One that holds whatever the pixels may say.
    rgb : bool
        Whether the values are colours.
    """
    shape = stack.shape(rgb=rgb)
    stacked = len(shape) - (3 if rgb else 2)
    source = _Slices(stack, conversions)
    return dask_array(Planes(shape, dtype, stacked, source.make))


class _Slices:
    """Makes the slices of a stack."""

    def __init__(self, stack: Stack, conversions: "dict[DicomFile, Conversion]") -> None:
        self._frames, self._blends = stack.frames, stack.blends
        self._conversions = conversions
        self._watched = {file: Watched.of(file.path) for file in conversions}

    def make(self, numbers: list[int], into: NDArray[Any]) -> None:
        """Fill planes with slices, counted step by step."""
        places = [divmod(number, self._slices) for number in numbers]
        if self._blends is None:
            self._decode([(self._frames[step][k], plane) for (step, k), plane in zip(places, into, strict=True)])
            return
        for (step, k), plane in zip(places, into, strict=True):
            self._mix(self._frames[step], self._blends[k], plane)

    @property
    def _slices(self) -> int:
        return len(self._frames[0]) if self._blends is None else len(self._blends)

    def _mix(self, frames: tuple[Frame, ...], blend: Blend, plane: NDArray[Any]) -> None:
        pair = np.empty((2, *plane.shape), plane.dtype)
        self._decode([(frames[blend.first], pair[0]), (frames[blend.second], pair[1])])
        plane[...] = mixed(pair[0], pair[1], blend)

    def _decode(self, targets: list[Target]) -> None:
        for file in {frame.file for frame, _ in targets}:
            self._watched[file].check()
        decode(targets, self._conversions, ReadOptions())


def mixed(first: NDArray[Any], second: NDArray[Any], blend: Blend) -> NDArray[Any]:
    """Return a slice of the grid between two acquired ones; one that lies on an acquired slice is that slice."""
    if blend.weight in (0.0, 1.0):
        return second if blend.weight else first
    between = first * (1 - blend.weight) + second * blend.weight
    return np.asarray(np.rint(between) if np.issubdtype(first.dtype, np.integer) else between)
