"""Rectangles as they are drawn on an image, with a pixel's centre at its index, from and to boxes."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError


def boxes_of_rectangles(
    vertices: Sequence[NDArray[np.floating]], depths: Sequence[tuple[float, float]] | None = None
) -> NDArray[np.float64]:
    """Return the (n, 2, axes) edges of drawn shapes.

    A viewer puts the centre of the pixel of index i at i, so what is drawn half a pixel before it is its edge. A shape
    that is turned gives the box that holds it.

    Parameters
    ----------
    vertices : sequence of (corner, axes) arrays
        Corners of each shape in voxel indices, (y, x) or (z, y, x): the four of a rectangle, or any that span a box,
        such as two opposite ones.
    depths : sequence of (first, last), optional
        For rectangles drawn on one slice of a volume: the first and the last slice that the thing is on, both
        included. Without, a flat rectangle is one slice thick.

    Raises
    ------
    DataError
        If a shape has no extent, or lies oblique in a volume.

    Examples
    --------
    >>> corners = np.array([[1.5, 3.5], [1.5, 9.5], [4.5, 9.5], [4.5, 3.5]])
    >>> boxes_of_rectangles([corners]).tolist()
    [[[2.0, 4.0], [5.0, 10.0]]]
    """
    found = []
    for number, corners in enumerate(vertices):
        points = np.asarray(corners, np.float64)
        low, high = points.min(axis=0) + 0.5, points.max(axis=0) + 0.5
        flat = np.flatnonzero(low == high)
        if points.shape[1] == 3 and len(flat) == 1:
            # Drawn on a slice, whose centre is at its index.
            across = flat[0]
            first, last = (low[across] - 0.5,) * 2 if depths is None else depths[number]
            low[across], high[across] = np.round(min(first, last)), np.round(max(first, last)) + 1
        if (high <= low).any():
            raise DataError(f"Shape {number} has no extent along an axis.", "Draw a rectangle, or remove it.")
        found.append(np.stack([low, high]))
    return np.array(found).reshape(-1, 2, found[0].shape[1] if found else 2)


def rectangles_of_boxes(edges: NDArray[np.floating], index: int | None = None) -> list[NDArray[np.float64]]:
    """Return the corners of boxes as a viewer draws them, with pixel centres at their indices.

    Parameters
    ----------
    edges : (n, 2, axes) array
        As of `napari_medseg.prediction.Boxes`.
    index : int, optional
        For volumes, the slice along the first axis to draw on: boxes that have no part on it are left out. None gives
        the eight corners of each box.

    Returns
    -------
    list of (corner, axes) array
        Four corners in drawing order for planes and slices.
    """
    drawn = np.asarray(edges, np.float64) - 0.5
    if drawn.shape[2] == 2:
        return [_around(box) for box in drawn]
    if index is None:
        return [np.array([[box[side, axis] for axis, side in enumerate(c)] for c in product((0, 1), repeat=3)])
                for box in drawn]  # fmt: skip
    on = on_slice(edges, index)
    return [np.column_stack([np.full(4, float(index)), _around(box[:, 1:])]) for box in drawn[on]]


def on_slice(edges: NDArray[np.floating], index: int) -> NDArray[np.bool_]:
    """Return which (n, 2, 3) boxes have a part on the slice of an index along the first axis."""
    return np.asarray((edges[:, 0, 0] < index + 1) & (edges[:, 1, 0] > index))


def smallest_at(edges: NDArray[np.floating], place: Sequence[float]) -> int | None:
    """Return the number of the smallest of (n, 2, axes) boxes that holds a place; None where there is none.

    Parameters
    ----------
    edges : (n, 2, axes) array
        As of `napari_medseg.prediction.Boxes`.
    place : sequence of float
        In voxel indices, as a viewer tells them: a voxel's centre is at its index.

    Examples
    --------
    >>> boxes = np.array([[[0, 0], [9, 9]], [[2, 2], [5, 5]]])
    >>> smallest_at(boxes, (4.4, 4.4)), smallest_at(boxes, (4.6, 4.4)), smallest_at(boxes, (-0.6, 0))
    (1, 0, None)
    """
    if not len(edges):
        return None
    point = np.asarray(place, np.float64)[-edges.shape[2] :] + 0.5
    inside = ((edges[:, 0] <= point) & (point < edges[:, 1])).all(axis=1)
    sizes = np.where(inside, np.prod(edges[:, 1] - edges[:, 0], axis=1), np.inf)
    return int(sizes.argmin()) if inside.any() else None


def _around(box: NDArray[np.float64]) -> NDArray[np.float64]:
    (top, left), (bottom, right) = box
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
