"""The Segment dock widget: run a model on a volume."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.inference import PredictionFiles
from napari_medseg.io import write
from napari_medseg.models import Bundle
from napari_medseg.progress import Note
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import classes_of, labels_volume
from napari_medseg.ui.projects.keeper import keeper_of
from napari_medseg.ui.widgets.model_menu import ModelMenu
from napari_medseg.ui.widgets.model_panel import ModelPanel
from napari_medseg.ui.widgets.predict_setup import PredictSetup
from napari_medseg.ui.widgets.predictor import Predictor, Request
from napari_medseg.ui.widgets.region_choice import RegionChoice
from napari_medseg.ui.widgets.section import beside, rows, scrolling
from napari_medseg.ui.widgets.volume_table import VolumeTable

if TYPE_CHECKING:
    import napari

FILTER = "NIfTI (*.nii.gz *.nii)"


class SegmentWidget(ModelPanel):
    """Choose a model and an image, run, look at the result, save it.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__(napari_viewer, "Segment", ("segmentation",))
        self._result: Labels | None = None
        # What is corrected of a prediction is kept.
        keeper_of(napari_viewer, self).failed.connect(self.panel.show_error)
        self.model.setToolTip("The model: from your library, or any model folder")
        self.menu = ModelMenu(self.panel, self)
        self.image.setToolTip("The image layer to segment")
        self.region = RegionChoice(napari_viewer, self)
        self.setup = PredictSetup(self)
        self.run_button.setToolTip("Segment the image in the background")
        self.volumes = VolumeTable(self)
        self.results_button = QPushButton("Results…", self)
        self.results_button.setToolTip("Clean up, measure, make surfaces of, or compare what was found")
        self.save_button = QPushButton("Save…", self)
        self.save_button.setToolTip("Save the labels as NIfTI, on exactly the grid of the image")
        self._predictor = Predictor(napari_viewer, self.panel, self)
        content = self._lay_out()
        self._connect()
        self._begin(content)

    def run(self) -> None:
        """Segment the chosen image with the chosen model."""
        try:
            image, bundle = self.image.layer, self.model.bundle
            if not isinstance(image, Image) or bundle is None:
                raise ConfigError("There is nothing to run.", "Choose a model and open an image.")
            options = self.setup.options(self.device.device)
            if (box := self.region.box(image)) is not None:
                options = options.model_copy(update={"region": box})
            self._predictor.start(Request(image, bundle, options, self.region.mask(image)))
        except MedsegError as error:
            self.panel.show_error(error)

    def save(self) -> None:
        """Let the user choose a file, and write the result to it."""
        if self._result is None:
            return
        suggestion = f"{self.image.layer.name if self.image.layer else 'labels'}-labels.nii.gz"
        path, _ = QFileDialog.getSaveFileName(self, "Save labels", suggestion, FILTER)
        if path:
            self.save_as(Path(path))

    def save_as(self, path: Path) -> None:
        """Write the result, with any corrections the user painted, in the format that the suffix of `path` names."""
        if self._result is not None:
            volume = labels_volume(self._result, list(self._viewer.layers))
            in_background(partial(write, volume, path), self._on_saved, self.panel.show_error)

    def _lay_out(self) -> QVBoxLayout:
        content = scrolling(self)
        model = beside(self.model, self.menu)
        content.addLayout(
            rows(("Model", model), ("Image", self.image), ("Region", self.region), ("Device", self.device))
        )
        for part in (self.setup, self.run_button, self.panel, self.volumes):
            content.addWidget(part)
        below = QHBoxLayout()
        below.addStretch(1)
        below.addWidget(self.results_button)
        below.addWidget(self.save_button)
        content.addLayout(below)
        return content

    def _connect(self) -> None:
        self.save_button.clicked.connect(self.save)
        self.results_button.clicked.connect(self._on_results)
        self.menu.added.connect(self._on_added)
        self._predictor.done.connect(self._on_done)
        self._layers = Connections(self)
        self._layers.connect(self._viewer.layers.events.removed, self._on_layer_removed)

    def _refresh(self, _change: object = None) -> None:
        bundle = self.model.bundle
        self.setup.show_spec(bundle.spec if bundle is not None else None)
        free = not self.panel.busy
        self.run_button.setEnabled(bundle is not None and self.image.layer is not None and free)
        self.menu.setEnabled(free)
        for button in (self.save_button, self.results_button):
            button.setVisible(self._result is not None)

    def _on_added(self, bundle: Bundle) -> None:
        self.model.choose(bundle)
        self.panel.messages.add_note(Note(f"Added {bundle.spec.name} to your models."))

    def _on_done(self, layer: Labels, files: PredictionFiles) -> None:
        self._result = layer
        self.volumes.show_volumes(classes_of(layer), files.volumes_ml)
        self.panel.messages.add_note(Note(f"{files.bundle} took {files.seconds:.1f} s."))
        self._refresh()

    def _on_results(self) -> None:
        _, results = self._viewer.window.add_plugin_dock_widget("napari-medseg", "Results", tabify=True)
        results.labels.choose(self._result)

    def _on_saved(self, path: Path) -> None:
        self.panel.messages.add_note(Note(f"Saved {path.name}."))

    def _on_layer_removed(self, _event: object) -> None:
        if self._result is not None and self._result not in self._viewer.layers:
            self._result = None
            self.volumes.show_volumes((), None)
            self._refresh()
