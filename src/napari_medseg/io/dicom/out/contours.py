"""Outlines of masks as closed polygons, holes joined to what surrounds them by a channel of no width.

The vertices lie half way between voxels inside and outside, so a voxel belongs to a region exactly if its centre lies
in a polygon. DICOM draws a hole of a CLOSED_PLANAR contour in this way ("keyhole", PS3.3 C.8.8.6.3).
"""

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
    outer = [ring for ring in rings if not _is_hole(ring, mask)]
    holes = sorted((ring for ring in rings if _is_hole(ring, mask)), key=lambda ring: float(ring[:, 1].min()))
    for hole in holes:
        _join(outer, hole)
    return [_without_needless(polygon) for polygon in outer]


def _rings(inside: NDArray[np.uint8]) -> list[Polygon]:
    return find_contours(inside, 0.5, fully_connected="low")  # type: ignore[no-untyped-call, no-any-return]


def _is_hole(ring: Polygon, mask: NDArray[np.bool_]) -> bool:
    """Return whether the voxel to the right of a ring's leftmost vertex is outside the mask."""
    row, column = ring[ring[:, 1].argmin()]
    return not mask[round(float(row)), round(float(column) + 0.5)]


def _join(outer: list[Polygon], hole: Polygon) -> None:
    """Join a hole to the border on its left, along the row of its leftmost vertex.

    Holes come from left to right: what is on the left is an outer border, or a hole that is already joined to one.
    """
    start = int(hole[:, 1].argmin())
    row, column = hole[start]
    best: tuple[float, int, int] | None = None
    for number, polygon in enumerate(outer):
        on_left = np.flatnonzero((polygon[:, 0] == row) & (polygon[:, 1] < column))
        if len(on_left):
            nearest = int(on_left[polygon[on_left, 1].argmax()])
            if best is None or polygon[nearest, 1] > best[0]:
                best = float(polygon[nearest, 1]), number, nearest
    if best is None:
        raise ValueError("a hole has nothing around it")
    _, number, at = best
    around = np.concatenate([hole[start:], hole[: start + 1]])
    polygon = outer[number]
    outer[number] = np.concatenate([polygon[: at + 1], around, polygon[at:]])


def _without_needless(polygon: Polygon) -> Polygon:
    """Leave out vertices in the middle of a straight line; the turning points of channels stay."""
    before, after = np.roll(polygon, 1, axis=0) - polygon, np.roll(polygon, -1, axis=0) - polygon
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (cross == 0) & ((before * after).sum(axis=1) < 0)
    return np.asarray(polygon[~straight])
