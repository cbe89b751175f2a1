"""A network that gives images, applied to whole images from several sides."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.device import Precision, choose, compute_dtype
from napari_medseg.inference.restoration.options import ModelOptions
from napari_medseg.models import Bundle
from napari_medseg.models.program import PROGRAMS

EDGE = 2
"""Voxels that the image is continued by at its edges, as in training."""
HALO = 8
"""Voxels around a tile that are computed with it, unless a network sees further."""
WINDOW_HALO = 16
"""The same around tiles of one size, which nothing is known of; at most a quarter of them."""
TILE_VOXELS = 1 << 18
"""Voxels of the input that are computed at one go."""
FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1), (-3,), (-3, -2), (-3, -1), (-3, -2, -1))
"""Ways to look at an image: the axes along which it is mirrored; the first four for planes."""

Tile = tuple[tuple[int, int], ...]
"""Start and stop along each axis."""

PATIENCE = ((1 << 19, 8), (1 << 21, 4))
"""Voxels up to which an image is looked at in so many ways, where the user did not say; larger ones in two."""


@dataclass(frozen=True, eq=False)
class Runner:
    """A network on its device."""

    network: nn.Module
    factor: tuple[int, ...]
    """Fine voxels per voxel of the input along each axis of the network."""
    device: torch.device
    dtype: torch.dtype
    halo: int = HALO
    """Voxels around a tile that are computed with it and thrown away."""
    window: tuple[int, ...] | None = None
    """Size of the tiles with their halo, for networks that take no other."""

    @classmethod
    def of(
        cls,
        network: nn.Module,
        factor: Sequence[int],
        device: str = "auto",
        precision: Precision = "auto",
        halo: int = HALO,
    ) -> "Runner":
        """Return a network ready to run."""
        place = choose(device)
        return cls(network.to(place).eval(), tuple(factor), place, compute_dtype(precision, place), halo)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (image, fine...) from (image, channel, coarse...)."""
        spatial = images.shape[2:]
        edges = self._edges(spatial)
        padded = np.pad(images, [(0, 0), (0, 0), *edges], mode="edge")
        fine = tuple(n * f for n, f in zip(spatial, self.factor, strict=True))
        result = np.empty((len(images), *fine), np.float32)
        for tile, seen in self._tiles(spatial):
            answer = self._run(padded[(slice(None), slice(None), *seen)])[:, 0]
            parts = zip(tile, seen, self.factor, edges, strict=True)
            inside = [slice((s + a - w.start) * f, (e + a - w.start) * f) for (s, e), w, f, (a, _) in parts]
            place = tuple(slice(s * f, e * f) for (s, e), f in zip(tile, self.factor, strict=True))
            result[(slice(None), *place)] = answer[(slice(None), *inside)]
        return result

    def _edges(self, spatial: Sequence[int]) -> list[tuple[int, int]]:
        """Return by how many voxels the image is continued before and after, along each axis."""
        if self.window is None:
            return [(EDGE, EDGE) for _ in spatial]
        return [(self.halo, max(self.halo, size - n - self.halo)) for n, size in zip(spatial, self.window, strict=True)]

    def _tiles(self, spatial: Sequence[int]) -> Iterator[tuple[Tile, list[slice]]]:
        """Yield tiles, and what the network sees for each, in voxels of the image with its edges."""
        if self.window is None:
            for tile in tiles(spatial):
                yield tile, [_around(part, n, self.halo) for part, n in zip(tile, spatial, strict=True)]
            return
        each = [_windows(n, size, self.halo) for n, size in zip(spatial, self.window, strict=True)]
        for along in product(*each):
            yield tuple(part for part, _ in along), [seen for _, seen in along]

    def _run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        tensor = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        reduced = self.dtype is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=reduced):
            return np.asarray(self.network(tensor).float().cpu().numpy(), np.float32)


