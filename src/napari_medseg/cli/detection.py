"""What ``train``, ``predict`` and ``evaluate`` do for detection."""

from typing import TYPE_CHECKING

from napari_medseg.cli.console import out, say, table

if TYPE_CHECKING:
    from napari_medseg.evaluate.detection import DetectionReport


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
