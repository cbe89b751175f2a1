"""Which class is the largest where logits are interpolated, compiled for the CPU.

One pass over each small piece of the network's grid finds the classes that can win somewhere in it; those are
interpolated a class at a time, in memory small enough to stay in the processor's caches, and never as a whole. Numbers
are float32; wherever two classes come closer than its rounding, float64 decides. So the labels are those of
`napari_medseg.inference.resample.Resampling.values` and an argmax.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

EDGES = (9, 9, 33)
"""Voxels of the network's grid that a piece may take, along (z, y, x)."""
ROUNDING = 2e-6
"""Difference of two logits, as a share of the largest, below which float32 cannot tell them apart."""
SHARES = 4
"""Parts of the work per thread, so that none waits for long."""

Float32 = NDArray[np.float32]


class Axis(NamedTuple):
    """Linear interpolation along one axis, as `AxisWeights`, from a source that begins with index 0."""

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    weight: NDArray[np.float64]
    cuts: NDArray[np.int64]
    """Outputs that pieces begin with, and the number of outputs."""

    @classmethod
    def of(cls, lower: torch.Tensor, upper: torch.Tensor, weight: torch.Tensor, first: int, most: int) -> "Axis":
        """Return an axis for a source that begins with index `first`, in pieces of at most `most` of its voxels."""
        below, above, cuts = (lower - first).numpy(), (upper - first).numpy(), [0]
        for index, last in enumerate(above):
            if index > cuts[-1] and last - below[cuts[-1]] >= most:
                cuts.append(index)
        return cls(below, above, weight.numpy(), np.array([*cuts, len(above)]))


Axes = tuple[Axis, Axis, Axis]


class Local(NamedTuple):
    """An axis of a piece, from the first voxel that the piece needs; small numbers for quick loops."""

    # Without a sign there is no index that could count from the end.
    lower: NDArray[np.uint32]
    upper: NDArray[np.uint32]
    weight: Float32
    size: int
    """Voxels that the piece needs."""


def winners_between(source: Float32, axes: Axes, threads: int) -> NDArray[np.int16]:
    """Return the classes of the largest interpolated logits, the first of equals.

    Parameters
    ----------
    source : (class, z, y, x) float32 array
        Logits on the network's grid, in C order.
    axes : (z, y, x) tuple of Axis
        The wanted positions.
    threads : int
        How many to use.

    Returns
    -------
    (z, y, x) int16 array
        Class indices on the other grid.
    """
    winners = np.zeros([len(axis.lower) for axis in axes], np.int16)
    if winners.size == 0:
        return winners
    shares = threads * SHARES
    with ThreadPoolExecutor(threads, "winners") as pool:
        list(pool.map(lambda share: _share(source, axes, share, shares, winners), range(shares)))
    return winners


@njit(nogil=True, cache=True)
def _share(source: Float32, axes: Axes, share: int, shares: int, winners: NDArray[np.int16]) -> None:
    """Fill every so manieth row of pieces of `winners`."""
    z, y, x = axes
    able, largest = np.empty(len(source), np.int32), np.empty(len(source), np.float32)
    rows = len(y.cuts) - 1
    for row in range(share, (len(z.cuts) - 1) * rows, shares):
        a, b = row // rows, row % rows
        piece_z, piece_y = _piece(z, a), _piece(y, b)
        for c in range(len(x.cuts) - 1):
            piece = piece_z, piece_y, _piece(x, c)
            there = winners[z.cuts[a] : z.cuts[a + 1], y.cuts[b] : y.cuts[b + 1], x.cuts[c] : x.cuts[c + 1]]
            count, scale = _able(source, piece, able, largest)
            if count == 1:
                there[:] = able[0]
            else:
                _compare(source, piece, able[:count], np.float32(scale * ROUNDING), there)


@njit(nogil=True, cache=True)
def _piece(axis: Axis, number: int) -> Axis:
    """Return one piece of an axis."""
    own = slice(axis.cuts[number], axis.cuts[number + 1])
    return Axis(axis.lower[own], axis.upper[own], axis.weight[own], axis.cuts)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _able(source: Float32, piece: Axes, able: NDArray[np.int32], largest: Float32) -> tuple[int, float]:
    """Write down the classes that can be the largest somewhere in a piece; return how many, and the largest size.

    An interpolated logit lies between the smallest and the largest of its neighbours, so a class whose largest
    logit around the piece is below the smallest logit of another never wins.
    """
    z, y, x = piece
    first, last = x.lower[0], x.upper[-1] + 1
    high, low = np.empty(last - first, np.float32), np.empty(last - first, np.float32)
    least, size = np.float32(-np.inf), np.float32(0)
    for k in range(len(source)):
        high[:], low[:] = -np.inf, np.inf
        for i in range(z.lower[0], z.upper[-1] + 1):
            for j in range(y.lower[0], y.upper[-1] + 1):
                values = source[k, i, j, first:last]
                for n in range(len(high)):
                    high[n], low[n] = max(high[n], values[n]), min(low[n], values[n])
        largest[k], smallest = high.max(), low.min()
        least, size = max(least, smallest), max(size, abs(largest[k]), abs(smallest))
    count = 0
    for k in range(len(source)):
        if largest[k] >= least:
            able[count] = k
            count += 1
    return max(count, 1), float(size)


