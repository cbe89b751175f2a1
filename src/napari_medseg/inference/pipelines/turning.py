"""Images on other axes."""

from collections.abc import Sequence

import numpy as np

from napari_medseg.inference.placement import Placement
from napari_medseg.volume import Geometry

RAS_IN_MEMORY = "SAR"
"""Directions of an array's axes whose last one is the file's first, after the file was turned to RAS."""


def as_volume(geometry: Geometry) -> Geometry:
    """Return the grid with a first axis of one voxel if it is a plane."""
    if geometry.ndim == 3:
        return geometry
    file_axes = (2, *geometry.file_axes) if geometry.file_axes else ()
    return Geometry((1, *geometry.shape), geometry.affine[:, [2, 0, 1, 3]], file_axes)


def axes_of(geometry: Geometry, axcodes: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the own axis that each axis of a grid of the directions `axcodes` runs along, and whether against it."""
    _, transform = as_volume(geometry).reoriented(axcodes)
    order = [int(axis) for axis in np.argsort(transform[:, 0])]
    return tuple(order), tuple(bool(transform[axis, 1] < 0) for axis in order)


def turned(
    shape: tuple[int, ...],
    geometry: Geometry,
    axes: Sequence[int],
    flips: Sequence[bool],
    transpose: Sequence[int] = (0, 1, 2),
) -> Placement:
    """Return the placement of an image on other axes.

    Parameters
    ----------
    shape : tuple of int
        Voxels along the image's own axes.
    geometry : Geometry
        The image's.
    axes, flips : sequence
        As `axes_of` gives them.
    transpose : sequence of int
        Order in which they are taken then.
    """
    a, b, c = (axes[k] for k in transpose)
    fa, fb, fc = (flips[k] for k in transpose)
    native = as_volume(geometry).transposed((a, b, c))
    for axis, flip in enumerate((fa, fb, fc)):
        native = native.flipped(axis) if flip else native
    return Placement(shape, (a, b, c), (fa, fb, fc), native)
