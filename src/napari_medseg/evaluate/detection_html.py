"""A detection's scores as one page: tables, precision-recall and FROC curves."""

from html import escape
from importlib.metadata import version

from napari_medseg.evaluate.boxes import BoxPairs
from napari_medseg.evaluate.detection import DetectionReport
from napari_medseg.evaluate.html import html_table, page
from napari_medseg.evaluate.matching import RATES, froc, match_class, precision_recall
from napari_medseg.evaluate.plots import MOST_CLASSES, new_figure, svg_text

NOTES = """AP50 is the average precision at an IoU of 0.5, AP its mean over IoUs from 0.5 to 0.95, both as COCO computes
them. FROC is the mean sensitivity at 1/8 to 8 false positives per image, where a thing is found if the centre of a box
lies in it (LUNA16). Precision, recall and F1 are at an IoU of 0.5 and at the threshold that is shown. Intervals are
95 % bootstrap intervals over patients, or over images where patients are not known."""


def detection_html(report: DetectionReport, pairs: BoxPairs, name: str) -> str:
    """Return the page.

    Parameters
    ----------
    report : DetectionReport
        The scores.
    pairs : BoxPairs
        What was scored.
    name : str
        Of the predictions.
    """
    rows = []
    for score, value in report.scores.items():
        found = report.intervals.get(score)
        rows.append([score, number(value), "–" if found is None else f"{found.low:.3f} to {found.high:.3f}"])
    missing = f"<p class='failed'>{len(report.missing)} images have no prediction.</p>" if report.missing else ""
    return page(
        name,
        [
            f"<h1>Detection: {escape(name)}</h1>",
            f"<p>{report.images} images, {len(report.classes)} classes; napari-medseg "
            f"{escape(version('napari-medseg'))}.</p>{missing}",
            html_table(["score", "value", "95 % interval"], rows),
            "<h2>Classes</h2>",
            _class_table(report),
            "<h2>Sensitivity by false positives per image</h2>",
            _rate_table(report),
            "<h2>Curves</h2>",
            _curves(pairs),
            f"<p>{NOTES}</p>",
        ],
    )


def number(value: float | None) -> str:
    """Return a score as text."""
    return "–" if value is None else f"{value:.3f}"


def _class_table(report: DetectionReport) -> str:
    headings = ["class", "true", "predicted", "AP50", "AP", "FROC", "threshold", "precision", "recall", "F1"]
    rows = []
    for name, one in report.classes.items():
        values = (one.ap50, one.ap, one.froc, one.threshold, one.precision, one.recall, one.f1)
        rows.append([name, str(one.boxes), str(one.predicted), *map(number, values)])
    return html_table(headings, rows)


def _rate_table(report: DetectionReport) -> str:
    rates = [f"{rate:g}" for rate in RATES]
    rows = [[name, *(number(one.sensitivity.get(rate)) for rate in rates)] for name, one in report.classes.items()]
    return html_table(["class", *rates], rows)


def _curves(pairs: BoxPairs) -> str:
    figure, (pr, rate) = new_figure(2, 3.8)
    for each in pairs.classes[:MOST_CLASSES]:
        matches = match_class(pairs, each.value)
        if not matches.truth.sum():
            continue
        precision, recall, _score = precision_recall(matches)
        pr.plot(recall, precision, label=each.name)
        false, found = froc(matches)
        rate.step(false, found, where="post", label=each.name)
    pr.set(xlabel="recall", ylabel="precision", title="At an IoU of 0.5", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    rate.set(xlabel="false positives per image", ylabel="sensitivity", title="FROC", ylim=(-0.02, 1.02))
    rate.set_xscale("log", base=2)
    rate.set_xlim(RATES[0] / 2, RATES[-1] * 2)
    pr.legend(frameon=False, fontsize="small")
    return svg_text(figure)
