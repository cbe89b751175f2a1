"""From logits to labels and probabilities, a few planes at a time."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.inference.placement import Placement
from napari_medseg.inference.resample import ClassPlanes
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import label_dtype
from napari_medseg.prediction import LabelClass, LabelMap, Output, ProbabilityMap, UncertaintyMap


class Decoder:
    """Collects the labels of an image, and what else is asked for, from planes of logits.

    Parameters
    ----------
    spec : ModelSpec
        Its classes.
    placement : Placement
        The way back to the image's own axes.
    probabilities, uncertainty : bool
        Whether to keep them.
    """

    def __init__(
        self, spec: ModelSpec, placement: Placement, probabilities: bool = False, uncertainty: bool = False
    ) -> None:
        self._classes = spec.classes
        self._placement = placement
        self._labels = np.zeros(placement.grid_shape, dtype=label_dtype(spec))
        shape = (len(spec.classes), *placement.grid_shape)
        self._probabilities = np.zeros(shape, dtype=np.float32) if probabilities else None
        self._uncertainty = np.zeros(placement.grid_shape, dtype=np.float32) if uncertainty else None

    def add(self, planes: ClassPlanes) -> None:
        """Take over finished planes."""
        entropy = Entropy() if self._uncertainty is not None else None
        winners, logits = strongest(planes, keep=self._probabilities is not None, entropy=entropy)
        rows = slice(planes.start, planes.start + winners.shape[0])
        self._labels[rows] = class_values(winners, self._classes)
        if self._probabilities is not None:
            self._probabilities[:, rows] = torch.softmax(torch.stack(logits), dim=0).cpu().numpy()
        if self._uncertainty is not None and entropy is not None:
            self._uncertainty[rows] = entropy.relative().cpu().numpy()

    def outputs(self) -> tuple[Output, ...]:
        """Return the label map, then the probability map and the uncertainty map if asked, on the image's own grid."""
        labels = LabelMap(np.ascontiguousarray(self._placement.from_grid(self._labels)), self._classes)
        others: list[Output] = []
        if self._probabilities is not None:
            others.append(ProbabilityMap(self._placement.from_grid(self._probabilities), self._classes))
        if self._uncertainty is not None:
            others.append(UncertaintyMap(np.ascontiguousarray(self._placement.from_grid(self._uncertainty))))
        return labels, *others


class Entropy:
    """Entropy of the class probabilities, from logits that come one class at a time."""

    def __init__(self) -> None:
        self._classes = 0
        self._largest: torch.Tensor
        self._sum: torch.Tensor
        self._weighted: torch.Tensor

    def add(self, logits: torch.Tensor) -> None:
        """Take the logits of the next class."""
        self._classes += 1
        if self._classes == 1:
            self._largest = logits
            self._sum, self._weighted = torch.ones_like(logits), torch.zeros_like(logits)
            return
        # Sums of exp(l) and of l exp(l), with the largest logit so far taken off every l.
        largest = torch.maximum(self._largest, logits)
        step, own = self._largest - largest, logits - largest
        self._weighted = step.exp() * (self._weighted + step * self._sum) + own * own.exp()
        self._sum = self._sum * step.exp() + own.exp()
        self._largest = largest

    def relative(self) -> torch.Tensor:
        """Return the entropy over the logarithm of the number of classes, in [0, 1]."""
        entropy = self._sum.log() - self._weighted / self._sum
        return (entropy / math.log(self._classes)).clamp_(0, 1)


def strongest(
    planes: "ClassPlanes | torch.Tensor", keep: bool = False, entropy: Entropy | None = None
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the index of the class with the largest logit, the first of equals.

    Parameters
    ----------
    planes : ClassPlanes or (class, ...) tensor
        Logits, taken one class at a time.
    keep : bool
        Whether to return the logits too.
    entropy : Entropy, optional
        Is given the logits of every class.

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
    if entropy is not None:
        entropy.add(best)
    for index in range(1, len(planes)):
        values = planes[index]
        if entropy is not None:
            entropy.add(values)
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
