"""How well a score ranks images of a class before others."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def area_under_roc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve; nan without images on both sides.

    Examples
    --------
    >>> area_under_roc(np.array([False, True, True]), np.array([0.2, 0.1, 0.9]))
    0.5
    """
    # The Mann-Whitney statistic, as resampling asks for it many times.
    many = int(positive.sum())
    if many in (0, len(positive)):
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * (len(positive) - many)))


def area_under_pr(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the average precision; nan without positive images."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(positive, score)) if positive.any() else float("nan")
