"""How good a pixel classifier is on held-out voxels; only those are computed."""

from collections.abc import Sequence

import numpy as np
import torch

from napari_medseg.data.split import HeldOut
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.tasks import UNLABELLED, Task
from napari_medseg.training.prepare import LoadedCase
from napari_medseg.training.sketch.features import FeatureCache
from napari_medseg.training.validation import Overlaps, Score, count_overlaps, score_of


@torch.inference_mode()
def score_sketch(
    network: SketchNetwork,
    features: Sequence[FeatureCache],
    cases: Sequence[LoadedCase],
    held_out: HeldOut,
    spec: ModelSpec,
    task: Task,
) -> Score | None:
    """Return the Dice of a pixel classifier on the held-out voxels; None if nothing is held out.

    Parameters
    ----------
    network : SketchNetwork
        As it has learnt.
    features : sequence of FeatureCache
        One per case.
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
    for image, case in zip(features, cases, strict=True):
        target = held_out.validation_target(case.sample)
        if target is None:
            continue
        predicted = np.full(target.shape, -1, np.int16)
        for box in image.cells(np.argwhere(target != UNLABELLED)):
            seen = image.box(box)[None].to(network.low.device, torch.float32)
            predicted[box] = network.classify(seen)[0].argmax(dim=0).cpu().numpy()
        count_overlaps(overlaps, held_out, case.sample, predicted, task)
    return score_of(overlaps, spec, task)
