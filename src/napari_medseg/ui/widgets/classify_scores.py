"""The Scores tab of the Classify panel: how good a model is on images whose class is known."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.evaluate.classification import ClassificationReport, evaluate_classification, threshold_at
from napari_medseg.evaluate.tables import Answers, read_answers
from napari_medseg.training.classification.run import HELD_OUT
from napari_medseg.ui.background import in_background
from napari_medseg.ui.widgets.message_box import MessageBox
from napari_medseg.ui.widgets.number_table import NumberTable
from napari_medseg.ui.widgets.section import rows, stacked

EDGE = 340
"""Width of the plots in pixels, on a screen of ordinary density."""
TITLE_POINTS = 10
"""Size of the titles of the plots, which are narrow here."""
SCALE = 2
"""Pixels of the plots per pixel of the screen."""


class ScoresTab(QWidget):
    """Scores with intervals, curves, and the threshold for a wanted sensitivity.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.answers: Answers | None = None
        self.report: ClassificationReport | None = None
        self._words = ""
        self.title = QLabel(self)
        self.title.setWordWrap(True)
        self.scores = NumberTable("Scores with their 95 % bootstrap intervals over images", self)
        self.of = QComboBox(self)
        self.of.setToolTip("The class that is not to be missed")
        self.sensitivity = QDoubleSpinBox(self)
        self.sensitivity.setRange(0.5, 1.0)
        self.sensitivity.setSingleStep(0.01)
        self.sensitivity.setValue(0.95)
        self.sensitivity.setToolTip("Share of the images of the class that must be found")
        self.threshold = QLabel(self)
        self.threshold.setWordWrap(True)
        self.plots = QLabel(self)
        self.messages = MessageBox(self)
        self.choice = QWidget(self)
        inside = stacked(self.choice)
        inside.addLayout(rows(("Do not miss", self.of), ("Sensitivity", self.sensitivity)))
        inside.addWidget(self.threshold)
        layout = stacked(self)
        for part in (self.title, self.messages, self.scores, self.choice, self.plots):
            layout.addWidget(part)
        self.of.currentIndexChanged.connect(self._on_wanted)
        self.sensitivity.valueChanged.connect(self._on_wanted)
        self.choice.hide()
        self.title.setText("Train a model, or classify the rows of Label: what is known of them is compared here.")

    def show_run(self, folder: Path, ordered: bool) -> None:
        """Show how good the model of a run is on the images that were kept out of its training."""
        table = folder / HELD_OUT
        self._start(lambda: read_answers(table, table), "kept out of training", ordered)

    def show_answers(self, answers: Answers, words: str, ordered: bool) -> None:
        """Show how good answers are."""
        self._start(lambda: answers, words, ordered)

    def _start(self, find: Callable[[], Answers], words: str, ordered: bool) -> None:
        self.messages.clear()
        self._words = words
        in_background(partial(_scored, find, ordered), self._show, self._on_failed)

    def _show(self, found: tuple[Answers, ClassificationReport, bytes]) -> None:
        self.answers, self.report, picture = found
        self.title.setText(f"<b>{self.report.images} images</b>: {self._words}")
        lines = []
        for name, value in self.report.scores.items():
            interval = self.report.intervals.get(name)
            between = None if interval is None else f"{interval.low:.3f} – {interval.high:.3f}"
            text = None if value is None else f"{value:.3f}"
            lines.append({"class": name.replace("_", " "), "score": text, "95 % interval": between})
        self.scores.show_rows(lines, {})
        self.scores.horizontalHeaderItem(0).setText("")
        pixmap = QPixmap()
        pixmap.loadFromData(picture)
        pixmap.setDevicePixelRatio(SCALE)
        self.plots.setPixmap(pixmap)
        self.of.clear()
        self.of.addItems(list(self.answers.classes))
        self.of.setCurrentIndex(len(self.answers.classes) - 1)
        self.choice.show()
        self._on_wanted()

    def _on_failed(self, error: MedsegError) -> None:
        self.messages.show_error(error)

    def _on_wanted(self, _value: object = None) -> None:
        answers, number = self.answers, self.of.currentIndex()
        if answers is None or number < 0:
            return
        actual = answers.actual(number)
        name = answers.classes[number]
        if not 0 < actual.sum() < len(actual):
            self.threshold.setText(f"No image tells {name} from the rest here.")
            return
        at = threshold_at(actual, answers.probabilities[:, number], self.sensitivity.value())
        self.threshold.setText(
            f"{name} from a probability of <b>{at.threshold:.3f}</b> on: "
            f"sensitivity {at.sensitivity:.3f}, specificity {at.specificity:.3f}."
        )


def _scored(find: Callable[[], Answers], ordered: bool) -> tuple[Answers, ClassificationReport, bytes]:
    answers = find()
    return answers, evaluate_classification(answers, ordered=ordered), _picture(answers, ordered)


def _picture(answers: Answers, ordered: bool) -> bytes:
    """Return the plots as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from napari_medseg.evaluate.classification_plots import draw_confusion, draw_curves, draw_reliability
    from napari_medseg.evaluate.plots import plain

    figure = Figure(figsize=(EDGE / 72, EDGE / 72), dpi=72 * SCALE, layout="constrained")
    FigureCanvasAgg(figure)
    (roc, pr), (confusion, sure) = figure.subplots(2, 2)
    for axis in (roc, pr, confusion, sure):
        plain(axis)
    draw_curves(answers, roc, pr)
    draw_confusion(answers, confusion, ordered)
    draw_reliability(answers, sure)
    for axis in (roc, pr, confusion, sure):
        axis.title.set_size(TITLE_POINTS)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
