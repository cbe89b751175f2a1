"""A training run and the layers that it listens to and speaks to."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_medseg.jobs import Job
from napari_medseg.progress import Event
from napari_medseg.ui.run_layout import LaidOut
from napari_medseg.ui.widgets.live_labels import LiveLabels, OpenPair, ignored_note
from napari_medseg.ui.widgets.live_preview import LivePreview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer


class LiveRun(QObject):
    """Carries strokes to the run, and previews from it, until it is closed.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the user looks.
    pairs : sequence of OpenPair
        What is trained on and open, the one that the user looks at first.
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
    explained = Signal(str)
    """What the preview shows, and why, in a few words."""

    def __init__(
        self, viewer: "Viewer", pairs: "Sequence[OpenPair]", laid_out: LaidOut, job: Job, parent: QObject
    ) -> None:
        super().__init__(parent)
        self.image = pairs[0].image
        self.run = laid_out.run
        self._viewer = viewer
        self._ignored = laid_out.ignored
        self._strokes = [LiveLabels(pair, laid_out, job, self) for pair in pairs]
        self._preview = LivePreview(viewer, pairs[0], laid_out.classes, job, self)
        self._preview.run = laid_out.run.path.name
        self._preview.explained.connect(self.explained)
        for strokes in self._strokes:
            strokes.noted.connect(self.noted)
            strokes.failed.connect(self.failed)

    def announce(self) -> None:
        """Note what could not be used of the labels when the run was laid out."""
        if self._ignored:
            self.noted.emit(ignored_note(self._ignored))

    def follow(self, job: Job) -> None:
        """Listen and speak to another job, which resumed the run."""
        for strokes in self._strokes:
            strokes.follow(job)
        self._preview.follow(job)

    def show_event(self, event: Event) -> None:
        """Show a preview, if the event is one."""
        self._preview.show_event(event)

    def show_doubt(self, shown: bool) -> None:
        """Show where the model is in doubt, or hide it."""
        self._preview.doubt.visible = shown

    def hide_preview(self) -> None:
        """Hide the preview layer, for there is something better to look at."""
        self._preview.hide()

    def close(self) -> None:
        """Stop carrying anything; the layers stay."""
        for strokes in self._strokes:
            strokes.close()
        self._preview.close()
