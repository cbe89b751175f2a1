"""Which prediction belongs to which reference."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_medseg.errors import DataError
from napari_medseg.io.case_names import same_names, without_ends
from napari_medseg.io.format import stem
from napari_medseg.io.named import by_stem

COLUMN = "reference"
LABEL_MAPS = "label maps"


@dataclass(frozen=True)
class Pair:
    """A case to score."""

    name: str
    predicted: Path | None
    """None if there is no prediction."""
    reference: Path


def pair(predictions: Path, references: Path, cases: Sequence[str] | None = None) -> list[Pair]:
    """Return the prediction and the reference of each case.

    Parameters
    ----------
    predictions : Path
        Folder of label maps, or one of them.
    references : Path
        Folder of label maps of the same names without suffix, but for a common end (see `same_names`); or one label
        map; or a CSV file with the column ``reference`` and, if wanted, ``prediction`` and ``case``: paths relative to
        the file.
    cases : sequence of str, optional
        Names of the cases to score; all references if None.

    Returns
    -------
    list of Pair
        One per reference, whether there is a prediction or not.

    Raises
    ------
    DataError
        If there is no reference, not one prediction, a name occurs twice, or a case that was asked for has no
        reference.
    """
    ends = ("", "")
    if references.suffix.lower() == ".csv":
        found = _listed(predictions, references)
    elif predictions.is_file() and references.is_file():
        found = [Pair(stem(references), predictions, references)]
    else:
        predicted, truth, ends = same_names(by_stem(predictions, LABEL_MAPS), by_stem(references, LABEL_MAPS))
        found = [Pair(name, predicted.get(name), path) for name, path in truth.items()]
    if cases is not None:
        found = _chosen(found, without_ends(cases, {each.name for each in found}, ends), references)
    missing = [each.name for each in found if each.predicted is None]
    if len(missing) == len(found):
        raise DataError(
            f"{len(missing)} of {len(found)} references have no prediction in {predictions}, such as {missing[0]}.",
            "Give the predictions the names of their references.",
        )
    return found


def _chosen(found: list[Pair], cases: Sequence[str], references: Path) -> list[Pair]:
    known = {each.name: each for each in found}
    unknown = [name for name in cases if name not in known]
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(cases)} cases have no reference in {references}, such as {unknown[0]}.",
            "Name the cases as their files, without suffix.",
        )
    return [known[name] for name in dict.fromkeys(cases)]


def _listed(predictions: Path, path: Path) -> list[Pair]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [{(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
                    for row in csv.DictReader(file)]  # fmt: skip
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}).", "Save it as CSV in UTF-8.") from error
    if not rows or COLUMN not in rows[0]:
        raise DataError(f"{path.name} has no column {COLUMN!r}.", "Its first line is: reference,prediction,case.")
    known = {} if all(row.get("prediction") for row in rows) else by_stem(predictions, LABEL_MAPS)
    found = []
    for row in rows:
        reference = path.parent / row[COLUMN]
        name = row.get("case") or stem(reference)
        given = path.parent / row["prediction"] if row.get("prediction") else known.get(name)
        found.append(Pair(name, given if given is not None and given.exists() else None, reference))
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path.name} names the case {twice} twice.", "Give each row a case of its own.")
    return found
