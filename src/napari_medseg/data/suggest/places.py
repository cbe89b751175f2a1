"""The next slice or box to look at: the one that promises most, or a random one to compare it with."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.data.suggest.gain import GainMap, cells_of
from napari_medseg.errors import DataError

BOX_SHARE = 0.25
"""Edge of a box, as a share of the volume's."""
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Place:
    """Where to look."""

    start: tuple[int, ...]
    """First voxel along each axis."""
    stop: tuple[int, ...]
    """One past the last."""
    axis: int | None = None
    """The axis that a slice is perpendicular to; None for a box."""

    @property
    def box(self) -> Box:
        """The place in an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def middle(self) -> tuple[int, ...]:
        """The voxel in its middle."""
        return tuple((a + b - 1) // 2 for a, b in zip(self.start, self.stop, strict=True))


def slice_place(shape: tuple[int, ...], axis: int, index: int) -> Place:
    """Return a slice as a place."""
    start, stop = [0] * len(shape), list(shape)
    start[axis], stop[axis] = index, index + 1
    return Place(tuple(start), tuple(stop), axis)


def suggest_slice(gains: GainMap, axis: int, taken: Collection[int] = ()) -> Place:
    """Return the slice that promises most along an axis, none of those that are taken; `DataError` if none is left.

    Examples
    --------
    >>> gain = np.zeros((6, 2, 2)); gain[4] = 1
    >>> gains = GainMap(gain, gain > 0, (1, 1, 1), (6, 2, 2))
    >>> suggest_slice(gains, 0).start[0], suggest_slice(gains, 0, {4}).start[0]
    (4, 0)
    """
    score = _per_slice(np.asarray(gains.gain.sum(axis=_others(gains, axis))), gains, axis)
    return slice_place(gains.shape, axis, int(np.argmax(_free(score, taken))))


def control_slice(gains: GainMap, axis: int, random: np.random.Generator, taken: Collection[int] = ()) -> Place:
    """Return a random slice among those that hold foreground and are not taken; among all free ones if none does."""
    holds = _per_slice(np.asarray(gains.foreground.any(axis=_others(gains, axis)), np.float64), gains, axis)
    free = _free(holds, taken)
    candidates = np.flatnonzero(free > 0) if (free > 0).any() else np.flatnonzero(np.isfinite(free))
    return slice_place(gains.shape, axis, int(random.choice(candidates)))


def suggest_box(gains: GainMap, taken: Collection[Place] = ()) -> Place:
    """Return the box that promises most, whose middle lies in none of those that are taken."""
    size = _box_cells(gains)
    sums = ndimage.uniform_filter(gains.gain, size, mode="constant") * np.prod(size)
    for place in taken:
        sums[cells_of(place.box, gains.cell)] = -np.inf
    if not np.isfinite(sums).any():
        raise _nowhere()
    return _box_around(np.unravel_index(int(np.argmax(sums)), sums.shape), size, gains)


def control_box(gains: GainMap, random: np.random.Generator, taken: Collection[Place] = ()) -> Place:
    """Return a box around a random cell of foreground that lies in no box that is taken; of any cell if none does."""
    free = np.ones(gains.gain.shape, bool)
    for place in taken:
        free[cells_of(place.box, gains.cell)] = False
    if not free.any():
        raise _nowhere()
    candidates = np.argwhere(free & gains.foreground if (free & gains.foreground).any() else free)
    return _box_around(tuple(random.choice(candidates)), _box_cells(gains), gains)


def _nowhere() -> DataError:
    return DataError(
        "There is nothing left to suggest.", "Mark slices as not finished, or predict anew with what you corrected."
    )


def _others(gains: GainMap, axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(gains.gain.ndim) if other != axis)


def _per_slice(cells: NDArray[np.float64], gains: GainMap, axis: int) -> NDArray[np.float64]:
    """Return values of layers of cells for each slice: highest in the middle of its layer, by next to nothing."""
    size, count = gains.cell[axis], gains.shape[axis]
    within = np.arange(count) % size
    return np.asarray(cells[np.arange(count) // size] * (1 - 1e-9 * np.abs(within - (size - 1) / 2)))


def _free(score: NDArray[np.float64], taken: Collection[int]) -> NDArray[np.float64]:
    free = score.copy()
    free[[index for index in taken if 0 <= index < len(free)]] = -np.inf
    if not np.isfinite(free).any():
        raise _nowhere()
    return free


def _box_cells(gains: GainMap) -> tuple[int, ...]:
    return tuple(max(1, round(BOX_SHARE * n)) for n in gains.gain.shape)


def _box_around(cell: tuple[np.intp, ...], cells: tuple[int, ...], gains: GainMap) -> Place:
    """Return the box of some cells around one of them, moved into the volume where it would stand out."""
    start, stop = [], []
    for middle, count, size, n in zip(cell, cells, gains.cell, gains.shape, strict=True):
        edge = min(count * size, n)
        first = min(max(0, (int(middle) - count // 2) * size), n - edge)
        start.append(first)
        stop.append(first + edge)
    return Place(tuple(start), tuple(stop))
