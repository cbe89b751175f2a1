"""Boxes of the viewer as files: tables, COCO and DICOM reports, in and out."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.data.boxes import BoxSource, read_boxes
from napari_medseg.data.boxes.coco import coco_content
from napari_medseg.data.boxes.listing import ImageNames
from napari_medseg.data.boxes.table import prediction_rows, sphere_rows
from napari_medseg.errors import DataError
from napari_medseg.io.writing import replacing
from napari_medseg.prediction import Boxes
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Iterable

LUNA = ".luna.csv"
"""Ending of tables of centres and diameters in mm."""
DICOM = ".dcm"
SUFFIXES = (".csv", ".json", DICOM)


def save_boxes(boxes: Boxes, volume: Volume, path: Path, model: tuple[str, str] | None = None) -> Path:
    """Write the boxes of an image.

    Parameters
    ----------
    boxes : Boxes
        In voxels of the image.
    volume : Volume
        The image.
    path : Path
        ``.csv`` as ``predictions.csv`` has them, ``.luna.csv`` for centres and diameters in mm as LUNA16 has them,
        ``.json`` for COCO, or ``.dcm`` for a DICOM measurement report.
    model : (str, str), optional
        Name and version of the model that found them, for the report.

    Raises
    ------
    DataError
        If the suffix is another, or the image has no place in the patient for LUNA16's table.
    WriteError
        If a report is asked for and the image is not from DICOM.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"Boxes are not written as {path.suffix or path.name}.", "Use .csv, .luna.csv, .json (COCO) or .dcm."
        )
    if suffix == DICOM:
        # highdicom costs a second that opening the panel shall not pay.
        from napari_medseg.io.dicom.out.report import Finder, write_report

        return write_report(boxes, volume, path, None if model is None else Finder(*model))
    if suffix == ".json":
        content = coco_content({volume.name: boxes}, {volume.name: volume.spatial_shape}, boxes.classes)
        return _written(path, json.dumps(content, indent=1))
    if path.name.lower().endswith(LUNA):
        return _table(path, sphere_rows({volume.name: (boxes, volume.geometry)}))
    return _table(path, prediction_rows({volume.name: boxes}, boxes.axes))


def open_boxes(path: Path, volume: Volume) -> Boxes:
    """Return the boxes that a file has for an image.

    Parameters
    ----------
    path : Path
        As for `read_boxes`, or a DICOM measurement report about the image.
    volume : Volume
        The image; its name is not needed where the file speaks of one image alone.

    Raises
    ------
    DataError
        If the file has none for it.
    """
    if path.suffix.lower() == DICOM:
        from napari_medseg.io.dicom.report import boxes_of_report

        return boxes_of_report(path, volume)
    source: BoxSource = read_boxes(path)
    known = list(source.names)
    number = 0 if len(known) == 1 else ImageNames(known).find(volume.name)
    if number is None or not known:
        raise DataError(f"{path.name} has no boxes for {volume.name}.", "Name the image as the file does.")
    return source.on(known[number], volume)


def _table(path: Path, rows: "Iterable[list[str]]") -> Path:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def _written(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
