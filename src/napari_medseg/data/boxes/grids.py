"""Boxes on another grid than that on which they were drawn."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.boxes.masks import cut_masks
from napari_medseg.prediction import Boxes
from napari_medseg.volume import Geometry


def clipped(boxes: Boxes, shape: Sequence[int], least: float = 0.0) -> Boxes:
    """Return boxes cut at the border of the image; those with no part inside are left out.

    Parameters
    ----------
    boxes : Boxes
        In voxels of the image.
    shape : sequence of int
        Voxels of the image along the axes of the boxes.
    least : float
        Share of a box that must be inside, in [0, 1].
    """
    cut = np.clip(boxes.edges, 0, np.array(shape, float))
    inside = np.prod(cut[:, 1] - cut[:, 0], axis=1)
    kept = (inside > 0) & (inside >= least * np.prod(boxes.sizes, axis=1))
    return replace(boxes, edges=cut, masks=cut_masks(boxes, cut)).chosen(kept)


def flipped(boxes: Boxes, axis: int, size: int) -> Boxes:
    """Return the boxes of ``numpy.flip(image, axis)``, where the image has `size` voxels along that axis.

    Examples
    --------
    >>> from napari_medseg.volume import LabelClass
    >>> box = Boxes(np.array([[[0, 1], [2, 4]]]), np.ones(1), np.ones(1), (LabelClass(value=1, name="a"),))
    >>> flipped(box, 1, 10).edges.tolist()
    [[[0.0, 6.0], [2.0, 9.0]]]
    """
    edges = boxes.edges.copy()
    edges[:, :, axis] = size - boxes.edges[:, ::-1, axis]
    masks = None if boxes.masks is None else np.flip(boxes.masks, axis + 1)
    return replace(boxes, edges=edges, masks=masks)


def transposed(boxes: Boxes, axes: Sequence[int]) -> Boxes:
    """Return the boxes of ``image.transpose(axes)``."""
    masks = None if boxes.masks is None else boxes.masks.transpose(0, *(axis + 1 for axis in axes))
    return replace(boxes, edges=boxes.edges[:, :, list(axes)], masks=masks)


def onto_grid(boxes: Boxes, source: Geometry, target: Geometry) -> Boxes:
    """Return boxes in the voxels of another grid over the same patient.

    Between grids of the same axes, in any order and direction and of any spacing, this is exact. Between oblique grids
    it is the smallest box that holds the old one.

    Parameters
    ----------
    boxes : Boxes
        On `source`.
    source, target : Geometry
        The grids; a plane has boxes of two axes.
    """
    way = np.linalg.inv(target.affine) @ source.affine
    # Rounding of the inverse must not turn 4 into 4.000000000000001.
    way = np.where(np.abs(way - np.round(way)) < 1e-9, np.round(way), way)
    corners = corners_of(boxes.edges) - 0.5
    if boxes.axes == 2:
        corners = np.concatenate([corners, np.zeros((*corners.shape[:2], 1))], axis=2)
    moved = (corners @ way[:3, :3].T + way[:3, 3])[..., : boxes.axes] + 0.5
    return replace(boxes, edges=np.stack([moved.min(axis=1), moved.max(axis=1)], axis=1))


def corners_of(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, corner, axis) corners of (n, 2, axis) boxes."""
    axes = edges.shape[2]
    chosen = [edges[:, list(choice), range(axes)] for choice in product((0, 1), repeat=axes)]
    return np.stack(chosen, axis=1)
