"""Running a network on batches of tiles, within the memory there is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import nn

from napari_medseg.device import Precision, compute_dtype, release_memory
from napari_medseg.errors import DeviceError


@dataclass(frozen=True, eq=False)
class Runner:
    """A network on a device, ready to predict.

    Parameters
    ----------
    network : nn.Module
        On `device`; in evaluation mode only while it runs.
    device : torch.device
        Where it runs.
    precision : {"float32", "bfloat16", "float16", "auto"}
        Number format of its arithmetic.
    planar : bool
        Whether the network takes planes, so that tiles have a z of 1.
    flip_axes : tuple of int
        Axes of (z, y, x) along which tiles are also seen mirrored, in all combinations. The logits are then those of
        the mean probabilities.
    """

    network: nn.Module
    device: torch.device
    precision: Precision = "float32"
    planar: bool = False
    flip_axes: tuple[int, ...] = ()

    @torch.inference_mode()
    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return the (tile, class, z, y, x) float32 logits of (tile, channel, z, y, x) tiles, on the device.

        They are in memory of their own, free to be changed.
        """
        tiles = tiles.to(self.device)
        training = self.network.training
        self.network.eval()
        try:
            views = mirrorings(self.flip_axes, self.planar)
            return self._own(self._logits(tiles), tiles) if len(views) == 1 else self._mean(tiles, views)
        finally:
            self.network.train(training)

    def _logits(self, tiles: torch.Tensor) -> torch.Tensor:
        dtype = compute_dtype(self.precision, self.device)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not torch.float32):
            logits = self.network(tiles.squeeze(2)).unsqueeze(2) if self.planar else self.network(tiles)
        return torch.as_tensor(logits).float()

    def _own(self, logits: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
        """Return a copy of logits that the network still holds, or that are many views of one number."""
        held = (tiles, *self.network.parameters(), *self.network.buffers())
        address = logits.untyped_storage().data_ptr()
        shared = logits.numel() != logits.untyped_storage().nbytes() // logits.element_size()
        if shared or any(tensor.untyped_storage().data_ptr() == address for tensor in held):
            return logits.contiguous() if shared and 0 in logits.stride() else logits.clone()
        return logits

    def _mean(self, tiles: torch.Tensor, views: list[tuple[int, ...]]) -> torch.Tensor:
        """Return the logarithm of the mean probabilities of mirrored tiles."""
        # In logarithms, as small probabilities vanish in float32; one sum, so that memory does not grow with the views.
        total: torch.Tensor | None = None
        for dims in views:
            found = torch.log_softmax(self._logits(tiles.flip(dims)), dim=1).flip(dims)
            total = found if total is None else torch.logaddexp(total, found)
        assert total is not None
        return total - math.log(len(views))


def mirrorings(axes: tuple[int, ...], planar: bool) -> list[tuple[int, ...]]:
    """Return the dimensions of (tile, channel, z, y, x) that each view of a tile is mirrored along; first none.

    Examples
    --------
    >>> mirrorings((2, 0), planar=False)
    [(), (2,), (4,), (2, 4)]
    >>> mirrorings((0, 2), planar=True)
    [(), (4,)]
    """
    dims = sorted({axis + 2 for axis in axes if not (planar and axis == 0)})
    return [chosen for count in range(len(dims) + 1) for chosen in combinations(dims, count)]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or on the CPU."""
    signs = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


class TileTooLarge(DeviceError):  # noqa: N818 - what is too large, for whoever can make it smaller
    """There is not enough memory for one tile."""


class Batches:
    """Takes tiles in batches that shrink when memory runs out.

    Parameters
    ----------
    run : Runner
        The network.
    size : int
        Tiles in a batch, to begin with.
    """

    def __init__(self, run: Runner, size: int) -> None:
        self.run = run
        self.size = size

    def forward(self, tiles: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the (tile, class, z, y, x) logits of the tiles, in order, in one or more parts.

        Raises
        ------
        TileTooLarge
            If there is not enough memory for one tile.
        """
        done = 0
        while done < len(tiles):
            part = tiles[done : done + self.size]
            logits = self._try(part)
            if logits is None:
                self.size = max(1, len(part) // 2)
                continue
            done += len(part)
            yield logits

    def _try(self, part: torch.Tensor) -> torch.Tensor | None:
        try:
            return self.run(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Only now that the error is gone are its frames, and the tensors in them.
        release_memory(self.run.device)
        if len(part) == 1:
            shape = " x ".join(map(str, part.shape[2:]))
            raise TileTooLarge(
                f"The memory of {self.run.device} is too small for one tile of {shape} voxels.",
                "Close other programs that use it, choose the device cpu, or use a model with smaller tiles.",
            )
        return None
