"""How much there is to learn from a correction, at each place of a volume."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.data.sample import BACKGROUND_VALUE
from napari_medseg.errors import DataError

MOST_CELLS = 96
"""Cells along an axis: gain is smooth, so larger volumes are looked at in cells of several voxels."""
AWAY_FROM_BORDERS = 0.25
"""Weight of doubt far from every border: a structure that was missed has none."""
BORDER_REACH_MM = 4.0
"""Distance at which a border's additional weight has fallen to a third."""
LABEL_REACH_MM = 12.0
"""A label says much about its neighbourhood: at this distance doubt counts two thirds, at the label nothing."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a volume. All arrays are on its own grid."""

    predicted: NDArray[np.integer]
    """(z, y, x) or (y, x) class values; 0 is background."""
    labels: NDArray[np.integer]
    """What the user labelled; 0 where nobody did."""
    uncertainty: NDArray[np.floating] | None = None
    """In [0, 1]: 0 where the model is sure."""
    others: tuple[NDArray[np.integer], ...] = ()
    """What other models predict, such as the pixel classifier beside the network."""
    spacing: tuple[float, ...] = ()
    """mm per voxel along each axis; 1 if empty."""
    seen: tuple[tuple[slice, ...], ...] = ()
    """Parts that the user looked at, which count as labelled although they may have been right."""
    known: NDArray[np.bool_] | None = None
    """Where `predicted` is what a model said; elsewhere it is taken from nearby. Everywhere if None."""


@dataclass(frozen=True, eq=False)
class GainMap:
    """Expected gain, in cells of some voxels."""

    gain: NDArray[np.float64]
    """Sum over each cell's voxels."""
    foreground: NDArray[np.bool_]
    """Cells that hold any predicted class, or one that the user painted."""
    cell: tuple[int, ...]
    """Voxels of a cell along each axis; those at the end may have fewer."""
    shape: tuple[int, ...]
    """Of the volume."""


def gain_map(evidence: Evidence) -> GainMap:
    """Return the expected gain of a correction: doubt near borders, where nothing is labelled nearby.

    Doubt is the uncertainty, or 1 where models disagree.

    Parameters
    ----------
    evidence : Evidence
        With an uncertainty or the labels of another model, or both.

    Returns
    -------
    GainMap
        Zero at what is labelled.

    Raises
    ------
    DataError
        If there is nothing to tell where the model is in doubt, or shapes disagree.
    """
    shape = evidence.predicted.shape
    arrays = [evidence.labels, *evidence.others, *([] if evidence.uncertainty is None else [evidence.uncertainty])]
    if any(array.shape != shape for array in arrays):
        raise DataError(
            f"The prediction has {shape} voxels, but what is compared with it has {[array.shape for array in arrays]}.",
            "Predict again on the image that the labels were made for.",
        )
    if evidence.uncertainty is None and not evidence.others:
        raise DataError(
            "Nothing tells where the model is in doubt.",
            "Segment again with Uncertainty ticked, or with a second model: where the two disagree is doubt, too.",
        )
    cell = tuple(-(-n // MOST_CELLS) for n in shape)
    spacing = evidence.spacing or (1.0,) * len(shape)
    steps = [size * millimetres for size, millimetres in zip(cell, spacing, strict=True)]
    doubt = np.zeros([-(-n // size) for n, size in zip(shape, cell, strict=True)])
    if evidence.uncertainty is not None:
        doubt = _sums(evidence.uncertainty, cell)
    for other in evidence.others:
        doubt = np.maximum(doubt, _sums(other != evidence.predicted, cell))
    near = np.exp(-_distance(_sums(_borders(evidence.predicted), cell) > 0, steps) / BORDER_REACH_MM)
    labelled = evidence.labels != 0
    known = _sums(labelled, cell) > 0
    for box in evidence.seen:
        known[cells_of(box, cell)] = True
    fresh = 1 - np.exp(-_distance(known, steps) / LABEL_REACH_MM)
    gain = doubt * (AWAY_FROM_BORDERS + (1 - AWAY_FROM_BORDERS) * near) * fresh
    painted = labelled & (evidence.labels != BACKGROUND_VALUE)
    foreground = _sums((evidence.predicted != 0) | painted, cell) > 0
    return GainMap(gain, foreground, cell, shape)


def cells_of(box: tuple[slice, ...], cell: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the cells that a box of voxels reaches into."""
    return tuple(slice(part.start // size, -(-part.stop // size)) for part, size in zip(box, cell, strict=True))


def _borders(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return voxels with a neighbour of another class behind them, along any axis."""
    border = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        here, there = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        np.moveaxis(border, axis, 0)[:-1] |= here != there
    return border


def _sums(values: NDArray[np.generic], cell: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the sum of the values in each cell."""
    total: NDArray[np.generic] = values
    for axis, size in enumerate(cell):
        starts = np.arange(0, values.shape[axis], size)
        total = np.add.reduceat(total, starts, axis=axis, dtype=np.float32)
    return total.astype(np.float64)


def _distance(cells: NDArray[np.bool_], steps_mm: list[float]) -> NDArray[np.float64]:
    """Return the distance in mm to the nearest of some cells; infinite if there is none."""
    if not cells.any():
        return np.full(cells.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~cells, sampling=steps_mm), np.float64)
