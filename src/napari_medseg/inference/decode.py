"""From logits to labels and probabilities, a few planes at a time."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.inference.placement import Placement
from napari_medseg.inference.resample import ClassPlanes
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import label_dtype
from napari_medseg.prediction import LabelClass, LabelMap, Output, ProbabilityMap


class Decoder:
    """Collects the labels, and if asked the probabilities, of an image from planes of logits.

    Parameters
    ----------
    spec : ModelSpec
        Its classes.
    placement : Placement
        The way back to the image's own axes.
    probabilities : bool
        Whether to keep them.
    """

    def __init__(self, spec: ModelSpec, placement: Placement, probabilities: bool = False) -> None:
        self._classes = spec.classes
        self._placement = placement
        self._labels = np.zeros(placement.grid_shape, dtype=label_dtype(spec))
        shape = (len(spec.classes), *placement.grid_shape)
        self._probabilities = np.zeros(shape, dtype=np.float32) if probabilities else None

    def add(self, planes: ClassPlanes) -> None:
        """Take over finished planes."""
        winners, logits = strongest(planes, keep=self._probabilities is not None)
        rows = slice(planes.start, planes.start + winners.shape[0])
        self._labels[rows] = class_values(winners, self._classes)
        if self._probabilities is not None:
            self._probabilities[:, rows] = torch.softmax(torch.stack(logits), dim=0).cpu().numpy()

    def outputs(self) -> tuple[Output, ...]:
        """Return the label map, and if asked the probability map, on the image's own grid."""
        labels = LabelMap(np.ascontiguousarray(self._placement.from_grid(self._labels)), self._classes)
        if self._probabilities is None:
            return (labels,)
        return labels, ProbabilityMap(self._placement.from_grid(self._probabilities), self._classes)


def strongest(planes: "ClassPlanes | torch.Tensor", keep: bool = False) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the index of the class with the largest logit, the first of equals.

    Parameters
    ----------
    planes : ClassPlanes or (class, ...) tensor
        Logits, taken one class at a time.
    keep : bool
        Whether to return the logits too.

    Returns
    -------
    winners : (...) int64 tensor
        Class index per voxel.
    logits : list of (...) tensor
        Per class; empty unless `keep`.
    """
    best = planes[0]
    winners = torch.zeros(best.shape, dtype=torch.int32, device=best.device)
    logits = [best] if keep else []
    for index in range(1, len(planes)):
        values = planes[index]
        if keep:
            logits.append(values)
        winners.masked_fill_(values > best, index)
        best = torch.maximum(best, values)
    return winners, logits


def class_values(winners: torch.Tensor, classes: Sequence[LabelClass]) -> NDArray[np.unsignedinteger]:
    """Return the label values of class indices."""
    table = np.array([c.value for c in classes], dtype=np.uint16)
    values: NDArray[np.unsignedinteger] = table[winners.cpu().numpy()]
    return values
