"""A classification's scores as one page: tables, ROC and precision-recall curves, confusion and reliability."""

from html import escape
from importlib.metadata import version

from napari_medseg.evaluate.classification import ClassificationReport
from napari_medseg.evaluate.classification_plots import curves
from napari_medseg.evaluate.html import html_table, page
from napari_medseg.evaluate.plots import svg_text
from napari_medseg.evaluate.tables import Answers

NOTES = """Precision, recall and F1 are means over classes; ROC-AUC and PR-AUC are those of the second of two classes,
or means over classes. Brier is the squared distance summed over classes. Intervals are 95 % bootstrap intervals."""


def classification_html(report: ClassificationReport, answers: Answers, name: str) -> str:
    """Return the page.

    Parameters
    ----------
    report : ClassificationReport
        The scores.
    answers : Answers
        What was scored.
    name : str
        Of the predictions.
    """
    rows = []
    for score, value in report.scores.items():
        found = report.intervals.get(score)
        rows.append([score, _text(value), "–" if found is None else f"{found.low:.3f} to {found.high:.3f}"])
    size = f"{report.images} images, {len(report.classes)} classes"
    missing = f"<p class='failed'>{len(report.missing)} images have no prediction.</p>" if report.missing else ""
    return page(
        name,
        [
            f"<h1>Classification: {escape(name)}</h1>",
            f"<p>{size}; napari-medseg {escape(version('napari-medseg'))}.</p>{missing}",
            html_table(["score", "value", "95 % interval"], rows),
            "<h2>Classes</h2>",
            _class_table(report),
            "<h2>Curves</h2>",
            svg_text(curves(answers)),
            *(["<h2>Confusion</h2>", _confusion(report)] if report.confusion else []),
            f"<p>{NOTES}</p>",
        ],
    )


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _class_table(report: ClassificationReport) -> str:
    headings = ["class", "images", "precision", "recall", "F1", "ROC-AUC", "PR-AUC", "threshold", "specificity there"]
    rows = []
    for name, one in report.classes.items():
        values = [_text(value) for value in (one.precision, one.recall, one.f1, one.roc_auc, one.pr_auc)]
        at = one.at_sensitivity
        values += ["–", "–"] if at is None else [_text(at.threshold), _text(at.specificity)]
        rows.append([name, str(one.images), *values])
    return html_table(headings, rows)


def _confusion(report: ClassificationReport) -> str:
    names = list(report.classes)
    rows = [[name, *map(str, line)] for name, line in zip(names, report.confusion, strict=True)]
    return html_table(["true \\ predicted", *names], rows)
