"""How sure a mean over cases is, and whether two models differ on the same cases."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

RESAMPLES = 2000
"""Of the cases, with replacement."""


class Interval(BaseModel):
    """Range that holds the mean over cases like these, with a confidence."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    low: float
    high: float
    cases: int
    """How many cases it is from."""


class PairedTest(BaseModel):
    """Whether one model scores otherwise than another one on the same cases."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cases: int
    """Cases in which the score is defined for both."""
    difference: float
    """Mean of the first model's score minus the second's."""
    interval: Interval | None
    """Of the mean difference; None for fewer than two cases."""
    p: float
    """Of the Wilcoxon signed-rank test, two-sided; 1 where no case differs."""
    p_holm: float
    """The same, corrected by Holm's method for the number of classes that were tested."""


def bootstrap_interval(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval | None:
    """Return the bias-corrected and accelerated bootstrap interval of a mean.

    Parameters
    ----------
    values : sequence of float
        One per case.
    confidence : float
        Share of intervals that would hold the mean.
    seed : int
        Of the resampling: the same values give the same interval.

    Returns
    -------
    Interval or None
        None for fewer than two values. Where the correction is undefined, as for values that are nearly all equal, the
        interval of plain percentiles.

    Examples
    --------
    >>> bootstrap_interval([0.9, 0.9, 0.9])
    Interval(low=0.9, high=0.9, cases=3)
    """
    from scipy.stats import bootstrap

    data = np.asarray(values, float)
    if len(data) < 2:
        return None
    if np.ptp(data) == 0:
        return Interval(low=float(data[0]), high=float(data[0]), cases=len(data))
    found = None
    for method in ("BCa", "percentile"):
        with np.errstate(all="ignore"):
            found = bootstrap(
                (data,),
                np.mean,
                confidence_level=confidence,
                n_resamples=RESAMPLES,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite([found.low, found.high]).all():
            break
    assert found is not None
    return Interval(low=float(found.low), high=float(found.high), cases=len(data))


def resampled_interval(
    scores: Callable[[NDArray[np.int64]], Mapping[str, float]],
    cases: int,
    resamples: int,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return percentile bootstrap intervals of scores that are no means over cases, such as the area under a curve.

    Parameters
    ----------
    scores : callable
        Gets the numbers of drawn cases, (cases,), and returns scores by name; nan where one is undefined.
    cases : int
        To draw from, with replacement.
    resamples : int
        Draws.
    seed : int
        Of the draws: the same cases give the same intervals.

    Returns
    -------
    dict of str to Interval
        Of 95 %, of those that were defined in more than half of the draws.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(resamples):
        for name, value in scores(rng.integers(0, cases, cases)).items():
            if np.isfinite(value):
                drawn.setdefault(name, []).append(value)
    found = {}
    for name, values in drawn.items():
        if len(values) > resamples / 2:
            low, high = np.percentile(values, [2.5, 97.5])
            found[name] = Interval(low=float(low), high=float(high), cases=cases)
    return found


def paired_tests(
    pairs: Mapping[str, tuple[Sequence[float], Sequence[float]]], confidence: float = 0.95, seed: int = 0
) -> dict[str, PairedTest]:
    """Compare two models, class by class.

    Parameters
    ----------
    pairs : dict of str to two sequences of float
        By class, the scores of both models on the same cases.
    confidence, seed : float, int
        Of the interval of the difference.

    Returns
    -------
    dict of str to PairedTest
        Of the classes with at least one case.
    """
    differences = {name: np.subtract(*map(np.asarray, both)) for name, both in pairs.items() if len(both[0])}
    p = {name: _wilcoxon(values) for name, values in differences.items()}
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    return {
        name: PairedTest(
            cases=len(values),
            difference=float(values.mean()),
            interval=bootstrap_interval(values.tolist(), confidence, seed),
            p=p[name],
            p_holm=corrected[name],
        )
        for name, values in differences.items()
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's step-down method.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, float(p_values[index]) * (len(p_values) - rank)))
        corrected[int(index)] = largest
    return corrected


def _wilcoxon(differences: np.ndarray) -> float:
    from scipy.stats import wilcoxon

    # The test leaves out cases without a difference; without any other case there is nothing to test.
    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
