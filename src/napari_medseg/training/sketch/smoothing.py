"""How much the neighbours of a voxel should have a say in its class: asked of strokes that were not learnt from.

Tissue as thin as the cortex is blurred away where organs gain from it, and the strokes know which of both they are. The
smoothed answer at a voxel is the mean of answers at places drawn around it, so that few places are computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.errors import DataError
from napari_medseg.tasks import UNLABELLED
from napari_medseg.training.sketch.features import FeatureCache, Share
from napari_medseg.training.sketch.fit import Teacher

CANDIDATES = (0.0, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Standard deviations, in units of the shortest voxel edge."""
FOLDS = 3
ASKED, LEAST_ASKED = 40, 4
"""Voxels of each class and fold, of all images together, and the least of one."""
AROUND = 16
"""Places around a voxel that stand for its neighbourhood."""
SURENESS = 0.3
"""What a nat of log-likelihood counts beside the share of right answers, which alone is coarse."""
MOST_STROKES = 6000
"""Painted voxels of all images together that are learnt from to tell; of more, a random choice."""
DOUBT = 0.02
"""Added to each probability, since a forest may give none to what is true."""

Answers = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class _Painted:
    """Voxels of one image that may be asked."""

    image: FeatureCache
    voxels: NDArray[np.intp]
    classes: NDArray[np.integer]
    folds: NDArray[np.integer]


def choose_smoothing(
    images: Sequence[FeatureCache],
    targets: Sequence[NDArray[np.int16]],
    outputs: int,
    edges: Sequence[float],
    seed: int,
) -> float:
    """Return the standard deviation of the smoothing under which left-out strokes are told best.

    Strokes are left out whole, a third of those of each class at a time.

    Parameters
    ----------
    images : sequence of FeatureCache
        One per image.
    targets : sequence of (z, y, x) int16 arrays
        Class indices, `UNLABELLED` where nothing was painted or is held out.
    outputs : int
        Number of classes.
    edges : sequence of float
        Voxel edges of the network's grid along its axes, in units of the shortest.
    seed : int
        Of all randomness.

    Returns
    -------
    float
        In units of the shortest voxel edge; 0 where the strokes are too few to tell.
    """
    rng = np.random.default_rng([seed, 1])
    pairs = [(image, target) for image, target in zip(images, targets, strict=True) if (target >= 0).any()]
    share = Share.of(len(pairs), MOST_STROKES)
    painted = [_painted(image, target, share, rng) for image, target in pairs]
    strokes = np.zeros(outputs, int)
    for each in painted:
        for index in range(outputs):
            strokes[index] += len(np.unique(each.folds[each.classes == index]))
    if (strokes > 0).sum() < 2 or strokes[strokes > 0].min() < 2:
        return 0.0
    votes = np.zeros((len(CANDIDATES), outputs))
    asked = np.zeros(outputs)
    for fold in range(FOLDS):
        try:
            teacher = _teacher(painted, fold, outputs, seed)
        except DataError:
            continue
        for each in painted:
            asked += _ask(teacher, each, fold, max(LEAST_ASKED, ASKED // len(painted)), edges, rng, votes)
    told = asked > 0
    return CANDIDATES[int((votes[:, told] / asked[told]).mean(axis=1).argmax())] if told.any() else 0.0


def _painted(image: FeatureCache, target: NDArray[np.int16], share: Share, rng: np.random.Generator) -> _Painted:
    """Give each stroke, a connected piece of one class, to a fold."""
    (box,) = ndimage.find_objects((target != UNLABELLED).astype(np.uint8))
    inside, corner = target[box], [part.start for part in box]
    local = np.argwhere(inside != UNLABELLED)
    voxels, classes = local + corner, inside[tuple(local.T)]
    # a slice that is painted all over would be one stroke: cut it where features are
    cells = np.unique(image.bounds(voxels)[0], axis=0, return_inverse=True)[1].reshape(-1)
    folds = np.zeros(len(voxels), int)
    for index in np.unique(classes):
        mine = np.flatnonzero(classes == index)
        parts, _ = ndimage.label(inside == index, np.ones((3, 3, 3)))
        pieces = np.stack([parts[tuple(local[mine].T)], cells[mine]], axis=1)
        _, piece = np.unique(pieces, axis=0, return_inverse=True)
        folds[mine] = (rng.permutation(piece.max() + 1) % FOLDS)[piece.reshape(-1)]
    kept = image.some(voxels, classes, share, rng)
    return _Painted(image, voxels[kept], classes[kept], folds[kept])


def _teacher(painted: Sequence[_Painted], fold: int, outputs: int, seed: int) -> Teacher:
    rows = [each.image.at(each.voxels[each.folds != fold]) for each in painted]
    classes = [each.classes[each.folds != fold] for each in painted]
    return Teacher(torch.cat(rows), np.concatenate(classes), outputs, seed)


def _ask(
    teacher: Answers,
    painted: _Painted,
    fold: int,
    most: int,
    edges: Sequence[float],
    rng: np.random.Generator,
    votes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Add to the (candidate, class) votes what the strokes of a fold say; return how many voxels of each class did."""
    left_out = painted.folds == fold
    outputs = votes.shape[1]
    chosen = [rng.permutation(np.flatnonzero(left_out & (painted.classes == index)))[:most] for index in range(outputs)]
    picked = np.concatenate(chosen)
    if not len(picked):
        return np.zeros(outputs)
    voxels, classes = painted.voxels[picked], painted.classes[picked]
    low, high = painted.image.bounds(voxels)
    draws = rng.normal(size=(len(voxels), AROUND, 3))
    draws[..., : 3 - len(edges)] = 0
    for number, sigma in enumerate(CANDIDATES):
        steps = np.rint(draws * (sigma / np.array([1.0] * (3 - len(edges)) + list(edges)))).astype(np.intp)
        # inside the part of the image whose features are known already; a few places are drawn to its border
        places = np.clip(voxels[:, None] + steps, low[:, None], high[:, None]) if sigma else voxels[:, None]
        answers = teacher(painted.image.at(places.reshape(-1, 3)))
        mean = answers.numpy().reshape(len(voxels), -1, outputs).mean(axis=1)
        right = (mean.argmax(axis=1) == classes) + SURENESS * np.log(mean[np.arange(len(classes)), classes] + DOUBT)
        np.add.at(votes[number], classes, right)
    return np.bincount(classes, minlength=outputs).astype(float)
