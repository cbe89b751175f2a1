"""Overlapping tiles of which each has the word on the boxes around its own middle."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

MARGIN = 0.1
"""Share of the overlap by which the parts that tiles have the word on reach into each other."""


@dataclass(frozen=True)
class Tile:
    """A part of an image."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    core: tuple[tuple[float, float], ...]
    """Along each axis, from where to where the middles of its boxes lie, in voxels of the image."""


def tiles_of(shape: Sequence[int], tile: Sequence[int], overlap: Sequence[int]) -> list[Tile]:
    """Cover an image with tiles; a thing that is no longer than the overlap is whole in the tile that has the word.

    Parameters
    ----------
    shape : sequence of int
        Voxels of the image.
    tile : sequence of int
        Voxels of a tile; an image that is shorter has one tile of its own length.
    overlap : sequence of int
        Voxels that neighbours share, at least; below the length of a tile.

    Examples
    --------
    >>> [(t.start, t.stop, t.core) for t in tiles_of([100], [60], [20])]
    [((0,), (60,), ((-inf, 52.0),)), ((40,), (100,), ((48.0, inf),))]
    """
    lines = [_line(n, min(n, t), min(o, t - 1)) for n, t, o in zip(shape, tile, overlap, strict=True)]
    return [
        Tile(tuple(a for a, _b, _c in each), tuple(b for _a, b, _c in each), tuple(c for _a, _b, c in each))
        for each in product(*lines)
    ]


def _line(size: int, tile: int, overlap: int) -> list[tuple[int, int, tuple[float, float]]]:
    count = 1 if size <= tile else -(-(size - overlap) // (tile - overlap))
    starts = [round(k * (size - tile) / max(count - 1, 1)) for k in range(count)]
    found = []
    for number, start in enumerate(starts):
        low, high = float("-inf"), float("inf")
        if number:
            shared = starts[number - 1] + tile - start
            low = start + shared * (0.5 - MARGIN)
        if number < count - 1:
            shared = start + tile - starts[number + 1]
            high = start + tile - shared * (0.5 - MARGIN)
        found.append((start, start + tile, (low, high)))
    return found
