"""A training run and the layers that it listens to and speaks to."""

from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_medseg.jobs import Job
from napari_medseg.progress import Event
from napari_medseg.ui.run_layout import LaidOut
from napari_medseg.ui.widgets.live_labels import LiveLabels, ignored_note
from napari_medseg.ui.widgets.live_preview import LivePreview

if TYPE_CHECKING:
    from napari.viewer import Viewer


class LiveRun(QObject):
    """Carries strokes to the run, and previews from it, until it is closed.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the user looks.
    image : Image
        What is trained on.
    labels : Labels
        The user's strokes.
    laid_out : LaidOut
        The run.
    job : Job
        The training.
    parent : QObject
        Owner.
    """

    noted = Signal(object)
    """A `Note` for the user."""
    failed = Signal(object)
    """The `MedsegError` because of which strokes no longer reach the training."""

    def __init__(
        self, viewer: "Viewer", image: Image, labels: Labels, laid_out: LaidOut, job: Job, parent: QObject
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.image = image
        self.run = laid_out.run
        self._viewer = viewer
        self._ignored = laid_out.ignored
        self._strokes = LiveLabels(labels, image, laid_out.mirror, job, self)
        self._preview = LivePreview(viewer, image, laid_out.classes, job, self)
        self._strokes.noted.connect(self.noted)
        self._strokes.failed.connect(self.failed)

    def announce(self) -> None:
        """Note what could not be used of the labels when the run was laid out."""
        if self._ignored:
            self.noted.emit(ignored_note(self._ignored))

    def follow(self, job: Job) -> None:
        """Listen and speak to another job, which resumed the run."""
        self._strokes.follow(job)
        self._preview.follow(job)

    def show_event(self, event: Event) -> None:
        """Show a preview, if the event is one."""
        self._preview.show_event(event)

    def hide_preview(self) -> None:
        """Hide the preview layer, for there is something better to look at."""
        self._preview.hide()

    def close(self) -> None:
        """Stop carrying anything; the layers stay."""
        self._strokes.close()
        self._preview.close()
