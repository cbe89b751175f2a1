"""What a pixel classifier says of held-out voxels, and how good that is; only those are computed."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data.split import HeldOut
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.tasks import Task
from napari_medseg.training.prepare import LoadedCase
from napari_medseg.training.sketch.features import FeatureCache
from napari_medseg.training.validation import Overlaps, Score, count_overlaps, places, score_of


@torch.inference_mode()
def held_out_probabilities(
    network: SketchNetwork, features: Sequence[FeatureCache], cases: Sequence[LoadedCase], held_out: HeldOut
) -> dict[str, NDArray[np.float32]]:
    """Return what a pixel classifier says of the held-out voxels.

    Parameters
    ----------
    network : SketchNetwork
        As it has learnt.
    features : sequence of FeatureCache
        One per case.
    cases : sequence of LoadedCase
        All cases of the run.
    held_out : HeldOut
        Which voxels.

    Returns
    -------
    dict of str to (class, n) float32 array
        Per sample identifier, the probabilities at its n held-out voxels in C order.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for image, case in zip(features, cases, strict=True):
        mask = held_out.masks.get(case.sample.id)
        if mask is None:
            continue
        voxels, classes = np.flatnonzero(mask), len(case.sample.classes)
        found[case.sample.id] = says = np.empty((classes, voxels.size), np.float32)
        for box in image.cells(np.argwhere(mask)):
            seen = image.box(box)[None].to(network.low.device, torch.float32)
            probabilities = network.classify(seen)[0].float().softmax(dim=0).cpu().numpy()
            says[:, places(voxels, mask, box)] = probabilities[:, mask[box]]
    return found


def score_probabilities(
    says: Mapping[str, NDArray[np.float32]],
    cases: Sequence[LoadedCase],
    held_out: HeldOut,
    spec: ModelSpec,
    task: Task,
) -> Score | None:
    """Return the Dice of what `held_out_probabilities` returned; None if nothing is held out.

    Parameters
    ----------
    says : dict of str to (class, n) float32 array
        Per sample identifier.
    cases : sequence of LoadedCase
        All cases of the run.
    held_out : HeldOut
        What to score on.
    spec : ModelSpec
        Names the classes.
    task : Task
        Counts and scores.
    """
    overlaps: Overlaps = {}
    for case in cases:
        if case.sample.id in says:
            mask = held_out.masks[case.sample.id]
            predicted = np.full(mask.shape, -1, np.int16)
            predicted[mask] = says[case.sample.id].argmax(axis=0)
            count_overlaps(overlaps, held_out, case.sample, predicted, task)
    return score_of(overlaps, spec, task)


def score_sketch(
    network: SketchNetwork,
    features: Sequence[FeatureCache],
    cases: Sequence[LoadedCase],
    held_out: HeldOut,
    spec: ModelSpec,
    task: Task,
) -> Score | None:
    """Return the Dice of a pixel classifier on the held-out voxels; None if nothing is held out."""
    says = held_out_probabilities(network, features, cases, held_out)
    return score_probabilities(says, cases, held_out, spec, task)
