"""Weighted tiles are added up, rounded as by MONAI: a product, then the sum, then the quotient, each to float32."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from napari_medseg.inference.tiling import Box3, Shape3


@dataclass(frozen=True, eq=False)
class Term:
    """What a tile contributes to one cell: the tile's values there, times their weights, plus what was there."""

    box: Box3
    """Where the cell lies in the tile."""
    before: torch.Tensor | None
    """(class, z, y, x) sums of earlier tiles, of the cell's shape; None if there are none."""
    out: torch.Tensor
    """(class, z, y, x) tensor that takes the sums; may be `before`."""
    at: Shape3
    """Voxel of `out` that the cell begins with."""
    total: torch.Tensor | None = None
    """(z, y, x) sums of all weights, beginning with the tile, to divide by; None if other tiles are to come."""


def add(tile: torch.Tensor, weight: torch.Tensor, terms: Sequence[Term]) -> None:
    """Add a tile up, by PyTorch on any device.

    Parameters
    ----------
    tile : (class, z, y, x) float32 tensor
        Overwritten.
    weight : (z, y, x) float32 tensor
        Of the tile's voxels.
    terms : sequence of Term
        One for each cell.
    """
    for term in terms:
        part = tile[(slice(None), *term.box)].mul_(weight[term.box])
        if term.before is not None:
            part += term.before
        if term.total is not None:
            part /= term.total[term.box]
        there = tuple(slice(a, a + rows.stop - rows.start) for a, rows in zip(term.at, term.box, strict=True))
        term.out[(slice(None), *there)] = part
