"""Loss and Dice against optimiser steps, while a model trains."""

import math
from collections.abc import Mapping, Sequence

import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.progress import EpochEnd, Event, Step

HEIGHT = 110
DICE = "Dice"
COST = "cross_entropy"
"""The one score that is no share."""
SMOOTHING = 0.9
"""Share of the old value in the running mean of the loss."""


class LossPlot(QWidget):
    """Two plots under one another with a common step axis: training loss, and scores on what was held out.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    title : str
        Of the scores.
    """

    def __init__(self, parent: QWidget | None = None, title: str = DICE) -> None:
        super().__init__(parent)
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.smooth: list[float] = []
        self.scored: dict[str, tuple[list[int], list[float]]] = {}
        self._colors: Mapping[str, str] = {}
        self._plots: tuple[pg.PlotWidget, ...] = ()
        self._loss = small_plot(self, "Loss")
        self._dice = small_plot(self, title, top=1.0)
        self._dice.setLabel("bottom", "Step")
        self._dice.setFixedHeight(HEIGHT + 20)
        self._dice.setXLink(self._loss)
        if title != DICE:
            # Classes have colours that the user knows; scores have names.
            self._dice.addLegend(offset=(-4, -4), labelTextSize="8pt", verSpacing=-8)
        self._plots = self._loss, self._dice
        self._raw = self._loss.plot(pen=pg.mkPen("#7f8c9b", width=1))
        self._mean = self._loss.plot(pen=pg.mkPen("#e8a33d", width=2))
        self._curves: dict[str, pg.PlotDataItem] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._loss)
        layout.addWidget(self._dice)
        self._loss.setToolTip("Loss of each step (grey) and its running mean; lower is better")
        self._dice.setToolTip("Scores on what was kept out of training; 1 is perfect")

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow napari's theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._style()

    def restart(self, colors: Mapping[str, str]) -> None:
        """Empty the plots for a new run.

        Parameters
        ----------
        colors : mapping of str to str
            ``#rrggbb`` per class name.
        """
        self.steps, self.losses, self.smooth, self.scored = [], [], [], {}
        for curve in self._curves.values():
            self._dice.removeItem(curve)
        self._curves = {}
        self._colors = dict(colors)
        self._raw.setData([], [])
        self._mean.setData([], [])
        self._style()

    def show_event(self, event: Event) -> None:
        """Add a `Step` or an `EpochEnd`; other events are none of its business."""
        if isinstance(event, Step):
            self._add_loss(event.step, event.loss)
        elif isinstance(event, EpochEnd):
            shares = {name: value for name, value in (event.scores or {}).items() if name != COST}
            for name, dice in (event.dice or shares).items():
                self._add_dice(name, event.step, dice)

    def _add_loss(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            return
        while self.steps and self.steps[-1] >= step:  # a resumed run repeats the steps since its checkpoint
            for series in (self.steps, self.losses, self.smooth):
                series.pop()
        before = self.smooth[-1] if self.smooth else loss
        self.steps.append(step)
        self.losses.append(loss)
        self.smooth.append(SMOOTHING * before + (1 - SMOOTHING) * loss)
        self._raw.setData(self.steps, self.losses)
        self._mean.setData(self.steps, self.smooth)

    def _add_dice(self, name: str, step: int, dice: float) -> None:
        if not math.isfinite(dice):
            return
        steps, values = self.scored.setdefault(name, ([], []))
        while steps and steps[-1] >= step:
            steps.pop()
            values.pop()
        steps.append(step)
        values.append(dice)
        if name not in self._curves:
            pen = pg.mkPen(self._colors.get(name, "#e8a33d"), width=2)
            self._curves[name] = self._dice.plot(pen=pen, name=name, symbol="o", symbolSize=4, symbolBrush=pen.color())
        self._curves[name].setData(steps, values)

    def _style(self) -> None:
        """Take the colours of napari's theme."""
        take_theme(self, self._plots)


def take_theme(widget: QWidget, plots: Sequence[pg.PlotWidget]) -> None:
    """Give plots the colours that a widget has."""
    foreground = widget.palette().color(QPalette.ColorRole.WindowText)
    for plot in plots:
        plot.setBackground(None)
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(foreground)
            axis.setTextPen(foreground)


def small_plot(parent: QWidget, title: str, top: float | None = None) -> pg.PlotWidget:
    """Return a plot of a panel, with a title beside its vertical axis that ends at `top`."""
    # Without pyqtgraph's own menu, for its windows outlive the plot.
    plot = pg.PlotWidget(parent, enableMenu=False, background=None)
    plot.setFixedHeight(HEIGHT)
    plot.setLabel("left", title)
    plot.getAxis("left").setWidth(46)
    plot.getAxis("left").enableAutoSIPrefix(False)
    plot.showGrid(x=False, y=True, alpha=0.2)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    if top is not None:
        plot.setYRange(0.0, top, padding=0.08)
        plot.getAxis("left").setTicks([[(0.0, "0"), (top / 2, f"{top / 2:g}"), (top, f"{top:g}")], []])
    return plot
