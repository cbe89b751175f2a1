"""The Compare tab of the Results panel: scores against another label map, and the errors as a layer."""

from functools import partial

from napari.layers import Labels
from qtpy.QtWidgets import QDoubleSpinBox, QPushButton, QWidget

from napari_medseg.errors import ConfigError
from napari_medseg.io import read
from napari_medseg.results import Compared
from napari_medseg.results.compare import ERRORS
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers import overlay
from napari_medseg.ui.layers.labels import moved_onto
from napari_medseg.ui.widgets.desk import CsvButton, Desk, Legend, buttons, layer_classes
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_labels
from napari_medseg.ui.widgets.number_table import NumberTable
from napari_medseg.ui.widgets.section import rows, stacked
from napari_medseg.volume import Volume

TARGET = "napari_medseg.results.jobs:compare_labels"


class CompareTab(QWidget):
    """Compare the chosen labels with a reference.

    Parameters
    ----------
    desk : Desk
        Where to work.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._pair: tuple[Labels, Labels] | None = None
        self._job = FileJob(desk.panel, self)
        self.reference = LayerChoice(desk.viewer, is_labels, self)
        self.reference.setToolTip("The labels that count as right; classes are the same if their values are")
        self.tolerance = QDoubleSpinBox(self)
        self.tolerance.setRange(0, 100)
        self.tolerance.setSingleStep(0.5)
        self.tolerance.setValue(1.0)
        self.tolerance.setSuffix(" mm")
        self.tolerance.setToolTip("Surfaces that are no further apart agree, for the normalised surface Dice (NSD)")
        self.compare_button = QPushButton("Compare", self)
        self.compare_button.setToolTip("Score each class in the background, and show where the two differ")
        self.table = NumberTable("Overlap, distance of the surfaces, and volumes of each class", self)
        self.legend = Legend(ERRORS, self)
        self.save_button = CsvButton(desk, self)
        layout = stacked(self)
        layout.addLayout(rows(("Reference", self.reference), ("Tolerance", self.tolerance)))
        layout.addWidget(self.compare_button)
        layout.addWidget(self.table)
        layout.addWidget(self.legend)
        layout.addLayout(buttons(self.save_button))
        self.compare_button.clicked.connect(self.start)
        self.reference.layer_changed.connect(self._on_reference)
        self._job.done.connect(self._on_done)
        self._layers = Connections(self)
        self._layers.connect(desk.viewer.layers.events.inserted, self._choose_other)

    def show_layer(self, layer: Labels | None) -> None:
        """Work on this layer from now on; another one becomes the reference if it was this one."""
        self._clear()
        self._choose_other()
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now."""
        first, second = self._desk.choice.layer, self.reference.layer
        ready = first is not None and second is not None and first is not second
        self.compare_button.setEnabled(ready and not self._desk.panel.busy)

    def start(self, _checked: bool = False) -> None:
        """Compare in the background."""
        self._desk.attempt(self._start)

    def _start(self) -> None:
        first, second = self._desk.labels, self.reference.layer
        if not isinstance(second, Labels) or second is first:
            raise ConfigError("There is nothing to compare with.", "Choose another labels layer as the reference.")
        self._pair = first, second
        one, other = self._desk.found(first), self._desk.found(second)
        arguments = {"tolerance": self.tolerance.value(), "out": new_scratch_file()}
        self._job.start(FileTask(TARGET, {"first": lambda: moved_onto(one(), other()), "second": other}, arguments))

    def _on_done(self, found: Compared) -> None:
        if self._pair is None:
            return
        first, second = self._pair
        colors = {entry.name: entry.color for entry in (*layer_classes(second), *layer_classes(first))}
        self.table.show_rows(found.rows, colors)
        self.save_button.offer(found.rows, f"{first.name} against {second.name}")
        in_background(partial(_load, found), self._show_errors, self._desk.panel.show_error)

    def _show_errors(self, errors: Volume) -> None:
        if self._pair is None or self._pair[1] not in self._desk.viewer.layers:
            return
        first, second = self._pair
        name = f"errors of {first.name} against {second.name}"
        for layer in [layer for layer in self._desk.viewer.layers if layer.name == name]:
            self._desk.viewer.layers.remove(layer)
        self._desk.viewer.add_layer(overlay(second, errors, name))
        self.legend.show()

    def _choose_other(self, _event: object = None) -> None:
        """Let another layer be the reference than the one that is compared with it."""
        layer = self._desk.choice.layer
        if layer is not None and self.reference.layer is layer:
            others = [other for other in self._desk.viewer.layers if is_labels(other) and other is not layer]
            self.reference.choose(others[-1] if others else None)

    def _on_reference(self, _layer: object) -> None:
        self._clear()
        self.refresh()

    def _clear(self) -> None:
        self.legend.hide()
        self.table.show_rows((), {})
        self.save_button.offer((), "")


def _load(found: Compared) -> Volume:
    return read(found.errors)[0]
