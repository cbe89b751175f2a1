"""Masks of things: from parts of a box to pixels and back, and as COCO writes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes

SURE = 0.5
"""A pixel belongs to a thing from this value of its mask on."""


def mask_on_grid(
    edges: NDArray[np.float64], mask: NDArray[np.floating], shape: Sequence[int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the pixels of an image whose centre is in a box, as slices, and which of them belong to the thing.

    Between the middles of a mask's parts its values are interpolated.

    Parameters
    ----------
    edges : (2, 2) array
        Start and stop of the box.
    mask : (rows, columns) array
        Of the box, in [0, 1].
    shape : sequence of int
        (y, x) of the image.

    Examples
    --------
    >>> part, inside = mask_on_grid(np.array([[1.0, 2], [3, 6]]), np.array([[1.0, 0], [1, 0]]), (5, 9))
    >>> part, inside.astype(int).tolist()
    ((slice(1, 3, None), slice(2, 6, None)), [[1, 1, 0, 0], [1, 1, 0, 0]])
    """
    lines: list[tuple[slice, NDArray[np.float64]]] = []
    for axis in range(2):
        first = max(int(np.ceil(edges[0, axis] - 0.5)), 0)
        last = min(int(np.ceil(edges[1, axis] - 0.5)), shape[axis])
        centres = np.arange(first, max(last, first), dtype=np.float64) + 0.5
        lines.append((slice(first, max(last, first)), centres))
    values = _resampled(mask, edges, [centres for _part, centres in lines])
    return (lines[0][0], lines[1][0]), np.asarray(values >= SURE)


def cut_masks(boxes: Boxes, edges: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """Return the masks of boxes for (n, 2, 2) edges inside them; None where there are none."""
    if boxes.masks is None:
        return None
    masks = np.array(boxes.masks, np.float32)
    sizes = masks.shape[1:]
    for number in np.flatnonzero((edges != boxes.edges).any(axis=(1, 2))):
        low, high = edges[number]
        lines = [low[k] + (np.arange(n) + 0.5) / n * (high[k] - low[k]) for k, n in enumerate(sizes)]
        masks[number] = _resampled(masks[number], boxes.edges[number], lines)
    return masks


def _resampled(
    mask: NDArray[np.floating], edges: NDArray[np.float64], lines: Sequence[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Return the values of a box's mask at the crossings of two lines of places."""
    found = np.asarray(mask, np.float32)
    for axis, places in enumerate(lines):
        size = found.shape[axis]
        length = max(float(edges[1, axis] - edges[0, axis]), 1e-9)
        at = np.clip((places - edges[0, axis]) / length * size - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (at - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None]
        found = np.take(found, low, axis) * (1 - share) + np.take(found, high, axis) * share
    return np.asarray(found, np.float32)


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a (y, x) mask as COCO's compressed run lengths, which go down the columns.

    Examples
    --------
    >>> run_lengths(np.array([[False, True], [False, True]]))
    {'size': [2, 2], 'counts': '22'}
    """
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist() if flat.size else []
    if flat.size and flat[0]:
        counts = [0, *counts]
    words = []
    for number, count in enumerate(counts):
        # Each count is written as its difference to the one before the last, five bits per letter.
        value, more = count - (counts[number - 2] if number > 2 else 0), True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            words.append(chr((bits | 0x20 if more else bits) + 48))
    return {"size": [int(n) for n in mask.shape], "counts": "".join(words)}


def mask_of_runs(runs: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the (y, x) mask of COCO's run lengths, compressed or not.

    Raises
    ------
    DataError
        If they are none.
    """
    try:
        height, width = (int(n) for n in runs["size"])
        counts = _counts(runs["counts"]) if isinstance(runs["counts"], str) else [int(n) for n in runs["counts"]]
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return flat.reshape(height, width, order="F")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"A mask's run lengths make no sense ({error}).", "Repair the file.") from error


def _counts(text: str) -> list[int]:
    counts: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[place]) - 48
            value |= (bits & 0x1F) << (5 * shift)
            more, place, shift = bool(bits & 0x20), place + 1, shift + 1
            if not more and bits & 0x10:
                value -= 1 << (5 * shift)
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts


def mask_of_polygons(polygons: Sequence[Sequence[float]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (y, x) mask of COCO's polygons, [x, y, x, y, ...]: the pixels whose centre is inside one."""
    from skimage.draw import polygon2mask

    found = np.zeros(shape, bool)
    for polygon in polygons:
        corners = np.array(polygon, float).reshape(-1, 2)[:, ::-1]
        found |= polygon2mask(shape, corners - 0.5)
    return found
