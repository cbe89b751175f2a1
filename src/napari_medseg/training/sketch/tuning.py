"""What a pixel classifier should look at, asked of strokes that were not learnt from.

Two things depend on what is painted. An organ is known by where it lies, a tissue by its looks alone: with features of
the wide context the first is told better and the second worse. And tissue as thin as the cortex is blurred away where
organs gain from their neighbours' say. The strokes know which of both they are.

The smoothed answer at a voxel is the mean of answers at places drawn around it, so that few places are computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.errors import DataError
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.tasks import UNLABELLED
from napari_medseg.training.sketch.features import FeatureCache, Share
from napari_medseg.training.sketch.fit import Teacher

CANDIDATES = (0.0, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Standard deviations of the smoothing, in units of the shortest voxel edge."""
FOLDS = 3
ENOUGH = 0.9
"""Score of the surroundings alone, of 1 at most, from which on the context is not looked at: where everything tells the
strokes apart, so does where they happen to lie."""
LEAST_GAIN, LEAST_GAIN_BY_STROKES = -0.015, 0.05
"""Of the context to be looked at. It wins far more where it helps than it loses elsewhere, so that a small loss is
taken for chance; but where strokes were left out alone, others lie beside them, and the context is told too well."""
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

Way = Literal["strokes", "planes"]
Answers = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Tuned:
    """What was found."""

    wide: bool = False
    """Whether the context helps."""
    smoothing: float = 0.0
    """Standard deviation in units of the shortest voxel edge."""

    def set(self, network: SketchNetwork) -> bool:
        """Let a network work so, and return whether it has to learn anew for it."""
        anew = network.wide != self.wide
        network.wide, network.smoothing = self.wide, self.smoothing
        return anew


@dataclass(frozen=True, eq=False)
class _Painted:
    """Voxels of one image that may be asked."""

    image: FeatureCache
    voxels: NDArray[np.intp]
    classes: NDArray[np.integer]
    strokes: NDArray[np.integer]
    """(voxel,) in which fold the stroke of each is left out."""
    planes: NDArray[np.integer] | None
    """The same for its slice, or for the whole image where several are painted; None where there are too few."""

    def folds(self, way: Way) -> NDArray[np.integer]:
        """Return the fold of each voxel."""
        return self.strokes if way == "strokes" or self.planes is None else self.planes

    def pick(
        self, way: Way, fold: int, outputs: int, most: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.integer]]:
        """Return so many left-out voxels of each class, and their classes."""
        out = self.folds(way) == fold
        chosen = [rng.permutation(np.flatnonzero(out & (self.classes == index)))[:most] for index in range(outputs)]
        picked = np.concatenate(chosen)
        return self.voxels[picked], self.classes[picked]


