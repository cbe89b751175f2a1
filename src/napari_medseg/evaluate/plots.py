"""Plots of an evaluation, as SVG. Needs no display."""

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from napari_medseg.evaluate.report import SegmentationReport, class_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 40
"""Classes in a plot; the tables have all."""

SPREAD = 0.12
"""Standard deviation of the points' place beside each other, in classes."""


def metric_plot(report: SegmentationReport) -> str:
    """Return Dice, NSD and HD95 of every case, by class, with the mean and its interval."""
    names = class_names(report.cases)[:MOST_CLASSES]
    titles = {"dice": "Dice", "nsd": f"NSD at {report.tolerance:g} {report.unit}", "hd95": f"HD95 ({report.unit})"}
    figure, axes = new_figure(len(titles), 1.2 + 0.28 * len(names))
    for axis, (metric, title) in zip(axes, titles.items(), strict=True):
        for row, name in enumerate(names):
            values = _defined(report, name, metric)
            _points(axis, values, row + _spread(len(values)), "#4363d8")
            mean, interval = getattr(report.mean[name], metric), report.intervals.get(name, {}).get(metric)
            if interval is not None:
                axis.plot([interval.low, interval.high], [row, row], color="#1d2733", linewidth=2)
            if mean is not None:
                axis.plot([mean], [row], marker="|", markersize=12, color="#1d2733")
        axis.set_yticks(range(len(names)), names if axis is axes[0] else [])
        axis.invert_yaxis()
        axis.set_title(title)
        if metric != "hd95":
            axis.set_xlim(-0.02, 1.02)
    return svg_text(figure)


def volume_plot(report: SegmentationReport) -> str:
    """Return the predicted against the reference volume of every case; nothing where there are no volumes."""
    names = [name for name in class_names(report.cases) if _defined(report, name, "reference_ml")][:MOST_CLASSES]
    if not names:
        return ""
    figure, (axis,) = new_figure(1, 4.2)
    for name in names:
        _points(axis, _defined(report, name, "reference_ml"), _defined(report, name, "predicted_ml"), label=name)
    low, high = axis.get_xlim()
    axis.plot([low, high], [low, high], color="#9aa5b1", linewidth=1)
    axis.set(xlabel="reference (ml)", ylabel="predicted (ml)", title="Volume")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return svg_text(figure)


def paired_plot(report: SegmentationReport, name: str, other: str) -> str:
    """Return the Dice of both models on every case, by class."""
    if report.comparison is None:
        return ""
    figure, (axis,) = new_figure(1, 4.2)
    for label in class_names(report.cases)[:MOST_CLASSES]:
        found = [
            (second[label].dice, first[label].dice)
            for case, first in report.cases.items()
            if label in first and label in (second := report.comparison.cases[case])
        ]
        points = np.array([pair for pair in found if None not in pair], float).reshape(-1, 2)
        _points(axis, points[:, 0], points[:, 1], label=label)
    axis.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1)
    axis.set(xlabel=f"Dice, {other}", ylabel=f"Dice, {name}", title="Each point is a case")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return svg_text(figure)


def _defined(report: SegmentationReport, name: str, metric: str) -> list[float]:
    values = (getattr(scores[name], metric) for scores in report.cases.values() if name in scores)
    return [value for value in values if value is not None]


def _points(axis: "Axes", x: ArrayLike, y: ArrayLike, color: str | None = None, label: str = "") -> None:
    axis.scatter(x, y, s=14, alpha=0.6, linewidths=0, color=color, label=label)


def _spread(count: int) -> np.ndarray:
    return np.clip(np.random.default_rng(0).normal(0, SPREAD, count), -0.35, 0.35)


def new_figure(columns: int, height_inches: float) -> "tuple[Figure, list[Axes]]":
    """Return an empty figure with plots beside each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11 if columns > 1 else 6.5, max(height_inches, 2.0)), layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for axis in axes:
        plain(axis)
    return figure, axes


def plain(axis: "Axes") -> None:
    """Leave out what says nothing in a plot."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#eef1f5")
    axis.set_axisbelow(True)


def svg_text(figure: "Figure") -> str:
    """Return the picture itself, without the declarations that only a file of its own has."""
    import matplotlib

    text = io.StringIO()
    # The same report gives the same file.
    with matplotlib.rc_context({"svg.hashsalt": "napari-medseg", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    found = text.getvalue()
    return found[found.index("<svg") :]
