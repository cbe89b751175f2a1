"""Boxes around the parts of a label map, and label maps of boxes."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.boxes.masks import mask_on_grid
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass


def boxes_of_labels(
    labels: NDArray[np.integer], classes: tuple[LabelClass, ...], instances: bool = False, least: int = 1
) -> Boxes:
    """Return a box around each connected part of each class of a label map.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) integer array
        Class values; 0 is background.
    classes : tuple of LabelClass
        Those to look for, and for `instances` the one class that all are.
    instances : bool
        Whether values number single things instead of classes: each value is one box, of the first class.
    least : int
        Voxels of the smallest part that counts.

    Returns
    -------
    Boxes
        In voxels of the map, exactly around the voxels.
    """
    from scipy import ndimage

    edges: list[list[list[int]]] = []
    values: list[int] = []
    wanted = [c for c in classes if c.value]
    parts = [(labels, wanted[0].value)] if instances else [(_components(labels == c.value), c.value) for c in wanted]
    for numbered, value in parts:
        counts = np.bincount(np.asarray(numbered).ravel()) if numbered.size else np.zeros(1, int)
        for number, box in enumerate(ndimage.find_objects(numbered), start=1):
            if box is not None and counts[number] >= least:
                edges.append([[side.start for side in box], [side.stop for side in box]])
                values.append(value)
    found = np.array(edges, float).reshape(-1, 2, labels.ndim)
    return Boxes(found, np.array(values, np.int64), np.ones(len(values)), tuple(wanted))


def labels_of_boxes(boxes: Boxes, shape: tuple[int, ...], instances: bool = False) -> NDArray[np.unsignedinteger]:
    """Return a label map of boxes: the voxels of each mask, or without masks all whose centre is inside the box.

    Where boxes overlap, the one with the higher score is on top.

    Parameters
    ----------
    boxes : Boxes
        In voxels of the map.
    shape : tuple of int
        Of the map.
    instances : bool
        Number the boxes from 1 on in their order, instead of writing class values.
    """
    most = len(boxes) if instances else max((c.value for c in boxes.classes), default=0)
    filled = np.zeros(shape, np.uint8 if most < 256 else np.uint16 if most < 65536 else np.uint32)
    first = np.maximum(np.ceil(boxes.edges[:, 0] - 0.5), 0).astype(int)
    stop = np.maximum(np.ceil(boxes.edges[:, 1] - 0.5), 0).astype(int)
    for number in np.argsort(boxes.scores, kind="stable"):
        value = number + 1 if instances else boxes.labels[number]
        if boxes.masks is None:
            filled[tuple(slice(a, b) for a, b in zip(first[number], stop[number], strict=True))] = value
        else:
            part, mask = mask_on_grid(boxes.edges[number], boxes.masks[number], shape)
            filled[part][mask] = value
    return filled


def _components(mask: NDArray[np.bool_]) -> NDArray[np.integer]:
    from scipy import ndimage

    # Parts that touch at a corner are one thing.
    numbered, _count = ndimage.label(mask, np.ones((3,) * mask.ndim, int))
    return np.asarray(numbered)