def tune(
    network: SketchNetwork,
    images: Sequence[FeatureCache],
    targets: Sequence[NDArray[np.int16]],
    outputs: int,
    seed: int,
) -> Tuned:
    """Return how left-out strokes are told best.

    A third of the strokes of each class is left out at a time, and then a third of the painted slices, or of the images
    where three or more are painted: what is learnt shall hold between them.

    Parameters
    ----------
    network : SketchNetwork
        Says which features are of the context; not changed.
    images : sequence of FeatureCache
        One per image.
    targets : sequence of (z, y, x) int16 arrays
        Class indices, `UNLABELLED` where nothing was painted or is held out.
    outputs : int
        Number of classes.
    seed : int
        Of all randomness.

    Returns
    -------
    Tuned
        Neither context nor smoothing where the strokes are too few to tell.
    """
    rng = np.random.default_rng([seed, 1])
    pairs = [(image, target) for image, target in zip(images, targets, strict=True) if (target >= 0).any()]
    share = Share.of(len(pairs), MOST_STROKES)
    painted = [_painted(image, target, share, rng) for image, target in pairs]
    if len(painted) >= FOLDS:
        painted = [
            replace(each, planes=np.full(len(each.classes), fold))
            for each, fold in zip(painted, rng.permutation(len(painted)) % FOLDS, strict=True)
        ]
    strokes = np.zeros(outputs, int)
    for each in painted:
        for index in range(outputs):
            strokes[index] += len(np.unique(each.strokes[each.classes == index]))
    if (strokes > 0).sum() < 2 or strokes[strokes > 0].min() < 2:
        return Tuned()
    most = max(LEAST_ASKED, ASKED // len(painted))
    teachers = _Teachers(network, painted, outputs, seed)
    wide = bool(network.context) and _gains(teachers, most, rng)
    return Tuned(wide, _smoothing(teachers, wide, network.edges, most, rng))


class _Teachers:
    """Forests that learnt from all but one fold each."""

    def __init__(self, network: SketchNetwork, painted: Sequence[_Painted], outputs: int, seed: int) -> None:
        self.painted, self.outputs = painted, outputs
        self._local, self._seed = network.local, seed
        self._known: dict[tuple[Way, int, bool], Answers | None] = {}

    def without(self, way: Way, fold: int, wide: bool) -> Answers | None:
        """Return what gives (voxel, class) probabilities from all (voxel, feature) responses; None for one class."""
        key = way, fold, wide
        if key not in self._known:
            self._known[key] = self._learn(*key)
        return self._known[key]

    def _learn(self, way: Way, fold: int, wide: bool) -> Answers | None:
        kept = [each.folds(way) != fold for each in self.painted]
        rows = torch.cat([each.image.at(each.voxels[mine]) for each, mine in zip(self.painted, kept, strict=True)])
        classes = np.concatenate([each.classes[mine] for each, mine in zip(self.painted, kept, strict=True)])
        used = slice(None if wide else self._local)
        try:
            teacher = Teacher(rows[:, used], classes, self.outputs, self._seed)
        except DataError:
            return None
        return lambda found: teacher(found[:, used])


def _gains(teachers: _Teachers, most: int, rng: np.random.Generator) -> bool:
    """Return whether left-out voxels are told better with the context."""
    planes = any(each.planes is not None for each in teachers.painted)
    ways: tuple[Way, ...] = ("strokes", "planes") if planes else ("strokes",)
    gains, alone = [], []
    for way in ways:
        votes, asked = np.zeros((2, teachers.outputs)), np.zeros(teachers.outputs)
        for fold in range(FOLDS):
            pair = teachers.without(way, fold, wide=False), teachers.without(way, fold, wide=True)
            for each in teachers.painted:
                voxels, classes = each.pick(way, fold, teachers.outputs, most, rng)
                rows = each.image.at(voxels)
                for vote, answers in zip(votes, pair, strict=True):
                    if answers is not None and len(voxels):
                        np.add.at(vote, classes, _right(answers(rows).numpy(), classes))
                asked += np.bincount(classes, minlength=teachers.outputs)
        told = asked > 0
        local, with_context = (votes[:, told] / asked[told]).mean(axis=1) if told.any() else (1.0, 1.0)
        gains.append(with_context - local)
        alone.append(local)
    return bool(np.mean(alone) < ENOUGH and np.mean(gains) > (LEAST_GAIN if planes else LEAST_GAIN_BY_STROKES))


def _smoothing(teachers: _Teachers, wide: bool, edges: Sequence[float], most: int, rng: np.random.Generator) -> float:
    """Return the standard deviation of the smoothing under which left-out strokes are told best."""
    votes, asked = np.zeros((len(CANDIDATES), teachers.outputs)), np.zeros(teachers.outputs)
    for fold in range(FOLDS):
        answers = teachers.without("strokes", fold, wide)
        if answers is None:
            continue
        for each in teachers.painted:
            voxels, classes = each.pick("strokes", fold, teachers.outputs, most, rng)
            if len(voxels):
                _ask(answers, each.image, voxels, classes, edges, rng, votes)
            asked += np.bincount(classes, minlength=teachers.outputs)
    told = asked > 0
    return CANDIDATES[int((votes[:, told] / asked[told]).mean(axis=1).argmax())] if told.any() else 0.0


def _painted(image: FeatureCache, target: NDArray[np.int16], share: Share, rng: np.random.Generator) -> _Painted:
    """Give each stroke, a connected piece of one class, to a fold, and each painted slice."""
    (box,) = ndimage.find_objects((target != UNLABELLED).astype(np.uint8))
    inside, corner = target[box], [part.start for part in box]
    local = np.argwhere(inside != UNLABELLED)
    voxels, classes = local + corner, inside[tuple(local.T)]
    # a slice that is painted all over would be one stroke: cut it where features are
    cells = np.unique(image.bounds(voxels)[0], axis=0, return_inverse=True)[1].reshape(-1)
    strokes = np.zeros(len(voxels), int)
    for index in np.unique(classes):
        mine = np.flatnonzero(classes == index)
        parts, _ = ndimage.label(inside == index, np.ones((3, 3, 3)))
        pieces = np.stack([parts[tuple(local[mine].T)], cells[mine]], axis=1)
        _, piece = np.unique(pieces, axis=0, return_inverse=True)
        strokes[mine] = (rng.permutation(piece.max() + 1) % FOLDS)[piece.reshape(-1)]
    kept = image.some(voxels, classes, share, rng)
    return _Painted(image, voxels[kept], classes[kept], strokes[kept], _planes(image, voxels[kept], rng))


def _planes(image: FeatureCache, voxels: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.integer] | None:
    """Give each painted slice to a fold; slices are those on which the strokes lie most closely together."""
    found = [np.unique(voxels[:, axis], return_inverse=True) for axis in image.axes]
    values, numbers = min(found, key=lambda each: len(each[0]))
    return None if len(values) < FOLDS else (rng.permutation(len(values)) % FOLDS)[numbers.reshape(-1)]


def _ask(
    teacher: Answers,
    image: FeatureCache,
    voxels: NDArray[np.intp],
    classes: NDArray[np.integer],
    edges: Sequence[float],
    rng: np.random.Generator,
    votes: NDArray[np.float64],
) -> None:
    """Add to the (candidate, class) votes what some voxels say."""
    outputs = votes.shape[1]
    low, high = image.bounds(voxels)
    draws = rng.normal(size=(len(voxels), AROUND, 3))
    draws[..., : 3 - len(edges)] = 0
    for number, sigma in enumerate(CANDIDATES):
        steps = np.rint(draws * (sigma / np.array([1.0] * (3 - len(edges)) + list(edges)))).astype(np.intp)
        # inside the part of the image whose features are known already; a few places are drawn to its border
        places = np.clip(voxels[:, None] + steps, low[:, None], high[:, None]) if sigma else voxels[:, None]
        answers = teacher(image.at(places.reshape(-1, 3)))
        mean = answers.numpy().reshape(len(voxels), -1, outputs).mean(axis=1)
        np.add.at(votes[number], classes, _right(mean, classes))


def _right(probabilities: NDArray[np.floating], classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return how right each row of (voxel, class) probabilities is."""
    own = probabilities[np.arange(len(classes)), classes]
    right: NDArray[np.float64] = (probabilities.argmax(axis=1) == classes).astype(np.float64)
    right += SURENESS * np.log(own + DOUBT)
    return right
