"""The Results dock widget: what can be done with a segmentation."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTabBar, QWidget

from napari_medseg.jobs import local_engine
from napari_medseg.ui.background import in_background
from napari_medseg.ui.folders import tidy
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.clean_tab import CleanTab
from napari_medseg.ui.widgets.compare_tab import CompareTab
from napari_medseg.ui.widgets.desk import Desk
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_labels
from napari_medseg.ui.widgets.measure_tab import MeasureTab
from napari_medseg.ui.widgets.section import rows, scrolling
from napari_medseg.ui.widgets.surfaces_tab import SurfacesTab

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels


class ResultsWidget(QWidget):
    """Clean up, measure, make surfaces of, and compare any labels layer.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.labels = LayerChoice(napari_viewer, is_labels, self)
        self.labels.setToolTip("The labels layer to work on: a prediction, a label map that was opened, or your own")
        self.panel = JobPanel(parent=self)
        desk = Desk(napari_viewer, self.panel, self.labels)
        self.clean, self.measure = CleanTab(desk, self), MeasureTab(desk, self)
        self.surfaces, self.compare = SurfacesTab(desk, self), CompareTab(desk, self)
        self._tabs: dict[str, CleanTab | MeasureTab | SurfacesTab | CompareTab] = {
            "Clean up": self.clean,
            "Measure": self.measure,
            "Surfaces": self.surfaces,
            "Compare": self.compare,
        }
        self.bar = QTabBar(self)
        for name in self._tabs:
            self.bar.addTab(name)
        self.bar.setExpanding(True)
        self.bar.setDrawBase(False)
        self._lay_out()
        self.bar.currentChanged.connect(self._on_tab)
        self.labels.layer_changed.connect(self._on_layer)
        self.panel.started.connect(self._refresh)
        self.panel.ended.connect(self._refresh)
        for tab in (self.clean.steps.changed, self.compare.reference.layer_changed):
            tab.connect(self._refresh)
        local_engine().start()
        in_background(tidy, self._refresh, self.panel.show_error)
        self._on_layer(self.labels.layer)
        self._on_tab(0)

    def show_tab(self, name: str) -> None:
        """Turn to ``"Clean up"``, ``"Measure"``, ``"Surfaces"`` or ``"Compare"``."""
        self.bar.setCurrentIndex(list(self._tabs).index(name))

    def _lay_out(self) -> None:
        content = scrolling(self)
        content.addLayout(rows(("Labels", self.labels)))
        content.addWidget(self.bar)
        for tab in self._tabs.values():
            content.addWidget(tab)
        content.addWidget(self.panel)
        content.addStretch(1)
        IgnoreWheel(self).guard(self)

    def _on_tab(self, index: int) -> None:
        for number, tab in enumerate(self._tabs.values()):
            tab.setVisible(number == index)

    def _on_layer(self, layer: "Labels | None") -> None:
        for tab in self._tabs.values():
            tab.show_layer(layer)

    def _refresh(self, _change: object = None) -> None:
        for tab in self._tabs.values():
            tab.refresh()
