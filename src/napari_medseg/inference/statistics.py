"""Numbers about a whole image, from chunks of it that are read one after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

Chunks = Callable[[], Iterable[NDArray[np.float32]]]
"""Reads the image from its beginning, in chunks of any shape without values that are no numbers."""


def mean_and_deviation(chunks: Chunks, nonzero: bool = False) -> tuple[float, float]:
    """Return mean and standard deviation, over nonzero values only if asked; (0, 0) of nothing.

    Examples
    --------
    >>> mean_and_deviation(lambda: [np.array([1, 2], np.float32), np.array([3, 0], np.float32)], nonzero=True)
    (2.0, 0.816496580927726)
    """
    count, mean, squares = 0, 0.0, 0.0
    for values in _chosen(chunks, nonzero):
        if not values.size:
            continue
        own = float(values.mean(dtype=np.float64))
        away = own - mean
        total = count + values.size
        # Sums of squares about two means become one about the common mean.
        squares += float(np.square(values - own, dtype=np.float64).sum()) + away**2 * count * values.size / total
        mean += away * values.size / total
        count = total
    return mean, (squares / count) ** 0.5 if count else 0.0


def _chosen(chunks: Chunks, nonzero: bool) -> Iterator[NDArray[np.float32]]:
    for values in chunks():
        yield values[values != 0] if nonzero else values


def smallest_and_largest(chunks: Chunks) -> tuple[float, float]:
    """Return the smallest and the largest value."""
    ends = [(float(values.min()), float(values.max())) for values in chunks()]
    return min(low for low, _ in ends), max(high for _, high in ends)


def percentiles(chunks: Chunks, shares: Sequence[float]) -> tuple[float, ...]:
    """Return exact percentiles, linear between neighbours, in two readings and without sorting.

    Parameters
    ----------
    chunks : callable
        Reads the image.
    shares : sequence of float
        In [0, 100].

    Examples
    --------
    >>> percentiles(lambda: [np.array([4, 1], np.float32), np.array([3, 2, 0], np.float32)], (0, 50, 90))
    (0.0, 2.0, 3.6)
    """
    upper = np.zeros(1 << 16, np.int64)
    for values in chunks():
        upper += np.bincount(_order(values) >> 16, minlength=len(upper))
    places = [share / 100 * (upper.sum() - 1) for share in shares]
    ranks = sorted({rank for place in places for rank in (floor(place), ceil(place))})
    below = np.concatenate([[0], np.cumsum(upper)])
    halves = {rank: int(np.searchsorted(below, rank, side="right")) - 1 for rank in ranks}
    lower = {half: np.zeros(1 << 16, np.int64) for half in halves.values()}
    for values in chunks():
        order = _order(values)
        for half, counts in lower.items():
            counts += np.bincount(order[order >> 16 == half] & 0xFFFF, minlength=len(counts))
    found = {rank: _value(half, lower[half], rank - int(below[half])) for rank, half in halves.items()}
    return tuple(found[floor(p)] + (p - floor(p)) * (found[ceil(p)] - found[floor(p)]) for p in map(float, places))


def _order(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return whole numbers that rise with the values."""
    # Adding zero makes the negative zero the positive one.
    bits = (np.ravel(values) + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))


def _value(half: int, counts: NDArray[np.int64], rank: int) -> float:
    """Return the value of a rank among those with the same upper half of their order."""
    order = np.uint32(half << 16 | int(np.searchsorted(np.cumsum(counts), rank, side="right")))
    bits = order & np.uint32(0x7FFFFFFF) if order >> np.uint32(31) else ~order
    return float(np.array([bits], np.uint32).view(np.float32)[0])
