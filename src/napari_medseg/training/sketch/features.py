"""Filter responses of an image where they are asked for, kept as far as memory allows."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.models.nets.filters import Pyramid
from napari_medseg.models.nets.sketch import SketchNetwork

CUBE, SQUARE = (24, 24, 24), (1, 64, 64)
"""(z, y, x) voxels that are computed together, for networks that take blocks and planes."""
LIMIT_BYTES, ALL_BYTES = 512 << 20, 2 << 30
"""Of features kept in memory, of one image and of all together."""

Box3 = tuple[slice, slice, slice]


ALL_CELLS, LEAST_CELLS, LEAST_VOXELS = 400, 4, 200
"""Parts of all images together whose features are looked at to learn, and the least of one image."""


class FeatureCache:
    """The features of one image.

    Parameters
    ----------
    network : SketchNetwork
        Says which features; on its device.
    image : (channel, z, y, x) float32 array
        Network input.
    planar : bool
        Whether the network takes planes.
    limit : int
        Bytes of features to keep, at most.
    """

    def __init__(
        self, network: SketchNetwork, image: NDArray[np.float32], planar: bool, limit: int = LIMIT_BYTES
    ) -> None:
        self._network, self._planar, self._limit = network, planar, limit
        pixels = torch.from_numpy(image)
        self._images = Pyramid(pixels.transpose(0, 1) if planar else pixels[None], network.low.device)
        self._cells = SQUARE if planar else CUBE
        self._kept: OrderedDict[Box3Key, torch.Tensor] = OrderedDict()
        self._bytes = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        z, y, x = (len(self._images.images), *self._images.shape) if self._planar else self._images.shape
        return z, y, x

    @property
    def axes(self) -> tuple[int, ...]:
        """Of (z, y, x) those along which slices can be told from their neighbours."""
        return (0,) if self._planar else (0, 1, 2)

    def at(self, voxels: NDArray[np.integer]) -> torch.Tensor:
        """Return the (voxel, feature) float32 responses at (voxel, 3) indices (z, y, x), on the CPU."""
        cells = voxels // np.array(self._cells)
        keys, numbers = np.unique(cells, axis=0, return_inverse=True)
        rows: torch.Tensor | None = None
        for number, key in enumerate(keys):
            here = np.flatnonzero(numbers.reshape(-1) == number)
            box = self._cell(key)
            z, y, x = (voxels[here] - [part.start for part in box]).T
            found = self.box(box)[:, z, y, x].T.float()
            if rows is None:
                rows = torch.empty(len(voxels), found.shape[1])
            rows[torch.from_numpy(here)] = found
        return torch.empty(0, len(self._network.low)) if rows is None else rows

    def box(self, box: Box3, wide: bool = True) -> torch.Tensor:
        """Return the (feature, z, y, x) float16 responses of a part of the image, on the CPU; see `compute`."""
        key = wide, tuple((part.start, part.stop) for part in box)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self.compute(box, wide).to("cpu", torch.float16)
        self._kept[key] = found
        self._bytes += found.nbytes
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found

    def some(
        self, voxels: NDArray[np.integer], classes: NDArray[np.integer], share: "Share", rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """Return which of some (voxel, 3) indices to look at, so that no more features than `share` are computed.

        Where there are more parts of the image than that, each class has a say in which are chosen.
        """
        _, cells = np.unique(voxels // np.array(self._cells), axis=0, return_inverse=True)
        cells, few = cells.reshape(-1), cells.max(initial=-1) < share.cells
        if few and len(voxels) <= share.voxels:
            return np.arange(len(voxels))
        order = rng.permutation(len(voxels))
        if not few:
            present = np.unique(classes)
            each = max(1, share.cells // len(present))
            wanted = [rng.permutation(np.unique(cells[classes == index]))[:each] for index in present]
            order = order[np.isin(cells[order], np.concatenate(wanted))]
        return np.sort(order[: share.voxels])

    def cells(self, voxels: NDArray[np.integer]) -> list[Box3]:
        """Return the parts of the image, of the size in which features are kept, that hold any of the voxels."""
        keys = np.unique(voxels // np.array(self._cells), axis=0)
        return [self._cell(key) for key in keys]

    def bounds(self, voxels: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the first and the last (voxel, 3) index of the part of the image that each voxel is kept with."""
        side = np.array(self._cells)
        low = voxels // side * side
        return low, np.minimum(low + side, self.shape) - 1

    def random_voxels(self, count: int, cells: int, seed: int) -> NDArray[np.intp]:
        """Return (count, 3) indices drawn from so many randomly chosen cells, so that few features are computed."""
        rng = np.random.default_rng(seed)
        grid = [-(-size // side) for size, side in zip(self.shape, self._cells, strict=True)]
        numbers = rng.choice(int(np.prod(grid)), min(cells, int(np.prod(grid))), replace=False)
        boxes = [self._cell(np.array(np.unravel_index(number, grid))) for number in numbers]
        return draw_voxels(boxes, count, rng)

    def _cell(self, key: NDArray[np.integer]) -> Box3:
        z, y, x = (
            slice(int(k) * side, min((int(k) + 1) * side, size))
            for k, side, size in zip(key, self._cells, self.shape, strict=True)
        )
        return z, y, x

    @torch.inference_mode()
    def compute(self, box: Box3, wide: bool = True) -> torch.Tensor:
        """Return the (feature, z, y, x) float32 responses of a part of the image, on the network's device; not kept.

        With `wide` those of the context are among them.
        """
        if not self._planar:
            return self._network.features(self._images, box, wide)[0]
        return self._network.features(self._images.only(box[0]), box[1:], wide).transpose(0, 1)


Box3Key = tuple[bool, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class Share:
    """How much of one image is looked at."""

    voxels: int
    """Of those that were painted."""
    cells: int
    """Parts of the image, in each of which all features are computed."""

    @classmethod
    def of(cls, images: int, voxels: int) -> "Share":
        """Return what falls to each of so many images, if so many painted voxels are enough in all."""
        images = max(1, images)
        return cls(max(LEAST_VOXELS, voxels // images), max(LEAST_CELLS, ALL_CELLS // images))


def caches(network: SketchNetwork, images: Sequence[NDArray[np.float32]], planar: bool) -> tuple[FeatureCache, ...]:
    """Return one `FeatureCache` for each (channel, z, y, x) image; they share the memory there is for them."""
    limit = min(LIMIT_BYTES, ALL_BYTES // max(1, len(images)))
    return tuple(FeatureCache(network, image, planar, limit) for image in images)


def draw_voxels(boxes: list[Box3], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return (count, 3) indices (z, y, x), each from a random one of the boxes."""
    picked = rng.integers(len(boxes), size=count)
    low = np.array([[part.start for part in box] for box in boxes])[picked]
    high = np.array([[part.stop for part in box] for box in boxes])[picked]
    return np.asarray(rng.integers(low, high), np.intp)
