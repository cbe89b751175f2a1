"""What can be done with a model once it is trained: keep it, and segment the volume with it."""

from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QInputDialog, QPushButton, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.models import Bundle, install
from napari_medseg.models.versions import place_of, replace, rollback, versions
from napari_medseg.project.models import go_back
from napari_medseg.ui.background import in_background
from napari_medseg.ui.widgets.section import SPACING


class ResultBar(QWidget):
    """Buttons for a trained model; hidden while there is none.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    segment = Signal(object)
    """The user wants to segment the whole volume with this `Bundle`."""
    saved = Signal(object)
    """The model was saved; the `Bundle` in its new place."""
    went_back = Signal(object)
    """The version before is in the library again; that `Bundle`."""
    failed = Signal(object)
    """It was not; the `MedsegError`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bundle: Bundle | None = None
        self._passed: Path | None = None
        self._models: Path | None = None
        self._place: Path | None = None
        self.segment_button = QPushButton("Segment the whole volume", self)
        self.segment_button.setToolTip("Run the new model on all of the image")
        self.library_button = QPushButton("Add to library…", self)
        self.library_button.setToolTip("Keep the model under a name of your choice, for all images to come")
        self.folder_button = QPushButton("Save to folder…", self)
        self.folder_button.setToolTip("Write the model as a MONAI bundle folder, to use or share elsewhere")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACING)
        layout.addWidget(self.segment_button, 0, 0, 1, 2)
        layout.addWidget(self.library_button, 1, 0)
        layout.addWidget(self.folder_button, 1, 1)
        self.back_button = QPushButton("Go back to the model before", self)
        self.back_button.setToolTip(
            "Put the version that was there before in the place of this one, which is kept as its oldest version"
        )
        layout.addWidget(self.back_button, 2, 0, 1, 2)
        self.back_button.clicked.connect(self._on_back)
        self.segment_button.clicked.connect(self._on_segment)
        self.library_button.clicked.connect(self._on_library)
        self.folder_button.clicked.connect(self._on_folder)
        self.show_bundle(None)

    @property
    def bundle(self) -> Bundle | None:
        """The trained model."""
        return self._bundle

    def show_bundle(self, bundle: Bundle | None, passed: Path | None = None) -> None:
        """Offer a model, or nothing.

        Parameters
        ----------
        bundle : Bundle or None
            The model.
        passed : Path, optional
            Folder of the model in the library that it was compared with, and whose place it may take.
        """
        self._bundle, self._passed, self._models = bundle, passed, None
        self.back_button.hide()
        self.setVisible(bundle is not None)

    def show_kept(self, bundle: Bundle) -> None:
        """Offer to take back that a model took the place of the one before, in its project's folder of models."""
        self._place, self._models = bundle.path, bundle.path and bundle.path.parent
        self.back_button.setVisible(bool(bundle.path and versions(bundle.path)))

    def add_to_library(self, name: str) -> None:
        """Keep the model in the user's library under `name`.

        One of that name gives way to it if it was found no worse, and is left beside it otherwise.
        """
        if self._bundle is not None:
            place = place_of(name)
            keep = replace if place == self._passed or not place.is_dir() else install
            in_background(partial(keep, self._bundle.named(name)), self._on_kept, self._on_failed)

    def save_to(self, folder: Path) -> None:
        """Write the model to `folder`, which is made."""
        if self._bundle is not None:
            in_background(partial(self._bundle.save, folder), self._on_saved, self._on_failed)

    def _on_kept(self, bundle: Bundle) -> None:
        self._place, self._models = bundle.path, None
        self.back_button.setVisible(bool(bundle.path and versions(bundle.path)))
        self.saved.emit(bundle)

    def _on_back(self) -> None:
        if self._place is not None:
            back = rollback if self._models is None else partial(go_back, self._models)
            in_background(partial(back, self._place), self._on_went_back, self._on_failed)

    def _on_went_back(self, bundle: Bundle) -> None:
        self.went_back.emit(bundle)

    def _on_saved(self, bundle: Bundle) -> None:
        self.saved.emit(bundle)

    def _on_failed(self, error: MedsegError) -> None:
        self.failed.emit(error)

    def _on_segment(self) -> None:
        self.segment.emit(self._bundle)

    def _on_library(self) -> None:
        name = self._bundle.spec.name if self._bundle else ""
        chosen, accepted = QInputDialog.getText(self, "Add to library", "Name of the model:", text=name)
        if accepted and chosen.strip():
            self.add_to_library(chosen.strip())

    def _on_folder(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Name of the new model folder", "model")
        if path:
            self.save_to(Path(path))
