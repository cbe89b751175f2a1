"""What a pixel classifier learns from: the painted voxels, and a look around."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.tasks import UNLABELLED
from napari_medseg.training.sketch.features import FeatureCache, Share, draw_voxels

NEAR, FAR, FAR_CELLS = 12_000, 12_000, 24
"""Voxels around the strokes, and in how many other places, on which the forest teaches the network."""
MOST_STROKES = 50_000
"""Painted voxels of all images together that are learnt from; of more, a random choice."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is known, and where else to look."""

    features: torch.Tensor
    """(voxel, feature) responses where something was painted."""
    classes: NDArray[np.integer]
    """(voxel,) class index of each."""
    pool: torch.Tensor
    """(voxel, feature) responses at other places of the images."""


def prepare_lesson(images: Sequence[FeatureCache], targets: Sequence[NDArray[np.int16]], seed: int) -> Lesson:
    """Return what can be learnt from the painted voxels of some images.

    Parameters
    ----------
    images : sequence of FeatureCache
        One per image.
    targets : sequence of (z, y, x) int16 arrays
        Class indices, `UNLABELLED` where nothing was painted or is held out.
    seed : int
        Of the choice of other voxels.

    Raises
    ------
    DataError
        If nothing is painted.
    """
    rows, classes, pool = [], [], []
    share = Share.of(sum(int(target.max()) > UNLABELLED for target in targets), MOST_STROKES)
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        voxels = np.argwhere(target != UNLABELLED)
        if not len(voxels):
            continue
        rng = np.random.default_rng([seed, number])
        voxels = voxels[image.some(voxels, target[tuple(voxels.T)], share, rng)]
        rows.append(image.at(voxels))
        classes.append(target[tuple(voxels.T)])
        near = draw_voxels(image.cells(voxels), NEAR // len(images), rng)
        far = image.random_voxels(FAR // len(images), max(1, FAR_CELLS // len(images)), seed)
        pool.append(image.at(np.concatenate([near, far])))
    if not pool:
        raise DataError("Nothing is painted yet.", "Paint at least one stroke of two classes.")
    return Lesson(torch.cat(rows), np.concatenate(classes), torch.cat(pool))
