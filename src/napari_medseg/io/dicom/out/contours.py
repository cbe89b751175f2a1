"""Outlines of masks as closed polygons, holes joined to what surrounds them by a channel of no width.

The vertices lie half way between voxels inside and outside, so a voxel belongs to a region exactly if its centre lies
in a polygon. DICOM draws a hole of a CLOSED_PLANAR contour in this way ("keyhole", PS3.3 C.8.8.6.3).
"""

from bisect import bisect_left
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

Polygon = NDArray[np.float64]
"""(n, 2) vertices as (row, column), in voxels; the last joins the first."""


def outlines(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Return polygons whose inside holds the centres of exactly the voxels of a mask.

    Parameters
    ----------
    mask : (rows, columns) bool array
        A slice of a region.

    Returns
    -------
    list of (n, 2) array
        One polygon per connected part, counter-clockwise or clockwise alike for all outer borders.

    Examples
    --------
    >>> [polygon.tolist() for polygon in outlines(np.array([[True]]))]
    [[[0.5, 0.0], [0.0, -0.5], [-0.5, 0.0], [0.0, 0.5]]]
    """
    inside = np.pad(mask, 1).astype(np.uint8)
    # Voxels that touch at a corner are apart, and so are the holes beside them: no border ever meets itself.
    rings = [ring[:-1] - 1 for ring in _rings(inside)]
    holes = [_is_hole(ring, mask) for ring in rings]
    children = _channels(rings, holes)
    return [_without_needless(_walk(number, rings, children)) for number, hole in enumerate(holes) if not hole]


def _rings(inside: NDArray[np.uint8]) -> list[Polygon]:
    return find_contours(inside, 0.5, fully_connected="low")  # type: ignore[no-any-return]


def _is_hole(ring: Polygon, mask: NDArray[np.bool_]) -> bool:
    """Return whether the voxel to the right of a ring's leftmost vertex is outside the mask."""
    row, column = ring[ring[:, 1].argmin()]
    return not mask[round(float(row)), round(float(column) + 0.5)]


Children = dict[tuple[int, int], tuple[int, int]]
"""Ring and vertex at which a channel begins, to the hole and the vertex of the hole at which it ends."""


def _channels(rings: list[Polygon], holes: list[bool]) -> Children:
    """Return a channel for each hole: from its leftmost vertex to the next border on the left, in the same row.

    What is on the left is an outer border, or a hole that begins further left and so is joined to one itself.
    """
    by_row: dict[float, list[tuple[float, int, int]]] = defaultdict(list)
    for number, ring in enumerate(rings):
        for vertex, (row, column) in enumerate(ring.tolist()):
            if row.is_integer():
                by_row[row].append((column, number, vertex))
    for crossings in by_row.values():
        crossings.sort()
    children: Children = {}
    for number in (number for number, hole in enumerate(holes) if hole):
        vertex = int(rings[number][:, 1].argmin())
        row, column = rings[number][vertex].tolist()
        at = bisect_left(by_row[row], (column, -1, -1)) - 1
        _, left, start = by_row[row][at]
        children[left, start] = number, vertex
    return children


def _walk(number: int, rings: list[Polygon], children: Children) -> Polygon:
    """Return an outer border with all holes that hang on it, each walked around on the way."""
    points: list[NDArray[np.float64]] = []
    # Ring, vertex that its walk began at, vertices that were passed.
    under_way = [[number, 0, 0]]
    while under_way:
        ring, start, passed = under_way[-1]
        border = rings[ring]
        # A hole ends where it began, and an outer border is closed by its reader.
        if passed == len(border) + (len(under_way) > 1):
            under_way.pop()
            if under_way:
                ring, start, passed = under_way[-1]
                points.append(rings[ring][(start + passed - 1) % len(rings[ring])])
            continue
        vertex = (start + passed) % len(border)
        points.append(border[vertex])
        under_way[-1][2] += 1
        if passed < len(border) and (ring, vertex) in children:
            under_way.append([*children[ring, vertex], 0])
    return np.array(points)


def _without_needless(polygon: Polygon) -> Polygon:
    """Leave out vertices in the middle of a straight line; the turning points of channels stay."""
    before, after = np.roll(polygon, 1, axis=0) - polygon, np.roll(polygon, -1, axis=0) - polygon
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (cross == 0) & ((before * after).sum(axis=1) < 0)
    return np.asarray(polygon[~straight])
