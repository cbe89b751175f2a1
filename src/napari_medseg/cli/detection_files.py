"""What `predict` writes for a detection beside its tables: masks, DICOM reports, and LUNA16's table."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.cli.console import say
from napari_medseg.data.boxes import labels_of_boxes
from napari_medseg.data.boxes.opening import single_image
from napari_medseg.data.boxes.table import sphere_rows
from napari_medseg.io import write
from napari_medseg.io.format import stem
from napari_medseg.io.writing import replacing
from napari_medseg.volume import LabelClass, Volume

if TYPE_CHECKING:
    from napari_medseg.models import Bundle
    from napari_medseg.prediction import Boxes

LUNA = "predictions.luna.csv"
SURE = 0.5
"""Score from which boxes are things of a label map."""


def write_masks(found: "Mapping[str, Boxes]", images: Mapping[str, Path], folder: Path) -> int:
    """Write a label map of the sure things of each image whose boxes have masks, numbered from 1, on its own grid.

    Maps are NIfTI files where the image has a place in the patient, else TIFF files. Their number is returned.
    """
    several = {stem(Path(name)) for name in found}
    count = 0
    for name, boxes in found.items():
        if boxes.masks is None:
            continue
        sure = boxes.chosen(boxes.scores >= SURE)
        image = single_image(images[name], name)
        things = labels_of_boxes(sure, image.spatial_shape[-2:], instances=True).reshape(image.spatial_shape)
        names = enumerate(sure.names, start=1)
        classes = tuple(LabelClass(value=k, name=f"{label} {k}") for k, label in names)
        labels = Volume(things, image.geometry, name=name, kind="labels", classes=classes)
        bare = stem(Path(name)) if len(several) == len(found) else str(Path(name).with_suffix("")).replace("/", "_")
        write(labels, folder / f"{bare}{'.tif' if image.geometry is None else '.nii.gz'}")
        count += 1
    return count


def write_reports(
    found: "Mapping[str, Boxes]", images: Mapping[str, Path], folder: Path, least: float, model: "Bundle"
) -> list[Path]:
    """Write a DICOM measurement report of the boxes of each image that reach a score, and return the files.

    Raises
    ------
    WriteError
        If an image is not from DICOM.
    """
    from napari_medseg.io.dicom.out.report import Finder, check_source, write_report

    finder = Finder(model.spec.name, model.hash[:16])
    written = []
    for name, boxes in found.items():
        sure, image = boxes.chosen(boxes.scores >= least), single_image(images[name], name)
        check_source(image)
        if not len(sure):
            say(f"{name}: nothing reaches a score of {least:g}, so there is no report.")
            continue
        path = folder / f"{Path(name).with_suffix('').as_posix().replace('/', '_')}.sr.dcm"
        written.append(write_report(sure, image, path, finder))
    return written


def write_spheres(found: "Mapping[str, Boxes]", images: Mapping[str, Path], folder: Path) -> Path:
    """Write LUNA16's table of centres and diameters in mm, with the name of an image for its series.

    Raises
    ------
    DataError
        If an image is a plane, or has no place in the patient.
    """
    grids = {name: (boxes, single_image(images[name], name).geometry) for name, boxes in found.items()}
    rows = sphere_rows({stem(Path(name)): pair for name, pair in grids.items()})
    with replacing(folder / LUNA) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return folder / LUNA
