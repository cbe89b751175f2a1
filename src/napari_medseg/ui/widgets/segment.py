"""The Segment dock widget: run a model on a volume."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.inference import PredictionFiles, PredictOptions
from napari_medseg.io import write
from napari_medseg.jobs import local_engine
from napari_medseg.progress import Note
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.folders import tidy
from napari_medseg.ui.forms import Form
from napari_medseg.ui.layers import classes_of, labels_volume
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.bundle_choice import BundleChoice
from napari_medseg.ui.widgets.device_choice import DeviceChoice
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_image
from napari_medseg.ui.widgets.predictor import Predictor
from napari_medseg.ui.widgets.section import folded, rows, scrolling
from napari_medseg.ui.widgets.volume_table import VolumeTable

if TYPE_CHECKING:
    import napari

FORM = "segment"
FILTER = "NIfTI (*.nii.gz *.nii)"


class SegmentWidget(QWidget):
    """Choose a model and an image, run, look at the result, save it.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._result: Labels | None = None
        self.model = BundleChoice(parent=self)
        self.model.setToolTip("The model: from your library, or any model folder")
        self.image = LayerChoice(napari_viewer, is_image, self)
        self.image.setToolTip("The image layer to segment")
        self.device = DeviceChoice(self)
        self.options = Form(recall(FORM, PredictOptions()), ["precision", "overlap", "batch_size", "probabilities"])
        self.run_button = QPushButton("Run", self)
        self.run_button.setToolTip("Segment the whole volume in the background")
        self.panel = JobPanel(parent=self)
        self.volumes = VolumeTable(self)
        self.save_button = QPushButton("Save…", self)
        self.save_button.setToolTip("Save the labels as NIfTI, on exactly the grid of the image")
        self._predictor = Predictor(napari_viewer, self.panel, self)
        self._lay_out()
        self._connect()
        local_engine().start()
        self.device.ask()
        in_background(tidy, self._refresh, self.panel.show_error)
        self._refresh()

    def run(self) -> None:
        """Segment the chosen image with the chosen model."""
        try:
            image, bundle = self.image.layer, self.model.bundle
            if image is None or bundle is None:
                raise ConfigError("There is nothing to run.", "Choose a model and open an image.")
            options = self.options.values().model_copy(update={"device": self.device.device})
            remember(FORM, options.model_copy(update={"device": PredictOptions().device}))
            self._predictor.start(image, bundle, options)
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

    def _lay_out(self) -> None:
        content = scrolling(self)
        content.addLayout(rows(("Model", self.model), ("Image", self.image), ("Device", self.device)))
        content.addWidget(folded("Advanced", self.options.native))
        content.addWidget(self.run_button)
        content.addWidget(self.panel)
        content.addWidget(self.volumes)
        below = QHBoxLayout()
        below.addStretch(1)
        below.addWidget(self.save_button)
        content.addLayout(below)
        content.addStretch(1)
        IgnoreWheel(self).guard(self)

    def _connect(self) -> None:
        self.run_button.clicked.connect(self.run)
        self.save_button.clicked.connect(self.save)
        self.model.refused.connect(self.panel.show_error)
        self.model.chosen.connect(self._refresh)
        self.image.layer_changed.connect(self._refresh)
        self.panel.started.connect(self._refresh)
        self.panel.ended.connect(self._refresh)
        self._predictor.done.connect(self._on_done)
        self._layers = Connections(self)
        self._layers.connect(self._viewer.layers.events.removed, self._on_layer_removed)

    def _refresh(self, _change: object = None) -> None:
        ready = self.model.bundle is not None and self.image.layer is not None
        self.run_button.setEnabled(ready and not self.panel.busy)
        self.save_button.setVisible(self._result is not None)

    def _on_done(self, layer: Labels, files: PredictionFiles) -> None:
        self._result = layer
        self.volumes.show_volumes(classes_of(layer), files.volumes_ml)
        self.panel.messages.add_note(Note(f"{files.bundle} took {files.seconds:.1f} s."))
        self._refresh()

    def _on_saved(self, path: Path) -> None:
        self.panel.messages.add_note(Note(f"Saved {path.name}."))

    def _on_layer_removed(self, _event: object) -> None:
        if self._result is not None and self._result not in self._viewer.layers:
            self._result = None
            self.volumes.show_volumes((), None)
            self._refresh()
