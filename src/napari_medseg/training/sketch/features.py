"""Filter responses of an image where they are asked for, kept as far as memory allows."""

from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.models.nets.sketch import SketchNetwork

CUBE, SQUARE = (24, 24, 24), (1, 64, 64)
"""(z, y, x) voxels that are computed together, for networks that take blocks and planes."""
LIMIT_BYTES = 512 << 20
"""Of features kept in memory, per image."""

Box3 = tuple[slice, slice, slice]


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
    """

    def __init__(self, network: SketchNetwork, image: NDArray[np.float32], planar: bool) -> None:
        self._network, self._planar = network, planar
        self._image = torch.from_numpy(image)
        self._cells = SQUARE if planar else CUBE
        self._kept: OrderedDict[Box3Key, torch.Tensor] = OrderedDict()
        self._bytes = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        _, z, y, x = self._image.shape
        return z, y, x

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

    def box(self, box: Box3) -> torch.Tensor:
        """Return the (feature, z, y, x) float16 responses of a part of the image, on the CPU."""
        key = tuple((part.start, part.stop) for part in box)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self.compute(box).to("cpu", torch.float16)
        self._kept[key] = found
        self._bytes += found.nbytes
        while self._bytes > LIMIT_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found

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
    def compute(self, box: Box3) -> torch.Tensor:
        """Return the (feature, z, y, x) float32 responses of a part of the image, on the network's device; not kept."""
        device = self._network.low.device
        if not self._planar:
            return self._network.features(self._image[None].to(device), box)[0]
        planes = self._image[:, box[0]].transpose(0, 1).to(device)
        return self._network.features(planes, box[1:]).transpose(0, 1)


Box3Key = tuple[tuple[int, int], ...]


def draw_voxels(boxes: list[Box3], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return (count, 3) indices (z, y, x), each from a random one of the boxes."""
    picked = rng.integers(len(boxes), size=count)
    low = np.array([[part.start for part in box] for box in boxes])[picked]
    high = np.array([[part.stop for part in box] for box in boxes])[picked]
    return np.asarray(rng.integers(low, high), np.intp)
