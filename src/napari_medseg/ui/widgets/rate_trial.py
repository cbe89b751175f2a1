"""A button that tries learning rates, and shows what became of the loss."""

import math

import pyqtgraph as pg
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_medseg.jobs import Job, Work
from napari_medseg.training.rate_finder import RateCurve
from napari_medseg.training.run import RunFolder
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.loss_plot import HEIGHT, small_plot, take_theme
from napari_medseg.ui.widgets.section import stacked

TARGET = "napari_medseg.training.jobs:try_rates"


class RateTrial(QWidget):
    """Proposes a learning rate.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    wanted = Signal()
    """The user wants a proposal; `try_on` or `panel.fail` comes next."""
    proposed = Signal(float)
    """The learning rate."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = QPushButton("Find learning rate", self)
        self.button.setToolTip(
            "Train for a moment on what is painted, at a learning rate that rises until the loss explodes, and take "
            "over the rate at which it falls fastest"
        )
        self.panel = JobPanel(parent=self)
        self.plot = small_plot(self, "Loss")
        self.plot.setFixedHeight(HEIGHT + 20)
        self.plot.setLogMode(x=True)
        self.plot.setLabel("bottom", "Learning rate")
        self.plot.setToolTip("Loss while the learning rate rose; the line is at the proposal")
        self.plot.hide()
        layout = stacked(self)
        for part in (self.button, self.panel, self.plot):
            layout.addWidget(part)
        self.button.clicked.connect(self.wanted)
        self.panel.started.connect(self._refresh)
        self.panel.ended.connect(self._on_ended)

    def try_on(self, run: RunFolder) -> None:
        """Try learning rates on a run that is laid out."""
        self.panel.submit(Work(TARGET, {"run": run.path}))

    def show_curve(self, curve: RateCurve) -> None:
        """Show the loss at each rate, and the proposal."""
        self.plot.clear()
        self.plot.plot(curve.rates, curve.losses, pen=pg.mkPen("#e8a33d", width=2))
        self.plot.addItem(pg.InfiniteLine(math.log10(curve.proposed), pen=pg.mkPen("#7f8c9b", width=1)))
        take_theme(self, [self.plot])
        self.plot.show()

    def _refresh(self) -> None:
        self.button.setEnabled(not self.panel.busy)

    def _on_ended(self, job: Job | None) -> None:
        self._refresh()
        if job is not None and job.state == "finished" and isinstance(job.result, RateCurve):
            self.show_curve(job.result)
            self.proposed.emit(job.result.proposed)
