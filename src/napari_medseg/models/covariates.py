"""What a classification is told beside the image, as numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.models.spec import Covariate

FEWEST_NUMBERS = 0.5
"""Share of the known entries of a column that must be numbers, for those that are not to be mistakes."""
UNKNOWN = ("", "na", "nan", "n/a", "none", "?", "unknown")
MOST_WORDS = 20
"""Different words in a column of words."""


def describe(name: str, entries: Sequence[str]) -> Covariate:
    """Return what a column of a table holds: numbers, or words.

    Parameters
    ----------
    name : str
        Heading.
    entries : sequence of str
        Of the training data.

    Raises
    ------
    DataError
        If it holds nothing that can be told apart.

    Examples
    --------
    >>> describe("age", ["40", "60", ""]).mean, describe("sex", ["f", "m", "f"]).values
    (50.0, ('f', 'm'))
    """
    known = [entry for entry in entries if entry.lower() not in UNKNOWN]
    numbers = [value for value in map(_number, known) if value is not None]
    if known and len(numbers) > FEWEST_NUMBERS * len(known):
        wrong = next((entry for entry in known if _number(entry) is None), None)
        if wrong is not None:
            raise DataError(f"The column {name} holds {wrong!r} among numbers.", "Mend it, or leave it empty.")
        return Covariate(name=name, mean=float(np.mean(numbers)), deviation=float(np.std(numbers)) or 1.0)
    words = sorted(set(known))
    if not 2 <= len(words) <= MOST_WORDS:
        raise DataError(
            f"The column {name} holds {len(words)} different words; 2 to {MOST_WORDS} can be learnt from.",
            "Leave it out.",
        )
    return Covariate(name=name, values=tuple(words))


def fact_count(covariates: Sequence[Covariate]) -> int:
    """Return how many numbers stand for covariates."""
    return sum(max(len(covariate.values), 1) for covariate in covariates)


def encode(covariates: Sequence[Covariate], rows: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """Return the numbers that stand for covariates.

    Parameters
    ----------
    covariates : sequence of Covariate
        As of the model.
    rows : sequence of sequence of str
        Entries of each image, in the order of `covariates`.

    Returns
    -------
    (row, number) float32 array
        Numbers in standard deviations from the mean, words as 0 and 1; what is not known is 0.

    Examples
    --------
    >>> age, sex = Covariate(name="age", mean=50, deviation=10), Covariate(name="sex", values=("f", "m"))
    >>> encode([age, sex], [["60", "m"], ["", "x"]]).tolist()
    [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    numbers = [[value for pair in zip(covariates, row, strict=True) for value in _encoded(*pair)] for row in rows]
    return np.array(numbers, np.float32).reshape(len(rows), fact_count(covariates))


def _encoded(covariate: Covariate, entry: str) -> list[float]:
    if covariate.values:
        return [float(entry == value) for value in covariate.values]
    number = _number(entry)
    return [0.0 if number is None else (number - covariate.mean) / covariate.deviation]


def _number(entry: str) -> float | None:
    try:
        value = float(entry)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