def runner_for(bundle: Bundle, factor: Sequence[int], options: ModelOptions, halo: int = HALO) -> Runner:
    """Return the network of a bundle, ready to run.

    A program is run on tiles of the size that it was made for, and in float32 unless the user chose another format:
    nothing is known of what is inside.
    """
    network, spec = bundle.network(), bundle.spec
    if spec.architecture not in PROGRAMS:
        return Runner.of(network, factor, options.device, options.precision, halo)
    precision = "float32" if options.precision == "auto" else options.precision
    runner = Runner.of(network, factor, options.device, precision, min(WINDOW_HALO, min(spec.patch_size) // 4))
    return replace(runner, window=spec.patch_size)


def _windows(count: int, size: int, halo: int) -> list[tuple[tuple[int, int], slice]]:
    """Return the parts of an axis, and the window of one size around each, in voxels with the edges.

    Examples
    --------
    >>> _windows(10, 8, 1)
    [((0, 6), slice(0, 8, None)), ((6, 10), slice(4, 12, None))]
    """
    step, last = size - 2 * halo, max(0, count + 2 * halo - size)
    parts = [(start, min(start + step, count)) for start in range(0, count, step)]
    return [(part, slice(min(part[0], last), min(part[0], last) + size)) for part in parts]


def _around(part: tuple[int, int], count: int, halo: int) -> slice:
    """Return a part with its halo, in indices of the image with its edges."""
    start, stop = part
    return slice(max(0, start + EDGE - halo), min(count + 2 * EDGE, stop + EDGE + halo))


def tiles(shape: Sequence[int]) -> list[Tile]:
    """Return the (start, stop) of the tiles of an image along each axis, of at most `TILE_VOXELS` voxels.

    Examples
    --------
    >>> len(tiles((60, 60, 60))), len(tiles((100, 60, 60)))
    (1, 2)
    """
    counts = [1] * len(shape)
    while np.prod([-(-n // c) for n, c in zip(shape, counts, strict=True)]) > TILE_VOXELS:
        widest = int(np.argmax([n / c for n, c in zip(shape, counts, strict=True)]))
        counts[widest] += 1
    cuts = [np.linspace(0, n, c + 1).round().astype(int) for n, c in zip(shape, counts, strict=True)]
    edges = [[(int(a), int(b)) for a, b in pairwise(cut)] for cut in cuts]
    return list(product(*edges))


class Views:
    """The mean of several answers, and how far they are apart."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.mean = np.zeros(shape, np.float32)
        self._squares = np.zeros(shape, np.float32)
        self.count = 0

    def begin(self, order: Sequence[int]) -> Callable[[slice, NDArray[np.float32]], None]:
        """Return a function that adds a part of the next answer, whose axes are in another order.

        Parameters
        ----------
        order : sequence of int
            Axis of the image for each axis of the answer; parts are taken along the first.
        """
        self.count += 1
        count, mean, squares = self.count, self.mean.transpose(order), self._squares.transpose(order)

        def add(part: slice, answer: NDArray[np.float32]) -> None:
            before = answer - mean[part]
            mean[part] += before / np.float32(count)
            squares[part] += before * (answer - mean[part])

        return add

    def spread(self) -> NDArray[np.float32]:
        """Return the standard deviation of the answers at each voxel; 0 if there is one answer only."""
        return np.asarray(np.sqrt(self._squares / max(self.count - 1, 1)), np.float32)


def from_planes(
    runner: Runner, values: NDArray[np.float32], thick: int, flips: int, views: Views
) -> Iterator[tuple[int, int]]:
    """Refine a volume across its slices by a network of planes, in both orientations.

    Parameters
    ----------
    runner : Runner
        Network whose first axis is refined and whose second is not.
    values : (z, y, x) array
        The volume, in the network's intensities.
    thick : int
        Axis across the slices.
    flips : int
        How many of `FLIPS` to take in each orientation, up to four.
    views : Views
        Of the fine volume; the answers are added to it.

    Yields
    ------
    (int, int)
        Planes that are done, and all of them.
    """
    sides = [axis for axis in range(3) if axis != thick]
    total, done = flips * sum(values.shape[axis] for axis in sides), 0
    for plane in sides:
        order = (plane, thick, 3 - thick - plane)
        planes = values.transpose(order)
        step = max(1, TILE_VOXELS // (planes.shape[1] * planes.shape[2]))
        for flip in FLIPS[:flips]:
            add = views.begin(order)
            for start in range(0, len(planes), step):
                part = slice(start, min(start + step, len(planes)))
                add(part, np.flip(runner(np.flip(planes[part], flip)[:, None]), flip))
                done += part.stop - part.start
                yield done, total


def from_blocks(
    runner: Runner, values: NDArray[np.float32], order: Sequence[int], flips: int, views: Views
) -> Iterator[tuple[int, int]]:
    """Refine an image by a network of as many dimensions, whose axes are `order`; else as `from_planes`."""
    turned = values.transpose(order)
    for number, flip in enumerate(FLIPS[:flips], start=1):
        answer = runner(np.flip(turned, flip)[None, None])[0]
        views.begin(order)(slice(None), np.flip(answer, flip))
        yield number, flips


def ways(voxels: int, dims: int, wanted: int | None) -> int:
    """Return how many of `FLIPS` a network looks at an image in.

    Parameters
    ----------
    voxels : int
        Of the image.
    dims : int
        Of the network: 3 has eight ways, 2 has four.
    wanted : int, optional
        By the user; None takes fewer the larger the image.

    Examples
    --------
    >>> ways(60_000, 3, None), ways(4_000_000, 3, None), ways(60_000, 2, 8)
    (8, 2, 4)
    """
    many = next((count for limit, count in PATIENCE if voxels <= limit), 2) if wanted is None else wanted
    return min(many, 8 if dims == 3 else 4)
