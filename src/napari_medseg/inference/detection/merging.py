"""Several boxes around the same thing become one."""

from dataclasses import replace
from typing import Literal

import numpy as np

from napari_medseg.evaluate.matching import iou_matrix
from napari_medseg.prediction import Boxes

Merge = Literal["fusion", "nms"]


def merged(boxes: Boxes, iou: float, how: Merge = "nms", most: int = 1000) -> Boxes:
    """Return boxes of which no two of a class overlap more than `iou`, the surest first.

    Parameters
    ----------
    boxes : Boxes
        As a network gives them.
    iou : float
        Overlap over union from which on two boxes are around the same thing.
    how : {"fusion", "nms"}
        nms: the surest stays as it is. fusion: its edges become the mean of all that overlap it so much, weighted by
        their scores (weighted boxes fusion; Solovyev et al., 2021); its score stays, as a thing that one tile sees is
        no less sure than one that several see. Its mask stays, too.
    most : int
        Boxes that are kept.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    rest = boxes.chosen(order)
    kept: list[int] = []
    edges = []
    open_ = np.ones(len(rest), bool)
    for number in range(len(rest)):
        if not open_[number]:
            continue
        same = np.flatnonzero(open_ & (rest.labels == rest.labels[number]))
        shared = iou_matrix(rest.edges[number][None], rest.edges[same])[0]
        group = same[(shared > iou) | (same == number)]
        open_[group] = False
        weights = rest.scores[group] + 1e-9 if how == "fusion" else (group == number).astype(float)
        edges.append(np.average(rest.edges[group], axis=0, weights=weights))
        kept.append(number)
        if len(kept) == most:
            break
    fused = np.array(edges).reshape(-1, 2, boxes.axes)
    chosen = np.array(kept, np.int64)
    return replace(rest.chosen(chosen), edges=fused)
