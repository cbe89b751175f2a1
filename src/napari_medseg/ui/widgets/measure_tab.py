"""The Measure tab of the Results panel: volume, intensity, parts and place of each class."""

import time

from napari.layers import Image, Labels
from qtpy.QtWidgets import QPushButton, QWidget

from napari_medseg.results import Measures
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import image_of, image_volume, set_measures
from napari_medseg.ui.widgets.desk import CsvButton, Desk, buttons, layer_classes
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_image
from napari_medseg.ui.widgets.number_table import NumberTable
from napari_medseg.ui.widgets.section import rows, stacked

TARGET = "napari_medseg.results.jobs:measure_labels"


class MeasureTab(QWidget):
    """Measure the classes; the table also goes to the layer's features.

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
        self._layer: Labels | None = None
        self._clock = ""
        self._job = FileJob(desk.panel, self)
        self._on_layer = Connections(self)
        self.image = LayerChoice(desk.viewer, is_image, self, nothing="none")
        self.image.setToolTip("The image whose values are measured in each class, in its own unit such as HU or SUV")
        self.measure_button = QPushButton("Measure", self)
        self.measure_button.setToolTip("Measure each class in the background")
        self.table = NumberTable("Positions are RAS+ mm. The same numbers are in the layer's features table", self)
        self.save_button = CsvButton(desk, self)
        layout = stacked(self)
        layout.addLayout(rows(("Intensity of", self.image)))
        layout.addWidget(self.measure_button)
        layout.addWidget(self.table)
        layout.addLayout(buttons(self.save_button))
        self.measure_button.clicked.connect(self.start)
        self._job.done.connect(self._on_done)

    def show_layer(self, layer: Labels | None) -> None:
        """Work on this layer from now on."""
        self._on_layer.close()
        self.table.show_rows((), {})
        self.save_button.offer((), "")
        if layer is not None:
            self.image.choose(image_of(layer, self._desk.viewer.layers))
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now."""
        self.measure_button.setEnabled(self._desk.choice.layer is not None and not self._desk.panel.busy)

    def start(self, _checked: bool = False) -> None:
        """Measure in the background."""
        self._desk.attempt(self._start)

    def _start(self) -> None:
        self._layer = self._desk.labels
        image = self.image.layer
        volumes = {"labels": self._desk.found(self._layer, image if isinstance(image, Image) else None)}
        if isinstance(image, Image):
            volumes["image"] = lambda: image_volume(image)
        self._job.start(FileTask(TARGET, volumes))

    def _on_done(self, found: tuple[Measures, ...]) -> None:
        layer = self._layer
        if layer is None or layer not in self._desk.viewer.layers:
            return
        colors = {entry.name: entry.color for entry in layer_classes(layer)}
        table = [entry.row() for entry in found]
        if not table:
            self._desk.note(f"{layer.name} holds no class.")
        set_measures(layer, {entry.value: row for entry, row in zip(found, table, strict=True)})
        still_chosen = layer is self._desk.choice.layer
        if still_chosen:
            self.table.show_rows(table, colors)
            self.save_button.offer(table, layer.name)
            self._on_layer.close()
            self._clock = time.strftime("%H:%M")
            for emitter in (layer.events.paint, layer.events.data):
                self._on_layer.connect(emitter, self._on_changed)

    def _on_changed(self, _event: object = None) -> None:
        self._on_layer.close()
        self._desk.note(f"The labels changed since they were measured at {self._clock}; measure again.")
