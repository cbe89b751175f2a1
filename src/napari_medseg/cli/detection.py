"""What ``train``, ``predict`` and ``evaluate`` do for detection."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.cli.console import follow, out, print_json, say, table
from napari_medseg.cli.settings import build, parse
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from napari_medseg.evaluate.detection import DetectionReport
    from napari_medseg.models import Bundle
    from napari_medseg.prediction import Boxes

PREDICTIONS, RESULTS = "predictions.csv", "predictions.json"


def create_boxes(
    folder: Path, images: Path | None, labels: Path | None, init: Path | None, values: dict[str, Any]
) -> None:
    """Lay out the folder of a new run."""
    from napari_medseg.training.detection import DetectionConfig, create_detection

    if images is None or labels is None:
        raise ConfigError("--images and --labels say what to train on.", "Give both, or --resume a run.")
    config, control = build(DetectionConfig, values), Control()
    follow(create_detection(folder, (images, labels), config, init, control), control)


def predict_boxes(model: "Bundle", sources: list[Path], folder: Path, settings: list[str], as_json: bool) -> None:
    """Write ``predictions.csv`` and, as COCO results, ``predictions.json``; masks, and reports where asked for.

    Raises
    ------
    DataError
        If there is no image, or one could not be predicted on; the boxes of the others are written.
    """
    from napari_medseg.cli.detection_files import write_masks, write_reports, write_spheres
    from napari_medseg.data.boxes.coco import coco_results
    from napari_medseg.data.boxes.table import prediction_rows
    from napari_medseg.inference.detection.detect import detect_files
    from napari_medseg.inference.detection.options import DetectOptions

    values = parse(settings)
    numbering, least, luna = values.pop("coco", None), values.pop("report", None), values.pop("luna", False)
    # On planes it takes little time, and boxes become a little better.
    options = build(DetectOptions, {"flips": model.spec.dims == 2} | values)
    images = _images(sources, model.spec.dims == 3)
    control = Control()
    result: Any = follow(detect_files([*images.values()], [*images], model, options, control), control)
    boxes, shapes = result
    numbers, boxes_there = _numbered(boxes, None if numbering is None else Path(str(numbering)))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(prediction_rows(boxes, model.spec.dims))
    folder.mkdir(parents=True, exist_ok=True)
    results = coco_results(boxes_there, numbers, shapes)
    _write(folder / PREDICTIONS, text.getvalue())
    _write(folder / RESULTS, json.dumps(results))
    write_masks(boxes, images, folder)
    if luna:
        write_spheres(boxes, images, folder)
    if least is not None:
        write_reports(boxes, images, folder, _share(least), model)
    if as_json:
        print_json(results)
    else:
        many = sum(map(len, boxes.values()))
        out().print(f"{folder / PREDICTIONS}  {many} boxes on {len(boxes)} images", markup=False)
    failed = len(images) - len(boxes)
    if failed:
        raise DataError(f"{failed} of {len(images)} images could not be predicted on.", "See the lines above.")


def _share(value: object) -> float:
    """Return the score from which boxes are reported.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        share = float(str(value))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"report={value} is no score.", "Give one between 0 and 1, such as report=0.5.")
    return share


def _numbered(boxes: "dict[str, Boxes]", coco: Path | None) -> "tuple[dict[str, int], dict[str, Boxes]]":
    """Return the number of each image, and the boxes with the categories' numbers of a COCO file."""
    if coco is None:
        return {name: number for number, name in enumerate(boxes, start=1)}, boxes
    from napari_medseg.data.boxes import read_boxes
    from napari_medseg.data.boxes.listing import ImageNames
    from napari_medseg.evaluate.boxes import renamed

    source = read_boxes(coco)
    names = ImageNames(list(source.ids))
    known = list(source.ids)
    places = {name: names.find(name) for name in boxes}
    unknown = {name for found in boxes.values() for name in found.names} - {c.name for c in source.classes}
    if unknown:
        raise DataError(f"{coco.name} has no category {min(unknown)}.", "Give the file that goes with these images.")
    there = {name: place for name, place in places.items() if place is not None}
    return (
        {name: source.ids[known[place]] for name, place in there.items()},
        {name: renamed(boxes[name], source.classes) for name in there},
    )


def _images(sources: list[Path], volumes: bool) -> dict[str, Path]:
    """Return the images of files, folders of any depth, and lists, by name."""
    from napari_medseg.data.labelled.tree import holds_series, tree_of
    from napari_medseg.inference.cases import find_cases

    found: list[tuple[str, Path]] = []
    for source in sources:
        if source.is_dir():
            # A folder of DICOM files is a volume for a model of volumes, and many images for one of planes.
            paths = [source] if volumes and holds_series(source) else tree_of(source, volumes)
            found += [(p.relative_to(source).as_posix() if p != source else source.name, p) for p in paths]
        elif source.suffix.lower() in (".csv", ".txt") or not source.exists():
            cases, problems = find_cases([source])
            if problems:
                raise DataError(problems[0])
            found += [(case.path.name, case.path) for case in cases]
        else:
            found.append((source.name, source))
    if not found:
        raise DataError(f"{sources[0]} holds no image.", "Choose a file or folder with images.")
    names = dict(found)
    if len(names) < len(found):
        raise DataError("Two images have the same name.", "Give the folder above them.")
    return names


def _write(path: Path, text: str) -> None:
    from napari_medseg.io.writing import replacing

    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def print_report(report: "DetectionReport") -> None:
    """Print scores with their intervals, and those of each class."""
    if report.missing:
        say(f"Warning: {len(report.missing)} images have no prediction, such as {report.missing[0]}.")
    rows = table("score", "value", "95 % interval")
    for name, value in report.scores.items():
        found = report.intervals.get(name)
        rows.add_row(name, _text(value), "-" if found is None else f"{found.low:.3f} to {found.high:.3f}")
    out().print(rows)
    classes = table("class", "boxes", "AP50", "AP", "FROC", "threshold", "precision", "recall", "F1")
    for name, one in report.classes.items():
        values = (one.ap50, one.ap, one.froc, one.threshold, one.precision, one.recall, one.f1)
        classes.add_row(name, str(one.boxes), *map(_text, values))
    out().print(classes)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
