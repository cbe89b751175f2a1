"""Scores where an image may have any number of classes: each class is a question of its own."""

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.answers import THERE
from napari_medseg.evaluate.ranking import area_under_pr, area_under_roc
from napari_medseg.evaluate.reliability import binned


def several_scores(truth: NDArray[np.integer], probable: NDArray[np.float64]) -> dict[str, float]:
    """Return all scores by name; nan where one is undefined.

    Parameters
    ----------
    truth : (image, class) array of 0 and 1
        Which classes are there.
    probable : (image, class) array
        Probabilities.

    Returns
    -------
    dict of str to float
        ``accuracy`` (right answers over all images and classes), ``exact_match`` (images with all answers right),
        ``precision``, ``recall`` and ``f1`` (means over classes that occur), ``roc_auc`` and ``pr_auc`` (likewise),
        ``brier`` (mean squared error of all probabilities) and ``ece`` (calibration error of all answers).
    """
    real, guess = np.asarray(truth > 0), probable >= THERE
    right = guess == real
    hits, actual, said = (guess & real).sum(axis=0), real.sum(axis=0), guess.sum(axis=0)
    there = actual > 0
    return {
        "accuracy": float(right.mean()),
        "exact_match": float(right.all(axis=1).mean()),
        "precision": _mean(hits[there] / np.maximum(said[there], 1)),
        "recall": _mean(hits[there] / actual[there]),
        "f1": _mean(2 * hits[there] / (actual[there] + said[there])),
        "roc_auc": several_auc(real, probable),
        "pr_auc": _mean([area_under_pr(real[:, k], probable[:, k]) for k in np.flatnonzero(there)]),
        "brier": float(np.square(probable - real).mean()),
        "ece": _calibration(truth, probable),
    }


def several_auc(truth: NDArray[np.bool_], probable: NDArray[np.float64]) -> float:
    """Return the mean area under the ROC curves of the classes that some images have and some have not.

    Examples
    --------
    >>> several_auc(np.array([[True], [False]]), np.array([[0.9], [0.2]]))
    1.0
    """
    return _mean([area_under_roc(truth[:, k], probable[:, k]) for k in range(truth.shape[1])])


def reliability_of_several(truth: NDArray[np.integer], probable: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and number of the answers in each bin of confidence that has some."""
    sure = np.maximum(probable, 1 - probable).ravel()
    return binned(sure, ((probable >= THERE) == (truth > 0)).ravel())


def _calibration(truth: NDArray[np.integer], probable: NDArray[np.float64]) -> float:
    return sum(abs(sure - right) * many for sure, right, many in reliability_of_several(truth, probable)) / truth.size


def _mean(values: "list[float] | NDArray[np.float64]") -> float:
    defined = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(defined)) if defined else float("nan")
