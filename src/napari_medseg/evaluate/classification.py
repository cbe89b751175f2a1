"""Scores of predicted classes and probabilities; scikit-learn does the sums."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from napari_medseg.data.labelled.answers import THERE, decided
from napari_medseg.errors import DataError
from napari_medseg.evaluate.multilabel import reliability_of_several, several_scores
from napari_medseg.evaluate.ordinal import grade_error, quadratic_kappa
from napari_medseg.evaluate.ranking import area_under_pr, area_under_roc
from napari_medseg.evaluate.reliability import binned
from napari_medseg.evaluate.statistics import Interval, bootstrap_interval, resampled_interval
from napari_medseg.evaluate.tables import Answers
from napari_medseg.prediction import OutputKind

if TYPE_CHECKING:
    from collections.abc import Callable

WORK = 2_000_000
"""Images times classes times resamples that the intervals may take."""
MOST, FEWEST = 1000, 200
"""Resamples of the images."""


class ThresholdScores(BaseModel):
    """What a threshold on one class's probability gives."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    threshold: float
    """An image is of the class if its probability is at least this."""
    sensitivity: float
    specificity: float


class OneClass(BaseModel):
    """Scores of one class against the rest; None where undefined."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    images: int
    """Of this class in truth."""
    precision: float
    recall: float
    f1: float
    roc_auc: float | None
    pr_auc: float | None
    at_sensitivity: ThresholdScores | None = None
    """The highest threshold that reaches the wanted sensitivity."""


class ClassificationReport(BaseModel):
    """How good predictions are."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    images: int
    missing: tuple[str, ...]
    """Images with a true class and no prediction; they are in no score."""
    scores: dict[str, float | None]
    """``accuracy``, ``balanced_accuracy``, ``precision``, ``recall`` and ``f1`` (means over classes), ``roc_auc`` and
    ``pr_auc`` (of two classes: of the second one; of more: means over classes), ``kappa``, ``brier`` and ``ece``; of
    grades also ``grade_error`` and ``quadratic_kappa``. Where images may have several classes, those of
    `napari_medseg.evaluate.multilabel.several_scores`."""
    intervals: dict[str, Interval]
    """95 % bootstrap intervals over images."""
    classes: dict[str, OneClass]
    confusion: list[list[int]]
    """Images by true class (rows) and predicted class (columns); empty where images may have several."""


def evaluate_classification(
    answers: Answers, sensitivity: float | None = None, seed: int = 0, ordered: bool = False
) -> ClassificationReport:
    """Score predictions.

    Parameters
    ----------
    answers : Answers
        Probabilities and truth.
    sensitivity : float, optional
        In (0, 1]: for each class, the highest threshold that reaches it is looked for.
    seed : int
        Of the bootstrap.
    ordered : bool
        Whether the classes are grades, in the order of the predictions' columns.

    Raises
    ------
    DataError
        If images have several classes that are said to be grades.
    """
    truth, probable = answers.truth, answers.probabilities
    if answers.several and ordered:
        raise DataError("The references name several classes for an image, which are no grades.", "Leave it out.")
    score: Callable[[NDArray[np.int64], NDArray[np.float64]], dict[str, float]]
    score = several_scores if answers.several else partial(scores_of, ordered=ordered)
    each = _each_image(answers, ordered)
    resamples = int(np.clip(WORK / max(probable.size, 1), FEWEST, MOST))
    intervals = resampled_interval(lambda k: score(truth[k], probable[k]), len(truth), resamples, seed)
    for name, values in each.items():
        if (interval := bootstrap_interval(values.astype(float).tolist(), seed=seed)) is not None:
            intervals[name] = interval
    return ClassificationReport(
        images=len(truth),
        missing=answers.missing,
        scores={name: _defined(value) for name, value in score(truth, probable).items()},
        intervals=intervals,
        classes={
            name: _one_class(answers.actual(k), answers.said(k, ordered), probable[:, k], sensitivity)
            for k, name in enumerate(answers.classes)
        },
        confusion=[] if answers.several else _confusion(truth, decided(probable, _kind(ordered)), probable.shape[1]),
    )


def _kind(ordered: bool) -> OutputKind:
    return "ordered" if ordered else "classes"


def _each_image(answers: Answers, ordered: bool) -> dict[str, NDArray[np.generic]]:
    """Return the scores that are means over images, of each image."""
    truth, probable = answers.truth, answers.probabilities
    if answers.several:
        right = (probable >= THERE) == truth
        return {"accuracy": right.mean(axis=1), "exact_match": right.all(axis=1)}
    return {"accuracy": decided(probable, _kind(ordered)) == truth, "brier": _brier(truth, probable)}


def _confusion(truth: NDArray[np.int64], guess: NDArray[np.int64], count: int) -> list[list[int]]:
    found = np.bincount(truth * count + guess, minlength=count**2).reshape(count, count)
    rows: list[list[int]] = found.tolist()
    return rows


