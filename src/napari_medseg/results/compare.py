"""Two label maps of one image side by side: scores per class, and where they differ."""

import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.label_array import labels_on
from napari_medseg.evaluate import ClassScores, score_case
from napari_medseg.prediction import LabelMap
from napari_medseg.progress import Control, Event, with_time_left
from napari_medseg.results.label_map import PLANES, label_map, values_in
from napari_medseg.results.table import Cell
from napari_medseg.volume import LabelClass, Volume

AGREE, ADDED, MISSED, CONFUSED = range(4)
ERRORS = (
    LabelClass(value=AGREE, name="agree"),
    LabelClass(value=ADDED, name="only in the first", color="#ff00ff"),
    LabelClass(value=MISSED, name="only in the second", color="#00ffff"),
    LabelClass(value=CONFUSED, name="another class", color="#ffff00"),
)
"""What `errors` holds: with the second map as the reference, false positive, false negative and a wrong class."""


@dataclass(frozen=True)
class Comparison:
    """How well two label maps agree."""

    scores: dict[str, ClassScores]
    """By class name."""
    tolerance: float
    """Distance that counts as agreement of surfaces."""
    unit: str
    """Of distances: ``"mm"``, or ``"voxels"`` without geometry."""

    def rows(self) -> list[dict[str, Cell]]:
        """Return a row per class; headings name the unit."""
        nsd = f"NSD at {self.tolerance:g} {self.unit}"
        return [
            {
                "class": name,
                "Dice": found.dice,
                f"HD95 ({self.unit})": found.hd95,
                nsd: found.nsd,
                "first (ml)": found.predicted_ml,
                "second (ml)": found.reference_ml,
                "difference (ml)": found.volume_error_ml,
            }
            for name, found in self.scores.items()
        ]


def comparing(
    first: Volume, second: Volume, tolerance: float = 1.0, control: Control | None = None
) -> Generator[Event, None, Comparison]:
    """Score the first label map against the second, class by class.

    Parameters
    ----------
    first, second : Volume
        Label maps on one grid; classes are the same if their values are, whatever their names.
    tolerance : float
        Distance that counts as agreement of surfaces, in mm (in voxels without geometry).
    control : Control, optional
        Cancels between two classes.

    Yields
    ------
    Event
        `Progress` per class.

    Returns
    -------
    Comparison
        Of every class that occurs in either.

    Raises
    ------
    DataError
        If the grids differ.
    """
    one, other = label_map(first), label_map(second)
    names = {entry.value: entry.name for entry in (*second.classes, *first.classes)}
    values = sorted({*values_in(one.labels), *values_in(other.labels)})
    started, scores = time.monotonic(), {}
    for done, value in enumerate(values):
        if control is not None:
            control.checkpoint()
        yield with_time_left("Comparing", len(values), started, done)
        a, b = (_only(value, found, like) for found, like in ((one, first), (other, second)))
        name = names.get(value, f"class {value}")
        (scores[name if name not in scores else f"{name} ({value})"],) = score_case(a, b, tolerance=tolerance).values()
    known = first.geometry is not None and second.geometry is not None
    return Comparison(scores, tolerance, "mm" if known else "voxels")


def _only(value: int, found: LabelMap, like: Volume) -> Volume:
    """Return a label map of one class."""
    return Volume((found.labels == value).astype(np.uint8), like.geometry, name=like.name, kind="labels")


def errors(first: Volume, second: Volume) -> LabelMap:
    """Return where two label maps on one grid differ, as the classes of `ERRORS`.

    Examples
    --------
    >>> one, other = (Volume(np.array(v, np.uint8), None, kind="labels") for v in ([[0, 1, 1, 1]], [[0, 1, 0, 2]]))
    >>> errors(one, other).labels
    array([[0, 0, 1, 3]], dtype=uint8)
    """
    b = label_map(second).labels
    turned = labels_on(first, b.shape, second.geometry, f"{first.name} and {second.name}", "first labels")
    a = label_map(Volume(turned, second.geometry, name=first.name, kind="labels")).labels
    found = np.empty(a.shape, np.uint8)
    for start in range(0, len(a), PLANES):
        part = slice(start, start + PLANES)
        found[part] = _differences(a[part], b[part])
    return LabelMap(found, ERRORS)


def _differences(a: NDArray[np.unsignedinteger], b: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    kinds = np.select([b == 0, a == 0], [ADDED, MISSED], CONFUSED).astype(np.uint8)
    return np.where(a == b, np.uint8(AGREE), kinds)
