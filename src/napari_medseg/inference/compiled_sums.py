"""Weighted tiles are added up in one pass over the memory, compiled for the CPU; rounded as by `adding.add`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from napari_medseg.inference.adding import Term
from napari_medseg.inference.tiling import Shape3

PLANES = 8
"""Planes of a cell that one thread takes at once."""

Float32 = NDArray[np.float32]


class Place(NamedTuple):
    """Some planes of a cell."""

    shape: Shape3
    """How many planes, and the rows and columns of the cell."""
    start: Shape3
    """Voxel of the tile that the cell begins with."""
    to: Shape3
    """Voxel of what takes the sums that the cell begins with."""
    plane: int
    """Plane of the cell to begin with."""


def add_compiled(tile: torch.Tensor, weight: torch.Tensor, terms: Sequence[Term]) -> None:
    """Add a tile up as `add` does, on the CPU, in threads; all that the terms hold has to be contiguous."""
    values, weights, threads = tile.numpy(), weight.numpy(), torch.get_num_threads()
    work = []
    for term in terms:
        before = None if term.before is None else term.before.numpy()
        total = None if term.total is None else term.total.numpy()
        z, y, x = (rows.start for rows in term.box)
        depth, height, width = (rows.stop - rows.start for rows in term.box)
        for plane in range(0, depth, PLANES):
            shape = (min(PLANES, depth - plane), height, width)
            work.append((before, total, term.out.numpy(), Place(shape, (z, y, x), term.at, plane)))
    with ThreadPoolExecutor(threads, "sums") as pool:
        list(pool.map(lambda part: _add(values, weights, *part), work))


@njit(nogil=True, cache=True, error_model="numpy")
def _add(
    tile: Float32, weight: Float32, before: Float32 | None, total: Float32 | None, out: Float32, place: Place
) -> None:
    """Add some planes of a cell, as in a `Term`, in the order in which the tile lies in memory."""
    depth, height, _ = place.shape
    if tile.strides[0] > tile.strides[3]:
        for k in range(len(tile)):
            for i in range(place.plane, place.plane + depth):
                for j in range(height):
                    _add_line(tile, weight, before, total, out, (place, k, i, j))
    else:
        for i in range(place.plane, place.plane + depth):
            for j in range(height):
                for k in range(len(tile)):
                    _add_line(tile, weight, before, total, out, (place, k, i, j))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _add_line(
    tile: Float32,
    weight: Float32,
    before: Float32 | None,
    total: Float32 | None,
    out: Float32,
    spot: tuple[Place, int, int, int],
) -> None:
    """Add a line of one class."""
    place, k, i, j = spot
    (z, y, x), (to_z, to_y, to_x), width = place.start, place.to, place.shape[2]
    values, share = tile[k, z + i, y + j, x : x + width], weight[z + i, y + j, x : x + width]
    found = out[k, to_z + i, to_y + j, to_x : to_x + width]
    if before is None:
        for n in range(width):
            found[n] = values[n] * share[n]
    else:
        known = before[k, i, j]
        for n in range(width):
            found[n] = known[n] + values[n] * share[n]
    if total is not None:
        whole = total[z + i, y + j, x : x + width]
        for n in range(width):
            found[n] /= whole[n]
