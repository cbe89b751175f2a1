"""Predicted and true boxes of the same images, brought together by image and class."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_medseg.data.boxes import BoxSource, find_boxed, read_boxes
from napari_medseg.data.boxes.coco import edges_of
from napari_medseg.data.boxes.listing import ImageNames
from napari_medseg.data.boxes.opening import boxes_on
from napari_medseg.data.boxes.source import Row, gathered, named_classes
from napari_medseg.data.boxes.table import read_table
from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True, eq=False)
class BoxPairs:
    """What is predicted and what is true."""

    classes: tuple[LabelClass, ...]
    """Those of the references, then those that are predicted alone."""
    predicted: Mapping[str, Boxes]
    """By image; only of images with references, and none for images without predictions."""
    truth: Mapping[str, Boxes]
    """By image."""
    ignored: Mapping[str, Boxes] = field(default_factory=dict)
    """True boxes that are neither to be found nor wrong to find, by image."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Patient by image, where it is known."""
    missing: tuple[str, ...] = ()
    """Images of the references that the predictions do not name: nothing was found there."""


def read_pairs(predictions: Path, references: Path, images: Path | None = None) -> BoxPairs:
    """Read predictions and references.

    Parameters
    ----------
    predictions : Path
        ``predictions.csv``, the folder that holds it, or COCO results for the images of the references.
    references : Path
        For `napari_medseg.data.boxes.read_boxes`. Where it names a part ``test``, that part alone is scored.
    images : Path, optional
        Folder of the images, which places in the patient need to become boxes. All images in it count then.

    Raises
    ------
    DataError
        If they do not fit together.
    """
    source = read_boxes(references)
    if predictions.is_dir():
        predictions = predictions / PREDICTIONS
    found = _results(predictions, source) if predictions.suffix.lower() == ".json" else read_table(predictions)
    truth = _truth(source, references, images)
    if "test" in source.parts.values():
        truth = {name: boxes for name, boxes in truth.items() if source.parts.get(name) == "test"}
    names = ImageNames(list(found.boxes))
    known = list(found.boxes)
    places = {name: names.find(name) for name in truth}
    if truth and found.boxes and all(place is None for place in places.values()):
        raise DataError(
            f"No image of {references.name} is among the predictions, such as {next(iter(truth))}.",
            "Name images alike in both, with or without folder and suffix.",
        )
    classes = _all_classes(source.classes, found.classes)
    axes = next((boxes.axes for boxes in truth.values()), 2)
    if any(boxes.axes != axes for boxes in found.boxes.values()):
        raise DataError("Predictions and references are of planes and volumes mixed.", "Give those of one kind.")
    predicted = {
        name: Boxes.none(axes, classes) if place is None else renamed(found.boxes[known[place]], classes)
        for name, place in places.items()
    }
    missing = tuple(name for name, place in places.items() if place is None)
    ignored = {name: renamed(boxes, classes) for name, boxes in source.ignored.items() if name in truth}
    return BoxPairs(
        classes,
        predicted,
        {name: renamed(boxes, classes) for name, boxes in truth.items()},
        ignored,
        {name: source.groups[name] for name in truth if name in source.groups},
        missing,
    )


def renamed(boxes: Boxes, classes: tuple[LabelClass, ...]) -> Boxes:
    """Return boxes with the values that classes of the same names have in another list."""
    value = {c.name: c.value for c in classes}
    return replace(boxes, labels=np.array([value[n] for n in boxes.names], np.int64), classes=classes)


def _all_classes(first: tuple[LabelClass, ...], second: tuple[LabelClass, ...]) -> tuple[LabelClass, ...]:
    names = {c.name for c in first}
    free = max((c.value for c in first), default=0) + 1
    others = [c.name for c in second if c.name not in names]
    return (*first, *(LabelClass(value=free + k, name=name) for k, name in enumerate(others)))


def _truth(source: BoxSource, references: Path, images: Path | None) -> dict[str, Boxes]:
    if images is None:
        if source.spheres:
            raise DataError(f"{references.name} gives places in mm.", "Say with --images where the images are.")
        return dict(source.boxes)
    boxed = find_boxed(images, references)
    return {name: boxes_on(boxed, number) for number, name in enumerate(boxed.names)}


def _results(path: Path, source: BoxSource) -> BoxSource:
    """Read COCO results; their numbers are those of the references."""
    if not source.ids:
        raise DataError(f"{path.name} numbers its images.", "Give references as COCO JSON, or predictions as CSV.")
    image, name = {number: name for name, number in source.ids.items()}, {c.value: c.name for c in source.classes}
    rows: dict[str, list[Row]] = {}
    try:
        for result in json.loads(path.read_text(encoding="utf-8")):
            row = (name[result["category_id"]], edges_of(tuple(map(float, result["bbox"]))), float(result["score"]))
            rows.setdefault(image[result["image_id"]], []).append(row)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path.name} cannot be read as COCO results ({error!r}).", "Predict again.") from error
    classes = named_classes(row[0] for found in rows.values() for row in found)
    axes = next((len(found[0][1]) // 2 for found in rows.values()), 2)
    return BoxSource(classes, gathered(rows, classes, axes))
