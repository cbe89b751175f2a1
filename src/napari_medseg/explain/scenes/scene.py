"""An image as a network sees it, in pieces."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.explain.question import Target

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Piece:
    """A part that the network sees at once, and what of its answer counts."""

    box: Box
    """Of the canvas."""
    target: Target


@dataclass(frozen=True, eq=False)
class Scene:
    """An image laid out for a network. The score of the whole is the sum of those of its pieces."""

    canvas: torch.Tensor
    """(channel, z, y, x) float32 on the CPU, all that the pieces show; a plane has z of 1."""
    pieces: tuple[Piece, ...]
    planar: bool
    """Whether the network takes planes; each piece has z of 1 then."""
    home: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Brings (map, z, y, x) maps on the canvas to (map, ...) on the image's own grid."""
    what: str
    """What is explained, for messages and tables."""
    dense: bool
    """Whether the network answers for each voxel."""

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(z, y, x) whether some piece shows a voxel."""
        found = np.zeros(self.canvas.shape[1:], np.bool_)
        for piece in self.pieces:
            found[piece.box] = True
        return found

    def cut(self, canvas: torch.Tensor, piece: Piece) -> torch.Tensor:
        """Return (..., [z,] y, x) of a piece, as the network takes it."""
        part = canvas[(..., *piece.box)]
        return part.squeeze(-3) if self.planar else part

    def paste(self, maps: torch.Tensor, piece: Piece, canvas: NDArray[np.float32]) -> None:
        """Add the (map, ...) maps of a piece to those of the (map, z, y, x) canvas."""
        values = maps.float().cpu().numpy()
        canvas[(slice(None), *piece.box)] += values[:, None] if self.planar else values
