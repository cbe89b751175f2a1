"""What ``train``, ``predict`` and ``evaluate`` do for classification."""

import csv
import io
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.cli.console import duration, follow, out, print_json, say, scores_text, table
from napari_medseg.cli.settings import build, parse
from napari_medseg.errors import Cancelled, ConfigError, DataError
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_medseg.data.labelled import Pictures
    from napari_medseg.evaluate.classification import ClassificationReport
    from napari_medseg.models import Bundle

PREDICTIONS = "predictions.csv"


def train_classification(
    folder: Path, sources: tuple[Path, Path | None] | None, init: Path | None, values: dict[str, Any]
) -> None:
    """Train in a folder: a new run on `sources`, or the run that is there.

    Raises
    ------
    Cancelled
        If the user stopped it, with how to go on.
    """
    from napari_medseg.training import RunFolder, train
    from napari_medseg.training.classification import (
        ClassificationConfig,
        ClassificationResult,
        create_classification,
    )

    run = RunFolder(folder)
    if sources is not None:
        control = Control()
        follow(create_classification(folder, sources, build(ClassificationConfig, values), init, control), control)
    elif run.task != "classification":
        raise ConfigError(f"{folder} holds a run of another task.", f"Go on with `train {run.task}`.")
    control = Control()
    try:
        result = follow(train(run, control, resume=run.last.exists()), control)
    except Cancelled:
        kept = f"Stopped. The best weights so far are in {run.bundle}." if run.bundle.is_dir() else "Stopped."
        again = f"napari-medseg train classification --out {shlex.quote(str(folder))} --resume"
        raise Cancelled(kept, f"Go on with: {again}") from None
    assert isinstance(result, ClassificationResult)
    out().print(
        f"{result.bundle}\n{result.step} steps in {duration(result.seconds)}; on held-out images: "
        f"{scores_text(result.scores)}",
        markup=False,
    )


def predict_classes(model: "Bundle", sources: list[Path], folder: Path, settings: list[str], as_json: bool) -> None:
    """Write ``predictions.csv``.

    Raises
    ------
    DataError
        If there is no image, or one could not be predicted on; the answers for the others are written.
    """
    import numpy as np

    from napari_medseg.inference.classify import classify, rows_of
    from napari_medseg.io.writing import replacing

    values = parse(settings)
    unknown = sorted(values.keys() - {"device"})
    if unknown:
        raise ConfigError(f"There is no setting {unknown[0]!r} for a classification.", "There is: device.")
    control = Control()
    names: list[str] = []
    blocks = []
    for pictures in _pictures(sources, model.spec.dims == 3):
        blocks.append(follow(classify(model, pictures, control, str(values.get("device", "auto"))), control))
        names += pictures.names
    rows = rows_of(names, np.concatenate([np.asarray(block) for block in blocks]), model.spec)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / PREDICTIONS) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    if as_json:
        print_json([dict(zip(rows[0], [*row[:2], *map(float, row[2:])], strict=True)) for row in rows[1:]])
    else:
        out().print(f"{folder / PREDICTIONS}  {len(rows) - 1} images", markup=False)
    failed = len(names) - (len(rows) - 1)
    if failed:
        raise DataError(f"{failed} of {len(names)} images could not be predicted on.", "See the lines above.")


def _pictures(sources: list[Path], volumes: bool) -> "Iterator[Pictures]":
    """Yield the images of each source: an npz file, a folder of any depth, a file, or a list."""
    from napari_medseg.data.labelled import Pictures
    from napari_medseg.data.labelled.listing import PARTS, open_npz
    from napari_medseg.data.labelled.tree import holds_series, tree_of

    for source in sources:
        head, _colon, part = str(source).rpartition(":")
        if source.suffix.lower() == ".npz":
            yield open_npz(source)[0]
        elif head.lower().endswith(".npz") and part in PARTS:
            yield open_npz(Path(head), (part,))[0]
        elif source.is_dir():
            # A folder of DICOM files is a volume for a model of volumes, and many images for one of planes.
            paths = [source] if volumes and holds_series(source) else tree_of(source, volumes)
            if not paths:
                raise DataError(f"{source} holds no image.", "Choose a file or folder with images.")
            names = (path.relative_to(source).as_posix() if path != source else source.name for path in paths)
            yield Pictures(tuple(names), tuple(paths))
        elif source.suffix.lower() in (".csv", ".txt") or not source.exists():
            from napari_medseg.inference.cases import find_cases

            cases, problems = find_cases([source])
            if problems:
                raise DataError(problems[0])
            yield Pictures(tuple(case.path.name for case in cases), tuple(case.path for case in cases))
        else:
            yield Pictures((source.name,), (source,))


def print_report(report: "ClassificationReport") -> None:
    """Print scores with their intervals, and those of each class."""
    if report.missing:
        say(f"Warning: {len(report.missing)} images have no prediction, such as {report.missing[0]}.")
    rows = table("score", "value", "95 % interval")
    for name, value in report.scores.items():
        found = report.intervals.get(name)
        rows.add_row(name, _text(value), "-" if found is None else f"{found.low:.3f} to {found.high:.3f}")
    out().print(rows)
    classes = table("class", "images", "precision", "recall", "F1", "ROC-AUC", "threshold", "specificity")
    for name, one in report.classes.items():
        at = one.at_sensitivity
        last = ("-", "-") if at is None else (_text(at.threshold), _text(at.specificity))
        scores = [_text(value) for value in (one.precision, one.recall, one.f1, one.roc_auc)]
        classes.add_row(name, str(one.images), *scores, *last)
    out().print(classes)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