@njit(nogil=True, cache=True)
def _compare(
    source: Float32, piece: Axes, able: NDArray[np.int32], unsure: np.float32, winners: NDArray[np.int16]
) -> None:
    """Fill a piece with the winners among the classes that are able to win."""
    z, y, x = _local(piece[0]), _local(piece[1]), _local(piece[2])
    first, row, column = piece[0].lower[0], piece[1].lower[0], piece[2].lower[0]
    shape = len(z.lower), len(y.lower), len(x.lower)
    best, second = np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    index = np.zeros(shape, np.int32)
    across, planes = np.empty((y.size, len(x.lower)), np.float32), np.empty((z.size, *shape[1:]), np.float32)
    for k in able:
        for plane in range(z.size):
            values = source[k, first + plane, row : row + y.size, column : column + x.size]
            _plane(values, y, x, across, planes[plane])
        for i in range(len(z.lower)):
            one, two = planes[z.lower[i]].ravel(), planes[z.upper[i]].ravel()
            _update(one, two, z.weight[i], k, (best[i].ravel(), second[i].ravel(), index[i].ravel()))
    for i in range(shape[0]):
        for j in range(shape[1]):
            for n in range(shape[2]):
                close = best[i, j, n] - second[i, j, n] <= unsure
                winners[i, j, n] = _exact(source, piece, able, (i, j, n)) if close else index[i, j, n]


@njit(nogil=True, cache=True)
def _local(axis: Axis) -> Local:
    first = axis.lower[0]
    lower, upper = (axis.lower - first).astype(np.uint32), (axis.upper - first).astype(np.uint32)
    return Local(lower, upper, axis.weight.astype(np.float32), axis.upper[-1] + 1 - first)


@njit(nogil=True, cache=True)
def _plane(values: Float32, y: Local, x: Local, across: Float32, plane: Float32) -> None:
    """Interpolate one plane of a class along x and then y; `across` is room for what is in between."""
    for row in range(y.size):
        line, found = values[row], across[row]
        for n in range(len(x.lower)):
            left = line[x.lower[n]]
            found[n] = left + x.weight[n] * (line[x.upper[n]] - left)
    for row in range(len(y.lower)):
        one, two, share, found = across[y.lower[row]], across[y.upper[row]], y.weight[row], plane[row]
        for n in range(len(found)):
            found[n] = one[n] + share * (two[n] - one[n])


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _update(
    one: Float32, two: Float32, share: np.float32, k: int, found: tuple[Float32, Float32, NDArray[np.int32]]
) -> None:
    """Let a class compete: change the largest and the second largest logit, and the class of the largest."""
    best, second, index = found
    number = np.int32(k)
    for n in range(len(one)):
        value, largest = one[n] + share * (two[n] - one[n]), best[n]
        second[n] = max(second[n], min(value, largest))
        index[n] = number if value > largest else index[n]
        best[n] = max(value, largest)


@njit(nogil=True, cache=True)
def _exact(source: Float32, piece: Axes, able: NDArray[np.int32], place: tuple[int, int, int]) -> int:
    """Return the winner at one place of a piece, from float64 as MONAI computes it, rounded to float32."""
    z, y, x = piece
    i, j, n = place
    best, winner = np.float32(-np.inf), able[0]
    along_z, along_y, along_x = z.weight[i], y.weight[j], x.weight[n]
    for k in able:
        value = 0.0
        for plane, share_z in ((z.lower[i], 1 - along_z), (z.upper[i], along_z)):
            total = 0.0
            for row, share_y in ((y.lower[j], 1 - along_y), (y.upper[j], along_y)):
                line = source[k, plane, row]
                total += share_y * ((1 - along_x) * line[x.lower[n]] + along_x * line[x.upper[n]])
            value += share_z * total
        rounded = np.float32(value)
        if rounded > best:
            best, winner = rounded, k
    return int(winner)
