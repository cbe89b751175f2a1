"""Tables that say what images show: one class, several, or the class of a slice or of a box."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_medseg.errors import DataError

PART_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
GROUPS = ("group", "patient", "patient_id", "patientid", "subject", "subject_id")
"""Columns that say which images belong together."""
LABELS = ("label", "class", "target", "diagnosis")
BOX = ("zmin", "ymin", "xmin", "zmax", "ymax", "xmax")
"""Columns of a box in voxel indices; the last voxel is not in it."""
FURTHER = re.compile(r"image_?([2-9])")
"""Columns of further images of the same place, such as another sequence, in the order of their numbers."""
BETWEEN = "|"
"""Stands between the classes of an image that has several."""
YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
SLICE_MARK, REGION_MARK = ":", "#"

Box = tuple[slice, ...]
"""Part of an image, along ([z,] y, x)."""


@dataclass(frozen=True)
class Row:
    """One line of a table of labels."""

    image: str
    """Name of the file."""
    label: str
    """Class; of several, with `BETWEEN` between them."""
    part: str = ""
    group: str = ""
    name: str = ""
    """Of what is classified: that of the file, with the number of a slice or a region in it."""
    more: tuple[str, ...] = ()
    """Names of further images of the same place."""
    box: Box | None = None
    """What part of the image it is; None for all of it."""
    facts: tuple[str, ...] = ()
    """Covariates, as they are written."""


@dataclass(frozen=True)
class Table:
    """A table of labels."""

    rows: tuple[Row, ...]
    classes: tuple[str, ...] | None = None
    """Of images with any number of them; None if each has one."""


def classes_in(label: str) -> tuple[str, ...]:
    """Return the classes of an image that may have several.

    Examples
    --------
    >>> classes_in("mass | nodule"), classes_in("")
    (('mass', 'nodule'), ())
    """
    return tuple(part.strip() for part in label.split(BETWEEN) if part.strip())


def read_table(path: Path, covariates: Sequence[str] = (), labelled: bool = True) -> Table:
    """Read a table of labels.

    Parameters
    ----------
    path : Path
        CSV with the column ``image`` and the class in one of `LABELS`; or a column per class that says 0 or 1. Beside
        them ``split``, one of `GROUPS`, ``image2`` and so on, ``slice``, or the columns of `BOX`.
    covariates : sequence of str
        Headings of other columns to read.
    labelled : bool
        Whether it must say classes.

    Raises
    ------
    DataError
        If it is no such table.
    """
    lines = lines_of(path)
    columns = list(lines[0]) if lines else []
    facts = [name.strip().lower() for name in covariates]
    missing = sorted({"image", *facts} - set(columns))
    if missing:
        raise DataError(
            f"{path.name} has no column {missing[0]}; it has {', '.join(columns) or 'none'}.",
            "Its first line must be: image,label or image,label,split,patient.",
        )
    label = next((name for name in LABELS if name in columns), None)
    flags = _flags(lines, columns, facts) if label is None else ()
    if labelled and label is None and len(flags) < 2:
        raise DataError(
            f"{path.name} has no column label, and no columns of classes with 0 and 1; it has {', '.join(columns)}.",
            "Its first line must be: image,label or image,label,split,patient.",
        )
    several = bool(flags) or (label is not None and any(BETWEEN in line[label] for line in lines))
    rows: list[Row] = []
    places: Counter[str] = Counter()
    for number, line in enumerate(lines, start=2):
        if not line["image"]:
            continue
        text = BETWEEN.join(name for name in flags if line[name].lower() in YES) if label is None else line[label]
        if labelled and not text and not several:
            raise DataError(
                f"{path.name}, line {number}: {line['image']} has no label.", "Fill it in, or leave it out."
            )
        rows.append(_row(line, text, facts, f"{path.name}, line {number}", places))
    _check_names(rows, path.name)
    found = {name for row in rows for name in classes_in(row.label)}
    return Table(tuple(_grouped(rows)), (flags or tuple(sorted(found))) if several else None)


def lines_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file as text by heading, headings in small letters.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [
                {(k or "").strip().lower(): (v or "").strip() for k, v in line.items() if isinstance(v, str | None)}
                for line in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}).", "Save it as CSV in UTF-8.") from error


def other_columns(path: Path) -> list[dict[str, str]]:
    """Return, for each image of a table, the columns that may be covariates."""
    lines = [line for line in lines_of(path) if line.get("image")]
    known = {"image", "split", "slice", *LABELS, *GROUPS, *BOX}
    return [
        {name: value for name, value in line.items() if name not in known and not FURTHER.fullmatch(name)}
        for line in lines
    ]


def _flags(lines: Sequence[dict[str, str]], columns: Sequence[str], facts: Collection[str]) -> tuple[str, ...]:
    """Return the headings of the columns that say yes or no for a class."""
    other = {"image", "split", "slice", *GROUPS, *BOX, *facts}
    return tuple(
        name for name in columns if name and name not in other and all(line[name].lower() in YES + NO for line in lines)
    )


def _row(line: dict[str, str], label: str, facts: Sequence[str], where: str, places: Counter[str]) -> Row:
    part = line.get("split", "").lower()
    if part and part not in PART_WORDS:
        raise DataError(f"{where}: the split {part!r} is unknown.", "Use train, val or test.")
    image, box = line["image"], _box(line, where)
    name = image
    if line.get("slice"):
        name = f"{image}{SLICE_MARK}{line['slice']}"
    elif box is not None:
        places[image] += 1
        name = f"{image}{REGION_MARK}{places[image]}"
    group = next((line[heading] for heading in GROUPS if line.get(heading)), "")
    more = tuple(line[heading] for heading in sorted(line) if FURTHER.fullmatch(heading) and line[heading])
    return Row(image, label, PART_WORDS.get(part, ""), group, name, more, box, tuple(line[fact] for fact in facts))


def _box(line: dict[str, str], where: str) -> Box | None:
    try:
        if line.get("slice"):
            number = int(line["slice"])
            return slice(number, number + 1), slice(None), slice(None)
        if not line.get("xmin"):
            return None
        axes = [axis for axis in "zyx" if line.get(f"{axis}min")]
        box = tuple(slice(round(float(line[f"{axis}min"])), round(float(line[f"{axis}max"]))) for axis in axes)
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}: no slice or box can be read ({error}).", "Give voxel indices.") from error
    if len(axes) < 2 or any(side.start < 0 or side.stop <= side.start for side in box):
        raise DataError(f"{where}: the box is empty.", "Give xmin,ymin[,zmin],xmax,ymax[,zmax] in voxel indices.")
    return box


def _check_names(rows: Sequence[Row], table: str) -> None:
    counts = Counter(row.name for row in rows)
    if counts and max(counts.values()) > 1:
        raise DataError(f"{table} names {max(counts, key=counts.__getitem__)} twice.", "Keep one line per image.")


def _grouped(rows: Sequence[Row]) -> list[Row]:
    """Return the rows so that parts of one image belong together, where no patient is given."""
    return [replace(row, group=row.image) if row.box is not None and not row.group else row for row in rows]
