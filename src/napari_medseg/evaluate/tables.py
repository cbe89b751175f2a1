"""Tables of predicted probabilities and of true classes, brought together by image."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.answers import THERE, decided
from napari_medseg.data.labelled.listing import LabelledImages, open_npz
from napari_medseg.data.labelled.table import BETWEEN, REGION_MARK, SLICE_MARK, Row, classes_in, read_table
from napari_medseg.errors import DataError

PREFIX = "p_"
PART_OF = re.compile(rf"(.*?)((?:[{SLICE_MARK}{REGION_MARK}]\d+)?)", re.DOTALL)
"""A file's name, and the number of a slice or region in it."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities and truth of the images that have both."""

    classes: tuple[str, ...]
    images: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """(image, class)"""
    truth: NDArray[np.int64]
    """(image,) class index; (image, class) of 0 and 1 where an image may have several."""
    missing: tuple[str, ...] = ()
    """Images with a true class and no prediction."""

    @property
    def several(self) -> bool:
        """Whether an image may have any number of classes."""
        return self.truth.ndim == 2

    def actual(self, number: int) -> NDArray[np.bool_]:
        """Return which images are of a class in truth."""
        found = self.truth[:, number] > 0 if self.several else self.truth == number
        return np.asarray(found, bool)

    def said(self, number: int, ordered: bool = False) -> NDArray[np.bool_]:
        """Return which images are of a class by prediction."""
        if self.several:
            return np.asarray(self.probabilities[:, number] >= THERE)
        return np.asarray(decided(self.probabilities, "ordered" if ordered else "classes") == number)


def read_answers(predictions: Path, references: Path) -> Answers:
    """Read both tables.

    Parameters
    ----------
    predictions : Path
        ``predictions.csv``, or the folder that holds it.
    references : Path
        CSV with ``image`` and ``label``, or an npz file as of MedMNIST. Where it names a part ``test``, that part
        alone is scored.

    Raises
    ------
    DataError
        If they do not fit together.
    """
    classes, found = _read_predictions(predictions / "predictions.csv" if predictions.is_dir() else predictions)
    rows, several = _references(references)
    if any(row.part == "test" for row in rows):
        rows = [row for row in rows if row.part == "test"]
    index = {name: number for number, name in enumerate(classes)}
    said = {name for row in rows for name in (classes_in(row.label) if several else (row.label,))}
    unknown = sorted(said - index.keys())
    if unknown:
        raise DataError(f"The class {unknown[0]!r} is not among those predicted: {', '.join(classes)}.", "Rename it.")
    keys = _Keys(list(found))
    matched = [(row, keys.find(row.name or row.image)) for row in rows]
    both = [(row, name) for row, name in matched if name is not None]
    if not both:
        raise DataError(
            f"No image of {references.name} is among the predictions, such as {rows[0].image if rows else 'none'}.",
            "Name images alike in both, with or without folder and suffix.",
        )
    return Answers(
        classes,
        tuple(row.name or row.image for row, _name in both),
        np.array([found[name] for _row, name in both]),
        np.array([_truth(row.label, index, several) for row, _name in both], np.int64),
        tuple(row.name or row.image for row, name in matched if name is None),
    )


def _truth(label: str, index: dict[str, int], several: bool) -> int | list[int]:
    return [int(name in classes_in(label)) for name in index] if several else index[label]


def _references(path: Path) -> tuple[list[Row], bool]:
    """Return the rows, and whether an image may have several classes."""
    if path.suffix.lower() == ".npz":
        pictures, labels, parts = open_npz(path)
        if labels is None:
            raise DataError(f"{path.name} has no labels.", "Give a file with labels.")
        several = labels.ndim == 2
        words = (
            [BETWEEN.join(map(str, np.flatnonzero(row))) for row in labels] if several else map(str, labels.tolist())
        )
        return [Row(name, word, part) for name, word, part in zip(pictures.names, words, parts, strict=True)], several
    if path.is_dir():
        return rows_of_folder(path), False
    table = read_table(path)
    return list(table.rows), table.classes is not None


def rows_of_folder(folder: Path) -> list[Row]:
    """Return the images of a folder with one folder per class, as a table has them."""
    from napari_medseg.data.labelled.listing import find_labelled

    found: LabelledImages = find_labelled(folder)
    known = zip(found.pictures.names, found.labels.tolist(), found.parts, strict=True)
    return [Row(name, found.classes[label], part) for name, label, part in known]


def _read_predictions(path: Path) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns: Sequence[str] = reader.fieldnames or ()
            probable = [name for name in columns if name.startswith(PREFIX)]
            if "image" not in columns or len(probable) < 2:
                raise DataError(
                    f"{path.name} has no columns image and p_<class>.", "It must be as `predict` writes it."
                )
            found = {row["image"]: [float(row[name]) for name in probable] for row in reader}
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as predictions ({error}).", "Predict again.") from error
    return tuple(name.removeprefix(PREFIX) for name in probable), found


class _Keys:
    """Finds images by name, also where one table says more of the path or the suffix than the other."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = set(names)
        self._short: dict[str, list[str]] = {}
        for name in names:
            for key in _shorter(name):
                self._short.setdefault(key, []).append(name)

    def find(self, name: str) -> str | None:
        if name in self._names:
            return name
        for key in (name, *_shorter(name)):
            candidates = self._short.get(key, [])
            if len(candidates) == 1:
                return candidates[0]
        return None


def _shorter(name: str) -> tuple[str, ...]:
    """Return a name without suffix, without folders, and without both; the number of a slice or region stays."""
    whole, number = PART_OF.fullmatch(name.replace("\\", "/")).groups()  # type: ignore[union-attr]
    path = PurePosixPath(whole)
    base = path.name
    bare = base.removesuffix(".gz").rpartition(".")[0] or base
    parent = path.parent.as_posix()
    found = (bare if parent == "." else f"{parent}/{bare}", base, bare)
    return tuple(dict.fromkeys(f"{key}{number}" for key in found))
