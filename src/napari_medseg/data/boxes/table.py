"""Tables of boxes: our own CSV, of references and predictions alike, and that of LUNA16."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from napari_medseg.data.boxes.source import BoxSource, Row, gathered, named_classes, without_extent
from napari_medseg.data.boxes.spheres import Sphere, sphere_of_box
from napari_medseg.data.labelled.table import GROUPS, LABELS, PART_WORDS
from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes
from napari_medseg.volume import Geometry, LabelClass

PLANE = ("ymin", "xmin", "ymax", "xmax")
VOLUME = ("zmin", "ymin", "xmin", "zmax", "ymax", "xmax")
"""Columns in the order of the array's axes: starts, then stops."""
SPHERE = ("coordx", "coordy", "coordz", "diameter_mm")
IMAGES = ("image", "seriesuid", "file", "filename")
NODULE = "nodule"
"""Class of the things in a table that names none."""


def read_table(path: Path) -> BoxSource:
    """Read a CSV of boxes, in voxels, or of spheres, in mm.

    Raises
    ------
    DataError
        If columns are missing, or a number is none.
    """
    lines = _lines(path)
    columns = list(lines[0]) if lines else []
    image = next((name for name in IMAGES if name in columns), None)
    label = next((name for name in LABELS if name in columns), None)
    if image is not None and set(SPHERE) <= set(columns):
        return _spheres(path, lines, image)
    corners = VOLUME if set(VOLUME) <= set(columns) else PLANE
    if image is None or label is None or not set(corners) <= set(columns):
        raise DataError(
            f"{path.name} has the columns {', '.join(columns) or 'none'}.",
            "Its first line must be image,label,xmin,ymin[,zmin],xmax,ymax[,zmax], or that of LUNA16's annotations.",
        )
    rows: dict[str, list[Row]] = {}
    for number, line in enumerate(lines, start=2):
        found = rows.setdefault(line[image], [])
        # A line with a name alone is an image without boxes.
        if line[label]:
            where = f"{path.name}, line {number}"
            edges = tuple(_number(line[corner], where) for corner in corners)
            score = _number(line["score"], where) if line.get("score") else 1.0
            found.append((line[label], edges, score))
    kept, notes = without_extent(rows)
    classes = named_classes(row[0] for found in rows.values() for row in found)
    parts, groups = _parts(path, lines, image), _groups(lines, image)
    return BoxSource(classes, gathered(kept, classes, len(corners) // 2), parts=parts, groups=groups, notes=notes)


def _spheres(path: Path, lines: list[dict[str, str]], image: str) -> BoxSource:
    found: dict[str, list[Sphere]] = {}
    for number, line in enumerate(lines, start=2):
        x, y, z, diameter = (_number(line[column], f"{path.name}, line {number}") for column in SPHERE)
        if diameter <= 0:
            raise DataError(f"{path.name}, line {number}: a diameter of {diameter:g} mm.", "Correct it.")
        found.setdefault(line[image], []).append(Sphere((x, y, z), diameter))
    classes = (LabelClass(value=1, name=NODULE),)
    spheres = {name: tuple(each) for name, each in found.items()}
    parts, groups = _parts(path, lines, image), _groups(lines, image)
    return BoxSource(classes, {}, spheres=spheres, parts=parts, groups=groups)


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [
                {(k or "").strip().lower(): (v or "").strip() for k, v in line.items() if isinstance(v, str | None)}
                for line in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}).", "Save it as CSV in UTF-8.") from error


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {text!r} is no number.", "Correct it.")
    return value


def _parts(path: Path, lines: list[dict[str, str]], image: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        part = line.get("split", "").lower()
        if not part:
            continue
        if part not in PART_WORDS:
            raise DataError(f"{path.name}, line {number}: the split {part!r} is unknown.", "Use train, val or test.")
        if found.setdefault(line[image], PART_WORDS[part]) != PART_WORDS[part]:
            raise DataError(f"{path.name}, line {number}: {line[image]} is in two splits.", "Choose one.")
    return found


def _groups(lines: list[dict[str, str]], image: str) -> dict[str, str]:
    column = next((name for name in GROUPS if lines and name in lines[0]), None)
    return {} if column is None else {line[image]: line[column] for line in lines if line[column]}


def prediction_rows(boxes: Mapping[str, Boxes], axes: int) -> Iterable[list[str]]:
    """Yield the lines of ``predictions.csv``, headings first, the surest box of an image first.

    Parameters
    ----------
    boxes : mapping of str to Boxes
        By image.
    axes : int
        Of the images, 2 or 3.
    """
    corners = ("xmin", "ymin", "zmin")[:axes], ("xmax", "ymax", "zmax")[:axes]
    yield ["image", "label", "score", *corners[0], *corners[1]]
    for name, found in boxes.items():
        for number in sorted(range(len(found)), key=lambda k: -found.scores[k]):
            start, stop = found.edges[number][:, ::-1]
            yield [name, found.names[number], f"{found.scores[number]:.6g}", *(f"{v:.4f}" for v in (*start, *stop))]


def sphere_rows(found: Mapping[str, tuple[Boxes, Geometry | None]]) -> Iterable[list[str]]:
    """Yield the lines of a table as LUNA16's, headings first, the surest box of an image first.

    Parameters
    ----------
    found : mapping of str to (Boxes, Geometry)
        By image: its boxes, and its grid.

    Raises
    ------
    DataError
        If an image is a plane, or has no place in the patient.
    """
    yield ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm", "probability"]
    for name, (boxes, geometry) in found.items():
        if geometry is None or boxes.axes != 3:
            raise DataError(f"{name} is no volume with a place in the patient.", "Write its boxes in voxels (.csv).")
        for number in sorted(range(len(boxes)), key=lambda k: -boxes.scores[k]):
            sphere = sphere_of_box(boxes.edges[number], geometry)
            places = [f"{value:.4f}" for value in (*sphere.centre_lps_mm, sphere.diameter_mm)]
            yield [name, *places, f"{boxes.scores[number]:.6g}"]
