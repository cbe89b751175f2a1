"""An evaluation as one page that needs no other file: tables, and plots as SVG."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.metadata import version

from napari_medseg.evaluate.plots import metric_plot, paired_plot, volume_plot
from napari_medseg.evaluate.report import ClassScores, Comparison, Scores, SegmentationReport

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1d2733; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #dde3ea; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .failed { color: #a4262c; } svg { max-width: 100%; height: auto; }
"""

NOTES = """A class that is in neither map of a case does not count there. Where it is in only one of them, Dice and NSD
are 0 and HD95 is undefined; means are over the cases where a score is defined. A case without a usable prediction
counts as one in which nothing was found. Intervals are 95 % bootstrap intervals (BCa) of the mean over cases."""

COLUMNS = (
    ("dice", "Dice", "{:.3f}"),
    ("hd95", "HD95 ({unit})", "{:.2f}"),
    ("nsd", "NSD at {tolerance:g} {unit}", "{:.3f}"),
    ("predicted_ml", "predicted (ml)", "{:.2f}"),
    ("reference_ml", "reference (ml)", "{:.2f}"),
    ("volume_error_ml", "error (ml)", "{:+.2f}"),
    ("volume_error_percent", "error (%)", "{:+.1f}"),
)
"""Field of `ClassScores`, heading and format of the columns."""


def html_report(report: SegmentationReport, name: str = "predictions", other: str | None = None) -> str:
    """Return an evaluation as a page of HTML.

    Parameters
    ----------
    report : SegmentationReport
        What to show.
    name : str
        Of the predictions.
    other : str, optional
        Of those that they are compared with.
    """
    size = f"{len(report.cases)} cases, {len(report.mean)} classes"
    parts = [
        f"<h1>Segmentation: {escape(name)}</h1>",
        f"<p>{size}; napari-medseg {escape(version('napari-medseg'))}.</p>",
        _failures(report.failures),
        "<h2>Classes</h2>",
        _class_table(report),
        metric_plot(report),
        volume_plot(report),
    ]
    if report.comparison is not None:
        parts += ["<h2>Compared with " + escape(other or "the other") + "</h2>", _failures(report.comparison.failures)]
        parts += [_tests(report.comparison), paired_plot(report, name, other or "the other")]
    parts += ["<h2>Cases</h2>", _case_table(report, report.cases), f"<p>{NOTES}</p>"]
    return page(name, parts)


def _headings(report: SegmentationReport) -> list[str]:
    return [heading.format(unit=report.unit, tolerance=report.tolerance) for _field, heading, _form in COLUMNS]


def _values(scores: ClassScores) -> list[str]:
    found = ((getattr(scores, field), form) for field, _heading, form in COLUMNS)
    return ["–" if value is None else form.format(value) for value, form in found]


def _class_table(report: SegmentationReport) -> str:
    rows = []
    for name, mean in report.mean.items():
        values = _values(mean)
        for index, (field, _heading, form) in enumerate(COLUMNS):
            if (interval := report.intervals.get(name, {}).get(field)) is not None:
                values[index] += f" ({form.format(interval.low)} to {form.format(interval.high)})"
        count = sum(name in scores for scores in report.cases.values())
        rows.append([name, str(count), *values])
    return html_table(["class", "cases", *_headings(report)], rows)


def _case_table(report: SegmentationReport, cases: Scores) -> str:
    rows = [[case, name, *_values(each)] for case, scores in cases.items() for name, each in scores.items()]
    return html_table(["case", "class", *_headings(report)], rows, failed=set(report.failures))


def _tests(comparison: Comparison) -> str:
    rows = []
    for metric, tests in comparison.tests.items():
        for name, test in tests.items():
            found = test.interval
            interval = "–" if found is None else f"{found.low:+.3f} to {found.high:+.3f}"
            values = (f"{test.difference:+.3f}", interval, f"{test.p:.3g}", f"{test.p_holm:.3g}")
            rows.append([metric, name, str(test.cases), *values])
    return html_table(["score", "class", "cases", "mean difference", "95 % interval", "p (Wilcoxon)", "p (Holm)"], rows)


def _failures(failures: dict[str, str]) -> str:
    if not failures:
        return ""
    entries = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in failures.items())
    return f'<div class="failed"><p>{len(failures)} cases without a usable prediction:</p><ul>{entries}</ul></div>'


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page of HTML that needs no other file."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def html_table(headings: Sequence[str], rows: Iterable[Sequence[str]], failed: set[str] | None = None) -> str:
    """Return a table; rows whose first cell is in `failed` are marked."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = []
    for row in rows:
        mark = ' class="failed"' if failed and row[0] in failed else ""
        lines.append(f"<tr{mark}>{''.join(f'<td>{escape(value)}</td>' for value in row)}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
