"""Which predicted boxes are right, and the curves that follow; the rules are those of COCO and of LUNA16."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.evaluate.boxes import BoxPairs
from napari_medseg.prediction import Boxes

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
"""Where COCO reads precision off its curve."""
MOST = 100
"""Boxes per image and class that COCO looks at, the surest ones."""
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per image at which LUNA16 reads sensitivity."""


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """All predictions of one class, the surest first."""

    image: NDArray[np.int64]
    """(n,) number of the image."""
    score: NDArray[np.float64]
    right: NDArray[np.bool_]
    """(n, 10) whether it finds a true box that no surer one found, at each IoU."""
    counts: NDArray[np.bool_]
    """(n, 10) whether it is right or wrong; what lies on an ignored box is neither."""
    truth: NDArray[np.int64]
    """(image,) true boxes."""
    hits: NDArray[np.float64]
    """(true box,) score of the surest prediction whose centre is in it; -inf if there is none."""
    hit_image: NDArray[np.int64]
    """(true box,) number of its image."""
    stray: NDArray[np.bool_]
    """(n,) whether its centre is in no true and no ignored box."""


def match_class(pairs: BoxPairs, value: int) -> ClassMatches:
    """Match the predictions of one class in all images."""
    parts = []
    for number, name in enumerate(pairs.truth):
        predicted, truth = _of(pairs.predicted[name], value), _of(pairs.truth[name], value)
        order = np.argsort(-predicted.scores, kind="mergesort")
        predicted = predicted.chosen(order)
        ignored = _of(pairs.ignored[name], value) if name in pairs.ignored else truth.chosen(np.zeros(0, np.int64))
        first = predicted.chosen(np.arange(min(len(predicted), MOST)))
        right, counts = np.zeros((len(predicted), len(IOUS)), bool), np.zeros((len(predicted), len(IOUS)), bool)
        right[: len(first)], counts[: len(first)] = _matched(first, truth, ignored)
        inside = _centre_in(predicted, truth)
        scores = np.where(inside, predicted.scores[:, None], -np.inf)
        hits = scores.max(axis=0) if len(predicted) else np.full(len(truth), -np.inf)
        stray = ~inside.any(axis=1) & ~_centre_in(predicted, ignored).any(axis=1)
        parts.append((np.full(len(predicted), number), predicted.scores, right, counts,
                      hits, np.full(len(truth), number), stray))  # fmt: skip
    image, score, right, counts, hits, hit_image, stray = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    order = np.argsort(-score, kind="mergesort")
    truth_counts = np.bincount(hit_image.astype(np.int64), minlength=len(parts))
    return ClassMatches(
        image[order].astype(np.int64), score[order], right[order], counts[order], truth_counts, hits,
        hit_image.astype(np.int64), stray[order],
    )  # fmt: skip


