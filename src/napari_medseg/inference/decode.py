"""From logits to labels, probabilities and uncertainty, a part of the image at a time."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.inference.placement import Placement
from napari_medseg.inference.scratch import zeros
from napari_medseg.inference.tiling import Box3
from napari_medseg.inference.unblock import Part, winners_of
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import label_dtype
from napari_medseg.prediction import LabelClass, LabelMap, Output, ProbabilityMap, UncertaintyMap


class Decoder:
    """Collects the labels of an image, and what else is asked for, from parts of it.

    The arrays have the image's own axes from the beginning; large maps are files, mapped into memory.

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
        self._classes, self._winners = spec.classes, winners_of(spec)
        self._placement = placement
        self._labels = np.zeros(placement.shape, dtype=label_dtype(spec))
        self._probabilities = zeros((len(spec.classes), *placement.shape), np.float32) if probabilities else None
        self._uncertainty = zeros(placement.shape, np.float32) if uncertainty else None

    @torch.inference_mode()
    def add(self, part: Part) -> None:
        """Take over a finished part."""
        if self._probabilities is None and self._uncertainty is None:
            winners = part.winners()
            if winners is not None:
                self._put_labels(part.box, winners)
            return
        for box, logits in part.pieces():
            self._put_labels(box, self._winners(logits))
            if self._probabilities is not None:
                there = self._placement.to_grid(self._probabilities)
                there[(slice(None), *box)] = logits.softmax(dim=0).cpu().numpy()
            if self._uncertainty is not None:
                self._placement.to_grid(self._uncertainty)[box] = entropy(logits).cpu().numpy()

    def _put_labels(self, box: Box3, winners: torch.Tensor) -> None:
        self._placement.to_grid(self._labels)[box] = class_values(winners, self._classes)

    def keep_only(self, region: NDArray[np.bool_]) -> None:
        """Make everything outside a region, a bool array on the image's own grid, certain background."""
        for plane, inside in enumerate(region):
            self._labels[plane][~inside] = 0
            if self._probabilities is not None:
                self._probabilities[:, plane][:, ~inside] = 0
                self._probabilities[0, plane][~inside] = 1
            if self._uncertainty is not None:
                self._uncertainty[plane][~inside] = 0

    def outputs(self) -> tuple[Output, ...]:
        """Return the label map, then the probability map and the uncertainty map if asked, on the image's own grid."""
        others: list[Output] = []
        if self._probabilities is not None:
            others.append(ProbabilityMap(self._probabilities, self._classes))
        if self._uncertainty is not None:
            others.append(UncertaintyMap(self._uncertainty))
        return LabelMap(self._labels, self._classes), *others


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy of the class probabilities over the logarithm of the number of classes, in [0, 1].

    Parameters
    ----------
    logits : (class, ...) float tensor

    Examples
    --------
    >>> entropy(torch.tensor([[0.0, 50.0], [0.0, 0.0]])).round(decimals=3)
    tensor([1., 0.])
    """
    logarithms = logits.log_softmax(dim=0)
    # A class that cannot be adds nothing, though the logarithm of its probability is infinite.
    terms = torch.where(logarithms.isinf(), 0.0, logarithms.exp() * logarithms)
    return (-terms.sum(dim=0) / math.log(len(logits))).clamp_(0, 1)


def class_values(winners: torch.Tensor, classes: Sequence[LabelClass]) -> NDArray[np.unsignedinteger]:
    """Return the label values of class indices."""
    table = np.array([c.value for c in classes], dtype=np.uint16)
    values: NDArray[np.unsignedinteger] = table[winners.cpu().numpy()]
    return values
