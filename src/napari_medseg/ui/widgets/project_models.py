"""Puts new models among those of the open project, and offers these to start from."""

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_medseg.models.library import bundles_in
from napari_medseg.progress import Note
from napari_medseg.project.models import keep_model
from napari_medseg.ui.background import in_background

if TYPE_CHECKING:
    from napari_medseg.errors import MedsegError
    from napari_medseg.models import Bundle
    from napari_medseg.project import Project
    from napari_medseg.training import RunFolder, TrainResult
    from napari_medseg.ui.projects.keeper import Keeper
    from napari_medseg.ui.widgets.bundle_choice import BundleChoice


class ProjectModels(QObject):
    """Looks after the models of the project that a window has open.

    Parameters
    ----------
    keeper : Keeper
        Knows the project.
    start : BundleChoice
        Lists them before those of the library.
    parent : QObject
        Owner.
    """

    kept = Signal(object)
    """A new model took its place in the project; the `Bundle` there."""
    noted = Signal(object)
    """A `Note` for the user."""
    failed = Signal(object)
    """The `MedsegError` because of which a model could not be kept."""

    def __init__(self, keeper: "Keeper", start: "BundleChoice", parent: QObject) -> None:
        super().__init__(parent)
        self._keeper, self._start = keeper, start
        self._offered: Project | None = None
        keeper.changed.connect(self._on_changed)
        self._on_changed()

    @property
    def project(self) -> "Project | None":
        """The project that the user made and has open."""
        return None if self._keeper.is_session else self._keeper.project

    def keep(self, run: "RunFolder", result: "TrainResult") -> None:
        """Put the model of a run of the project in its place there, if it was found no worse than the one before."""
        project = self.project
        if project is not None and run.path.parent == project.runs:
            in_background(partial(keep_model, project.models, run, result.verdict), self._on_kept, self._on_failed)

    def offer(self) -> None:
        """List the project's models."""
        self._offered = self.project
        self._start.offer([] if self._offered is None else bundles_in(self._offered.models))

    def _on_changed(self) -> None:
        if self._offered != self.project:
            self.offer()

    def _on_kept(self, bundle: "Bundle | None") -> None:
        if bundle is None:
            text = "The project goes on with the model before; the new one stays in its run's folder."
            self.noted.emit(Note(text, "warning"))
            return
        self.noted.emit(Note(f"{bundle.spec.name} in the project is now this model."))
        self.offer()
        self.kept.emit(bundle)

    def _on_failed(self, error: "MedsegError") -> None:
        self.failed.emit(error)
