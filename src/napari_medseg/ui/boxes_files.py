"""Boxes of the viewer as files: tables and COCO, in and out."""

import csv
import json
from pathlib import Path

from napari_medseg.data.boxes import BoxSource, read_boxes
from napari_medseg.data.boxes.coco import coco_content
from napari_medseg.data.boxes.listing import ImageNames
from napari_medseg.data.boxes.table import prediction_rows
from napari_medseg.errors import DataError
from napari_medseg.io.writing import replacing
from napari_medseg.prediction import Boxes

SUFFIXES = (".csv", ".json")


def save_boxes(boxes: Boxes, name: str, shape: tuple[int, ...], path: Path) -> Path:
    """Write the boxes of an image as ``predictions.csv`` has them, or as COCO.

    Parameters
    ----------
    boxes : Boxes
        In voxels of the image.
    name : str
        Of the image.
    shape : tuple of int
        Of the image.
    path : Path
        ``.csv`` or ``.json``.

    Raises
    ------
    DataError
        If the suffix is another.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"Boxes are not written as {path.suffix or path.name}.", "Use .csv or .json (COCO).")
    with replacing(path) as temporary:
        if path.suffix.lower() == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(prediction_rows({name: boxes}, boxes.axes))
        else:
            content = coco_content({name: boxes}, {name: shape}, boxes.classes)
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def open_boxes(path: Path, name: str) -> Boxes:
    """Return the boxes that a file has for an image.

    Parameters
    ----------
    path : Path
        As for `read_boxes`.
    name : str
        Of the image; not needed where the file speaks of one image alone.

    Raises
    ------
    DataError
        If the file has none for it.
    """
    source: BoxSource = read_boxes(path)
    known = list(source.boxes)
    number = 0 if len(known) == 1 else ImageNames(known).find(name)
    if number is None or not known:
        raise DataError(f"{path.name} has no boxes for {name}.", "Name the image as the file does.")
    return source.boxes[known[number]]
