"""One class per voxel, learned from whatever part of the voxels is annotated."""

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg import processes
from napari_medseg.tasks.protocol import UNLABELLED, Task

SMOOTH = 1e-5
"""Keeps the Dice loss finite for classes with next to no voxels."""


class Segmentation:
    """Dice plus cross-entropy over annotated voxels, and Dice as score."""

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy plus one minus the mean soft Dice over the classes present.

        Both are taken over all annotated voxels of the batch together, those of other processes that train the same
        network included, because a patch may hold only a few strokes.

        Parameters
        ----------
        logits : (batch, class, ...) float tensor
            The network's output.
        target : (batch, ...) int64 tensor
            Class indices; voxels that are `UNLABELLED` change neither the loss nor its gradient.
        """
        places = (target.flatten() != UNLABELLED).nonzero()[:, 0]
        count = processes.total(torch.tensor(len(places), device=logits.device))
        if not count:
            return logits.float().sum() * 0.0
        classes, truth = logits.shape[1], target.flatten()
        rows = logits.movedim(1, -1).reshape(-1, classes)
        if len(places) < len(truth):
            rows, truth = rows.index_select(0, places), truth[places]
        # One row per class: with few classes, sums along voxels are several times faster than along classes.
        log_probabilities = rows.T.float().contiguous().log_softmax(dim=0)
        true = log_probabilities.gather(0, truth[None])[0]
        both = true.new_zeros(classes).index_add(0, truth, true.exp())
        reference = torch.bincount(truth, minlength=classes).to(both.dtype)
        entropy = -true.sum().expand_as(both)
        sums = processes.total(torch.stack([both, log_probabilities.exp().sum(dim=1), reference, entropy]))
        overlap, predicted, reference, (entropy, *_) = sums
        dice = (2 * overlap + SMOOTH) / (predicted + reference + SMOOTH)
        present = reference > 0
        loss: torch.Tensor = entropy / count + 1 - (dice * present).sum() / present.sum()
        return loss

    def overlaps(self, predicted: NDArray[np.integer], target: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
        """Return (class, 3) counts that add up over images: voxels of intersection, prediction and reference.

        Parameters
        ----------
        predicted, target : integer arrays of one shape
            Class indices; where `target` is `UNLABELLED` nothing is counted.
        classes : int
            Number of classes.
        """
        annotated = target != UNLABELLED
        guess, truth = predicted[annotated].astype(np.intp), target[annotated].astype(np.intp)
        pairs = np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)
        return np.stack([pairs.diagonal(), pairs.sum(axis=0), pairs.sum(axis=1)], axis=1).astype(np.int64)

    def scores(self, overlaps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the Dice of each class, in [0, 1]; nan where no reference voxel was counted."""
        both, predicted, reference = overlaps.T.astype(np.float64)
        dice = np.full(len(both), np.nan)
        np.divide(2 * both, predicted + reference, out=dice, where=reference > 0)
        return dice


TASK: Task = Segmentation()