def scores_of(truth: NDArray[np.int64], probable: NDArray[np.float64], ordered: bool = False) -> dict[str, float]:
    """Return all scores by name; nan where one is undefined.

    Parameters
    ----------
    truth : (image,) int array
        Class indices.
    probable : (image, class) array
        Probabilities.
    ordered : bool
        Whether the classes are grades.
    """
    count = probable.shape[1]
    guess = decided(probable, _kind(ordered))
    confusion = np.array(_confusion(truth, guess, count), float)
    right, actual, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    there = actual > 0
    recall = right[there] / actual[there]
    precision = right[there] / np.maximum(said[there], 1)
    expected = float((actual * said).sum()) / len(truth) ** 2
    accuracy = float(right.sum()) / len(truth)
    return {
        "accuracy": accuracy,
        "balanced_accuracy": float(recall.mean()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1": float((2 * right[there] / (actual[there] + said[there])).mean()),
        "roc_auc": macro_auc(truth, probable),
        "pr_auc": _macro_pr(truth, probable),
        "kappa": (accuracy - expected) / (1 - expected) if expected < 1 else float("nan"),
        "brier": float(_brier(truth, probable).mean()),
        "ece": calibration_error(truth, probable),
        **(
            {"grade_error": grade_error(truth, guess), "quadratic_kappa": quadratic_kappa(truth, guess, count)}
            if ordered
            else {}
        ),
    }


def macro_auc(truth: NDArray[np.int64], probable: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: of the second of two classes, or the mean of each against the rest.

    Classes without images on both sides are left out; nan if none is left.

    Examples
    --------
    >>> macro_auc(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.2, 0.8]]))
    0.75
    """
    chosen = [1] if probable.shape[1] == 2 else range(probable.shape[1])
    found = [area_under_roc(truth == k, probable[:, k]) for k in chosen]
    defined = [value for value in found if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _macro_pr(truth: NDArray[np.int64], probable: NDArray[np.float64]) -> float:
    chosen = [1] if probable.shape[1] == 2 else range(probable.shape[1])
    found = [area_under_pr(truth == k, probable[:, k]) for k in chosen if (truth == k).any()]
    return float(np.mean(found)) if found else float("nan")


def _brier(truth: NDArray[np.int64], probable: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of each image's probabilities from the truth, summed over classes."""
    wanted = np.eye(probable.shape[1])[truth]
    return np.asarray(np.square(probable - wanted).sum(axis=1))


def reliability(answers: Answers) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and number of answers of each bin of confidence that has answers."""
    if answers.several:
        return reliability_of_several(answers.truth, answers.probabilities)
    return _reliability(answers.truth, answers.probabilities)


def _reliability(truth: NDArray[np.int64], probable: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    return binned(probable.max(axis=1), probable.argmax(axis=1) == truth)


def calibration_error(truth: NDArray[np.int64], probable: NDArray[np.float64]) -> float:
    """Return the expected calibration error: the mean distance of confidence from accuracy, over bins of confidence.

    Examples
    --------
    >>> calibration_error(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    0.5
    """
    return sum(abs(sure - right) * many for sure, right, many in _reliability(truth, probable)) / len(truth)


def _one_class(
    actual: NDArray[np.bool_], said: NDArray[np.bool_], score: NDArray[np.float64], sensitivity: float | None
) -> OneClass:
    hits = int((actual & said).sum())
    precision, recall = hits / max(int(said.sum()), 1), hits / max(int(actual.sum()), 1)
    f1 = 2 * hits / max(int(actual.sum() + said.sum()), 1)
    both = 0 < int(actual.sum()) < len(actual)
    return OneClass(
        images=int(actual.sum()),
        precision=precision,
        recall=recall,
        f1=f1,
        roc_auc=_defined(area_under_roc(actual, score)),
        pr_auc=area_under_pr(actual, score) if both else None,
        at_sensitivity=threshold_at(actual, score, sensitivity) if sensitivity is not None and both else None,
    )


def threshold_at(actual: NDArray[np.bool_], score: NDArray[np.float64], sensitivity: float) -> ThresholdScores:
    """Return the highest threshold on a score with at least the wanted sensitivity.

    Examples
    --------
    >>> threshold_at(np.array([True, True, False]), np.array([0.9, 0.4, 0.6]), 0.5).threshold
    0.9
    """
    positives = np.sort(score[actual])[::-1]
    threshold = positives[max(int(np.ceil(sensitivity * len(positives) - 1e-9)), 1) - 1]
    found = score >= threshold
    return ThresholdScores(
        threshold=float(threshold),
        sensitivity=float(found[actual].mean()),
        specificity=float((~found[~actual]).mean()),
    )


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