def average_precision(matches: ClassMatches, weights: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the (10,) average precision of a class at each IoU, as COCO computes it; nan without true boxes.

    Parameters
    ----------
    matches : ClassMatches
        Of the class.
    weights : (image,) int array, optional
        How often each image counts, for resampling.
    """
    per_image = np.ones(len(matches.truth), np.int64) if weights is None else weights
    total = int((per_image * matches.truth).sum())
    if not total:
        return np.full(len(IOUS), np.nan)
    recall, precision = _curve(matches, per_image, total)
    found = np.zeros((len(IOUS), len(RECALLS)))
    for t in range(len(IOUS)):
        place = np.searchsorted(recall[:, t], RECALLS, side="left")
        inside = place < len(recall)
        found[t, inside] = precision[place[inside], t]
    return np.asarray(found.mean(axis=1))


def precision_recall(matches: ClassMatches, iou: int = 0) -> tuple[NDArray[np.float64], ...]:
    """Return precision, recall and score after each prediction, at one of `IOUS`; precision is not smoothed."""
    counts = matches.counts[:, iou]
    right = np.cumsum(matches.right[counts, iou])
    total = max(int(matches.truth.sum()), 1)
    return right / np.arange(1, len(right) + 1), right / total, matches.score[counts]


def froc(matches: ClassMatches, weights: NDArray[np.int64] | None = None) -> tuple[NDArray[np.float64], ...]:
    """Return the FROC curve: false positives per image, and sensitivity, both rising from 0.

    A true box is found if the centre of a prediction is in the ellipsoid that fills it, as LUNA16 asks for its
    nodules. More predictions in the same box are not counted; a prediction in none is a false positive.
    """
    per_image = np.ones(len(matches.truth), np.int64) if weights is None else weights
    images, total = max(int(per_image.sum()), 1), max(int((per_image * matches.truth).sum()), 1)
    steps = np.unique(matches.score)[::-1]
    wrong = per_image[matches.image] * matches.stray
    # Predictions of equal scores come and go together.
    last = np.searchsorted(-matches.score, -steps, side="right") - 1
    false = np.cumsum(wrong)[last] / images if len(wrong) else np.empty(0)
    order = np.argsort(-matches.hits, kind="mergesort")
    gained = np.concatenate([[0], np.cumsum(per_image[matches.hit_image][order])])
    found = gained[np.searchsorted(-matches.hits[order], -steps, side="right")] / total
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], found])


def sensitivities(matches: ClassMatches, weights: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the (7,) sensitivity at each of `RATES`, read off the curve between its points; nan without true boxes.

    Their mean is the score of LUNA16.
    """
    per_image = np.ones(len(matches.truth), np.int64) if weights is None else weights
    if not (per_image * matches.truth).sum():
        return np.full(len(RATES), np.nan)
    false, found = froc(matches, weights)
    # Where several points have the same rate, the highest one holds.
    last = np.flatnonzero(np.diff(false, append=np.inf) > 0)
    return np.asarray(np.interp(RATES, false[last], found[last]))


def overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, m) volumes that (n, 2, axes) and (m, 2, axes) boxes have in common."""
    low = np.maximum(one[:, None, 0], other[None, :, 0])
    high = np.minimum(one[:, None, 1], other[None, :, 1])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=2))


def iou_matrix(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, m) overlap over union of boxes.

    Examples
    --------
    >>> iou_matrix(np.array([[[0.0, 0], [2, 2]]]), np.array([[[0.0, 1], [2, 3]], [[5, 5], [6, 6]]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    common = overlaps(one, other)
    union = _volumes(one)[:, None] + _volumes(other)[None] - common
    return np.asarray(common / np.maximum(union, 1e-12))


def _volumes(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.prod(edges[:, 1] - edges[:, 0], axis=1))


def _of(boxes: Boxes, value: int) -> Boxes:
    return boxes.chosen(boxes.labels == value)


def _curve(
    matches: ClassMatches, per_image: NDArray[np.int64], total: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (n, 10) recall and smoothed precision after each prediction."""
    weight = per_image[matches.image][:, None]
    right = np.cumsum(weight * matches.right, axis=0)
    wrong = np.cumsum(weight * (matches.counts & ~matches.right), axis=0)
    precision = right / (right + wrong + np.spacing(1))
    return right / total, np.maximum.accumulate(precision[::-1], axis=0)[::-1]


def _matched(predicted: Boxes, truth: Boxes, ignored: Boxes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (n, 10) whether predictions, surest first, are right, and whether they count."""
    shared = iou_matrix(predicted.edges, truth.edges)
    within = overlaps(predicted.edges, ignored.edges) / np.maximum(_volumes(predicted.edges), 1e-12)[:, None]
    right = np.zeros((len(predicted), len(IOUS)), bool)
    lost = np.zeros_like(right)
    for t, least in enumerate(IOUS):
        free = np.ones(len(truth), bool)
        for number in range(len(predicted)):
            open_ious = np.where(free, shared[number], -1.0)
            # Of equal overlaps COCO takes the last one.
            best = len(open_ious) - 1 - int(np.argmax(open_ious[::-1])) if len(open_ious) else -1
            if best >= 0 and open_ious[best] >= min(least, 1 - 1e-10):
                right[number, t], free[best] = True, False
            else:
                lost[number, t] = bool((within[number] >= min(least, 1 - 1e-10)).any())
    return right, ~lost


def _centre_in(predicted: Boxes, truth: Boxes) -> NDArray[np.bool_]:
    """Return (n, m) whether the centre of a prediction is in the ellipsoid that fills a true box."""
    half = np.maximum(truth.sizes / 2, 1e-9)
    away = (predicted.centres[:, None] - truth.centres[None]) / half[None]
    return np.asarray(np.square(away).sum(axis=2) <= 1)
