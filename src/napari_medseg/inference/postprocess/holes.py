"""Filling background that a class encloses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.inference.postprocess.regions import Box, Labels, boxes


@dataclass(frozen=True, eq=False)
class Hole:
    """What a class encloses, whatever is in there."""

    value: int
    """The class around it."""
    box: Box
    inside: NDArray[np.bool_]
    """The hole within its box."""
    voxels: int


def fill_holes(labels: Labels, values: Sequence[int]) -> Labels:
    """Return the labels with the background that one of `values` encloses given to it.

    A hole is what no path over voxel faces connects to the outside or to the border of the image. Other classes in it
    stay; background in several holes, one inside the other, goes to the class around the innermost.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) unsigned integer array
        Label values; 0 is background.
    values : sequence of int
        Classes, each by itself.
    """
    result = labels.copy()
    found = [hole for value, box in boxes(labels, values) for hole in _holes(labels[box] == value, value, box)]
    for hole in sorted(found, key=lambda hole: hole.voxels):
        part = result[hole.box]
        part[hole.inside & (part == 0)] = hole.value
    return result


def _holes(mask: NDArray[np.bool_], value: int, box: Box) -> Iterator[Hole]:
    numbers, count = ndimage.label(~mask)
    if not count:
        return
    open_ = {int(n) for axis in range(mask.ndim) for end in (0, -1) for n in np.unique(numbers.take(end, axis))}
    for number, part in enumerate(ndimage.find_objects(numbers), start=1):
        if number in open_ or part is None:
            continue
        inside = numbers[part] == number
        place = tuple(
            slice(outer.start + inner.start, outer.start + inner.stop) for outer, inner in zip(box, part, strict=True)
        )
        yield Hole(value, place, inside, int(inside.sum()))
