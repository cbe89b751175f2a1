"""What ``train``, ``predict`` and ``evaluate`` do for classification."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.cli.console import follow, out, print_json, say, table
from napari_medseg.cli.settings import build, parse
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from napari_medseg.evaluate.classification import ClassificationReport
    from napari_medseg.models import Bundle

PREDICTIONS = "predictions.csv"


def create_classes(
    folder: Path, images: Path | None, labels: Path | None, init: Path | None, values: dict[str, Any]
) -> None:
    """Lay out the folder of a new run."""
    from napari_medseg.training.classification import ClassificationConfig, create_classification

    if images is None:
        raise ConfigError("--images says what to train on.", "Give it, or --resume a run.")
    config, control = build(ClassificationConfig, values), Control()
    follow(create_classification(folder, (images, labels), config, init, control), control)


def cross_validate(folder: Path, sources: tuple[Path, Path | None], values: dict[str, Any], folds: int) -> None:
    """Train a model for each fold, and score all images together, each by the model that never saw it."""
    from napari_medseg.training.classification import ClassificationConfig
    from napari_medseg.training.classification.folds import CrossValidation, cross_validation

    control = Control()
    config = build(ClassificationConfig, values)
    found = follow(cross_validation(folder, sources, config, folds, control), control)
    assert isinstance(found, CrossValidation)
    print_report(found.report)
    out().print(f"{found.predictions}  {found.report.images} images, {folds} folds", markup=False)


def predict_classes(
    model: "Bundle", sources: list[Path], folder: Path, settings: list[str], as_json: bool, regions: Path | None = None
) -> None:
    """Write ``predictions.csv``.

    Raises
    ------
    DataError
        If there is no image, or one could not be predicted on; the answers for the others are written.
    """
    from napari_medseg.data.labelled.answers import Classified, rows_of, write_rows
    from napari_medseg.inference.classify import classify
    from napari_medseg.inference.classify_sources import chosen_pictures

    values = parse(settings)
    unknown = sorted(values.keys() - {"device", "covariates"})
    if unknown:
        raise ConfigError(f"There is no setting {unknown[0]!r} for a classification.", "There are: device, covariates.")
    control = Control()
    table = Path(str(values["covariates"])) if "covariates" in values else None
    rows: list[list[str]] = []
    total = 0
    for chosen in chosen_pictures(model, sources, table, regions):
        found = follow(
            classify(model, chosen.pictures, control, str(values.get("device", "auto")), chosen.facts), control
        )
        assert isinstance(found, Classified)
        lines = rows_of(found, model.spec)
        rows += lines[bool(rows) :]
        total += len(found.names)
    write_rows(rows, folder / PREDICTIONS)
    if as_json:
        print_json([dict(zip(rows[0], [*row[:2], *map(float, row[2:])], strict=True)) for row in rows[1:]])
    else:
        out().print(f"{folder / PREDICTIONS}  {len(rows) - 1} images", markup=False)
    failed = total - (len(rows) - 1)
    if failed:
        raise DataError(f"{failed} of {total} images could not be predicted on.", "See the lines above.")


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
