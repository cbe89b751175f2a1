"""Scores of predicted grades, in which near misses count less than far ones."""

import numpy as np
from numpy.typing import NDArray


def quadratic_kappa(truth: NDArray[np.int64], guess: NDArray[np.int64], count: int) -> float:
    """Return Cohen's kappa with squared distances as weights; 0 is chance, nan where all is of one grade.

    Parameters
    ----------
    truth, guess : (image,) int array
        Grades, from 0 on.
    count : int
        Number of grades.

    Examples
    --------
    >>> quadratic_kappa(np.array([0, 1, 2]), np.array([0, 1, 2]), 3)
    1.0
    """
    found = np.bincount(truth * count + guess, minlength=count**2).reshape(count, count) / max(len(truth), 1)
    expected = np.outer(found.sum(axis=1), found.sum(axis=0))
    distance = np.square(np.subtract.outer(np.arange(count), np.arange(count)))
    chance = float((distance * expected).sum())
    return 1 - float((distance * found).sum()) / chance if chance else float("nan")


def grade_error(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    """Return the mean number of grades between truth and answer.

    Examples
    --------
    >>> grade_error(np.array([0, 2]), np.array([1, 2]))
    0.5
    """
    return float(np.abs(truth - guess).mean())
