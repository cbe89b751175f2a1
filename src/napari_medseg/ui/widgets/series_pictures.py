"""Draws the small pictures of the series browser, one after the other, in the background."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_medseg.errors import ReadError
from napari_medseg.io import thumbnail
from napari_medseg.jobs import Job, Tell, ThreadJob
from napari_medseg.progress import Control, Event
from napari_medseg.ui.widgets.job_relay import JobRelay

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_medseg.ui.opening import Entry


@dataclass(frozen=True, slots=True, eq=False)
class Drawn(Event):
    """A picture is ready."""

    entry: "Entry"
    picture: "NDArray[np.uint8]"


class SeriesPictures(QObject):
    """Draws pictures of volumes; those that cannot be drawn are left out, for opening them says why.

    Parameters
    ----------
    side : int
        Length of the longer side of a picture, in pixels.
    parent : QObject, optional
        Owner, with which the drawing ends.
    """

    drawn = Signal(object, object)
    """An `Entry`, and its picture: (rows, columns[, 3]) uint8."""

    def __init__(self, side: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._side = side
        self._relays: list[JobRelay] = []

    def draw(self, entries: "Sequence[Entry]") -> None:
        """Begin to draw the pictures of some volumes."""
        if not entries:
            return
        job = ThreadJob("drawing pictures", _drawing(entries, self._side))
        relay = JobRelay()
        relay.arrived.connect(self._on_event)
        self._relays.append(relay)
        self.destroyed.connect(partial(_end, job))
        job.on(relay.tell)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Drawn):
            self.drawn.emit(event.entry, event.picture)


def _end(job: Job, _object: object = None) -> None:
    if not job.ended:
        job.cancel()


def _drawing(entries: "Sequence[Entry]", side: int) -> Callable[[Control, Tell], None]:
    def work(control: Control, tell: Tell) -> None:
        for entry in entries:
            control.checkpoint()
            try:
                picture = thumbnail(entry.info, side, control)
            except ReadError:
                continue
            if picture is not None:
                tell(Drawn(entry, picture))

    return work
