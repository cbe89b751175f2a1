"""What a map is worth, as two small plots: deletion and insertion, and the check with random weights."""

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.explain import ALIKE, DIFFERENT
from napari_medseg.ui.widgets.loss_plot import HEIGHT, small_plot, take_theme

if TYPE_CHECKING:
    from napari_medseg.explain import Curves, Sanity, Scores

DELETION, INSERTION = "#e0524d", "#4363d8"
MEASURES = {"rank correlation": "#4363d8", "of magnitudes": "#e8a33d", "SSIM": "#3cb44b"}
LIMITS = {ALIKE: "#e0524d", DIFFERENT: "#3fae5a"}
"""From the first on the check is failed; below the second it is passed."""
BAR = 0.24
"""Width of a bar, where stages are 1 apart."""


class ExplainPlots(QWidget):
    """Curves of deletion and insertion, and how alike the maps of random weights are.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curves = small_plot(self, "Probability", top=1.0)
        self.curves.setLabel("bottom", "Share of voxels")
        self.curves.setToolTip(
            "Probability of the class while voxels are deleted (red) or inserted (blue), the most important first. "
            "Dashed: the mean for blocks in an order drawn at random"
        )
        self.sanity = small_plot(self, "Similarity", top=1.0)
        self.sanity.setToolTip(
            "How alike the map of random weights is: from the red line on the check is failed, below the green passed"
        )
        for plot in (self.curves, self.sanity):
            plot.setFixedHeight(HEIGHT + 40)
            plot.addLegend(offset=(-4, 4), labelTextSize="8pt", verSpacing=-8)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for plot in (self.curves, self.sanity):
            layout.addWidget(plot)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow napari's theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            take_theme(self, (self.curves, self.sanity))

    def show_scores(self, scores: "Scores") -> None:
        """Show what is known of a map; what was not measured has no plot."""
        for plot, known in ((self.curves, scores.curves), (self.sanity, scores.sanity)):
            plot.clear()
            plot.setVisible(known is not None)
        if scores.curves is not None:
            self._show_curves(scores.curves)
        if scores.sanity is not None:
            self._show_sanity(scores.sanity)
        take_theme(self, (self.curves, self.sanity))

    def _show_curves(self, found: "Curves") -> None:
        for name, curve, colour in (("deletion", found.deletion, DELETION), ("insertion", found.insertion, INSERTION)):
            shares = np.linspace(0, 1, len(curve.probabilities))
            words = f"{name} {curve.area:.2f}"
            self.curves.plot(shares, curve.probabilities, pen=pg.mkPen(colour, width=2), name=words)
            chance = pg.mkPen(colour, width=1, style=Qt.PenStyle.DashLine)
            self.curves.plot([0, 1], [curve.by_chance] * 2, pen=chance)

    def _show_sanity(self, found: "Sanity") -> None:
        places = np.arange(len(found.stages))
        columns = [
            [abs(stage.rank_correlation) for stage in found.stages],
            [abs(stage.rank_correlation_abs) for stage in found.stages],
            [max(stage.ssim or 0.0, 0.0) for stage in found.stages],
        ]
        for number, ((name, colour), values) in enumerate(zip(MEASURES.items(), columns, strict=True)):
            bars = pg.BarGraphItem(x=places + (number - 1) * BAR, height=values, width=BAR, brush=colour, pen=None)
            self.sanity.addItem(bars)
            self.sanity.plotItem.legend.addItem(bars, name)
        for value, colour in LIMITS.items():
            self.sanity.addItem(pg.InfiniteLine(value, angle=0, pen=pg.mkPen(colour, style=Qt.PenStyle.DashLine)))
        self.sanity.setXRange(-0.6, max(len(places) - 0.4, 1.6), padding=0)
        ticks = [(int(place), stage.layers) for place, stage in zip(places, found.stages, strict=True)]
        self.sanity.getAxis("bottom").setTicks([ticks, []])
        self.sanity.setLabel("bottom", "Layers made random, down to")
