"""From probabilities to answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.table import BETWEEN
from napari_medseg.prediction import OutputKind

THERE = 0.5
"""Probability from which a class is there, where an image may have several."""


def decided(probable: NDArray[np.float64], output: OutputKind = "classes") -> NDArray[np.int64]:
    """Return the (image,) class index: the likeliest class, or the median grade.

    Examples
    --------
    >>> decided(np.array([[0.4, 0.25, 0.35]])), decided(np.array([[0.4, 0.25, 0.35]]), "ordered")
    (array([0]), array([1]))
    """
    if output == "ordered":
        above = 1 - np.cumsum(probable, axis=1)[:, :-1]
        return np.asarray((above > THERE).sum(axis=1), np.int64)
    return np.asarray(probable.argmax(axis=1), np.int64)


def answers_of(probable: NDArray[np.float64], classes: Sequence[str], output: OutputKind = "classes") -> list[str]:
    """Return the answer for each image in words; several classes have a bar between them.

    Parameters
    ----------
    probable : (image, class) array
        Probabilities.
    classes : sequence of str
        Names.
    output : str
        As `ModelSpec.output`.
    """
    if output == "several":
        return [BETWEEN.join(name for name, p in zip(classes, row, strict=True) if p >= THERE) for row in probable]
    return [classes[k] for k in decided(probable, output)]
