"""Scores of predicted boxes: average precision as COCO has it, FROC as LUNA16 has it, precision and recall."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from napari_medseg.evaluate.boxes import BoxPairs
from napari_medseg.evaluate.matching import (
    RATES,
    ClassMatches,
    average_precision,
    match_class,
    precision_recall,
    sensitivities,
)
from napari_medseg.evaluate.statistics import Interval, resampled_interval

RESAMPLES = 300
"""Of the images, or of the patients, with replacement."""


class DetectedClass(BaseModel):
    """Scores of one class; None where it has no true box."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    boxes: int
    """True ones."""
    predicted: int
    ap50: float | None
    """Average precision at an IoU of 0.5."""
    ap: float | None
    """Mean of the average precision at IoUs of 0.5, 0.55, ... 0.95."""
    froc: float | None
    """Mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per image."""
    sensitivity: dict[str, float]
    """At each of these rates."""
    threshold: float | None
    """Score from which predictions count in what follows: the one that was asked for, or that of the best F1."""
    precision: float | None
    recall: float | None
    f1: float | None
    """At an IoU of 0.5."""


class DetectionReport(BaseModel):
    """How good predicted boxes are."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    images: int
    missing: tuple[str, ...]
    """Images that the predictions do not name; nothing was found there."""
    scores: dict[str, float | None]
    """``map50``, ``map`` and ``froc``: means over the classes with true boxes."""
    intervals: dict[str, Interval]
    """95 % bootstrap intervals of `scores`, over patients where these are known, else over images."""
    classes: dict[str, DetectedClass]


def evaluate_detection(
    pairs: BoxPairs, threshold: float | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> DetectionReport:
    """Score predicted boxes.

    Parameters
    ----------
    pairs : BoxPairs
        Predictions and references.
    threshold : float, optional
        Score from which predictions count in precision and recall; None takes the best F1 of each class.
    seed : int
        Of the resampling.
    resamples : int
        For the intervals; 0 leaves them out.
    """
    found = {c.name: match_class(pairs, c.value) for c in pairs.classes}
    group = _groups(pairs)
    many = int(group.max()) + 1 if len(group) else 0

    def drawn(numbers: NDArray[np.int64]) -> Mapping[str, float]:
        return _means(list(found.values()), np.bincount(numbers, minlength=many)[group])

    scores = _means(list(found.values()), None)
    return DetectionReport(
        images=len(pairs.truth),
        missing=pairs.missing,
        scores={name: _defined(value) for name, value in scores.items()},
        intervals=_intervals(drawn, many, resamples, seed),
        classes={name: _one_class(each, threshold) for name, each in found.items()},
    )


def mean_precision(pairs: BoxPairs) -> tuple[float, float]:
    """Return mAP at an IoU of 0.5, and its mean over 0.5 to 0.95; nan where there is no true box."""
    scores = _means([match_class(pairs, c.value) for c in pairs.classes], None)
    return scores["map50"], scores["map"]


def _intervals(
    drawn: Callable[[NDArray[np.int64]], Mapping[str, float]], many: int, resamples: int, seed: int
) -> dict[str, Interval]:
    return resampled_interval(drawn, many, resamples, seed) if many > 1 and resamples else {}


def _groups(pairs: BoxPairs) -> NDArray[np.int64]:
    """Return a number per image, the same for those of one patient."""
    keys = [("patient", pairs.groups[name]) if name in pairs.groups else ("image", name) for name in pairs.truth]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def _means(found: list[ClassMatches], weights: NDArray[np.int64] | None) -> dict[str, float]:
    precision = np.array([average_precision(each, weights) for each in found])
    rates = np.array([sensitivities(each, weights) for each in found])
    there = ~np.isnan(precision[:, 0])
    if not there.any():
        return {"map50": float("nan"), "map": float("nan"), "froc": float("nan")}
    means = precision[there].mean(axis=0)
    return {"map50": float(means[0]), "map": float(means.mean()), "froc": float(rates[there].mean())}


def _one_class(matches: ClassMatches, threshold: float | None) -> DetectedClass:
    ap, rates = average_precision(matches), sensitivities(matches)
    total = int(matches.truth.sum())
    precision, recall, score = precision_recall(matches)
    at: int | None = None
    if len(score) and total:
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        at = int(f1.argmax()) if threshold is None else int((score >= threshold).sum()) - 1
    found = (0.0, 0.0) if at is None or at < 0 else (float(precision[at]), float(recall[at]))
    limit = threshold if threshold is not None else None if at is None else float(score[at])
    return DetectedClass(
        boxes=total,
        predicted=len(matches.score),
        ap50=_defined(ap[0]),
        ap=_defined(ap.mean()),
        froc=_defined(rates.mean()),
        sensitivity={f"{rate:g}": float(value) for rate, value in zip(RATES, rates, strict=True)} if total else {},
        threshold=limit,
        precision=found[0] if total else None,
        recall=found[1] if total else None,
        f1=2 * found[0] * found[1] / max(sum(found), 1e-12) if total else None,
    )


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
