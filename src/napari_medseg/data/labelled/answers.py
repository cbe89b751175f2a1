"""From probabilities to answers, and to the table that says them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.table import BETWEEN
from napari_medseg.io.writing import replacing
from napari_medseg.models.spec import ModelSpec
from napari_medseg.prediction import OutputKind

THERE = 0.5
"""Probability from which a class is there, where an image may have several."""


@dataclass(frozen=True, eq=False)
class Classified:
    """Answers for images; those that could not be read have nan."""

    names: tuple[str, ...]
    """Of images, and of slices and regions as ``image:slice`` and ``image#region``."""
    probabilities: NDArray[np.float64]
    """(image, class)"""


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


def rows_of(found: Classified, spec: ModelSpec) -> list[list[str]]:
    """Return the lines of ``predictions.csv``: ``image,predicted,p_<class>...``, headings first.

    Several classes have a bar between them. Images without an answer are left out.
    """
    classes = [c.name for c in spec.classes]
    lines = [["image", "predicted", *(f"p_{name}" for name in classes)]]
    usable = [bool(np.isfinite(values).all()) for values in found.probabilities]
    words = answers_of(found.probabilities, classes, spec.output)
    for name, values, word, fine in zip(found.names, found.probabilities, words, usable, strict=True):
        if fine:
            lines.append([name, word, *(f"{value:.6g}" for value in values)])
    return lines


def write_rows(rows: Sequence[Sequence[str]], path: Path) -> Path:
    """Write a table as CSV, whole or not at all, and return its path."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path
