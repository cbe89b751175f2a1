"""Carries the user's strokes into a running training."""

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.jobs import Job
from napari_medseg.progress import Note
from napari_medseg.training import Drawing, LabelsChanged
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.labels_mirror import Box, Edit, LabelsMirror
from napari_medseg.ui.layers import annotation_of, labels_on, training_labels
from napari_medseg.ui.layers.strokes import stroke_box
from napari_medseg.ui.run_layout import LaidOut

if TYPE_CHECKING:
    from napari.utils.events import Event as LayerEvent
    from numpy.typing import NDArray

    from napari_medseg.errors import MedsegError

AFTER_STROKE_MS = 50
DRAWING_SECONDS = 0.1
"""While the hand draws, the job is told no more often."""
QUIET_MS = 700
"""Undo, and edits by other plugins, announce themselves like a move of the slider does: look when it is at rest."""


@dataclass(frozen=True, eq=False)
class OpenPair:
    """Layers of a case of a run."""

    id: str
    """Identifier of the case within the run."""
    image: Image
    labels: Labels
    """What was painted on the image."""


class LiveLabels(QObject):
    """Copies what changed in a labels layer to the run, and tells the job.

    Parameters
    ----------
    pair : OpenPair
        The user's layers; only looked at.
    laid_out : LaidOut
        The run, whose copy of the labels is kept up to date.
    job : Job
        The training.
    parent : QObject
        Owner.
    """

    noted = Signal(object)
    """A `Note` for the user."""
    failed = Signal(object)
    """The `MedsegError` because of which strokes no longer reach the training."""

    def __init__(self, pair: OpenPair, laid_out: LaidOut, job: Job, parent: QObject) -> None:
        super().__init__(parent)
        self._labels, self._image, self._case = pair.labels, pair.image, pair.id
        self._mirror, self._job = laid_out.mirrors[pair.id], job
        self._stroke: Box | None = None
        self._everywhere = False
        self._looking = False
        self._drawing_told = 0.0
        self._soon, self._quiet = QTimer(self), QTimer(self)
        for timer, interval in ((self._soon, AFTER_STROKE_MS), (self._quiet, QUIET_MS)):
            timer.setSingleShot(True)
            timer.setInterval(interval)
        self._soon.timeout.connect(self._look)
        self._quiet.timeout.connect(self._look_everywhere)
        self._layer_events = Connections(self)
        self._layer_events.connect(pair.labels.events.paint, self._on_paint)
        self._layer_events.connect(pair.labels.events.labels_update, self._on_drawing)
        for emitter in (pair.labels.events.data, pair.labels.events.set_data):
            self._layer_events.connect(emitter, self._on_other_change)

    def follow(self, job: Job) -> None:
        """Tell another job from now on, which resumed the run; it reads the labels anew when it starts."""
        self._job = job
        self._on_other_change()

    def close(self) -> None:
        """Stop watching."""
        self._layer_events.close()
        self._soon.stop()
        self._quiet.stop()

    def _on_drawing(self, _event: object = None) -> None:
        now = time.monotonic()
        if now - self._drawing_told >= DRAWING_SECONDS:
            self._drawing_told = now
            self._job.send(Drawing())

    def _on_paint(self, event: "LayerEvent") -> None:
        self._job.send(Drawing(held=False))
        self._stroke = _union(self._stroke, stroke_box(event.value, self._labels.data.shape))
        if not self._soon.isActive():
            self._soon.start()

    def _on_other_change(self, _event: object = None) -> None:
        self._quiet.start()

    def _look_everywhere(self) -> None:
        self._everywhere = True
        self._look()

    def _look(self) -> None:
        if self._looking:
            self._soon.start()
            return
        within = None if self._everywhere else self._stroke
        self._stroke, self._everywhere, self._looking = None, False, True
        in_background(partial(_update, self._mirror, self._labels, self._image, within), self._on_found, self._on_error)

    def _on_found(self, edit: Edit) -> None:
        self._looking = False
        if edit.start is not None:
            self._job.send(LabelsChanged(self._case, edit.start, edit.stop))
        if edit.ignored:
            self.noted.emit(ignored_note(edit.ignored))

    def _on_error(self, error: "MedsegError") -> None:
        self._looking = False
        self.close()
        self.failed.emit(error)


def ignored_note(values: tuple[int, ...]) -> Note:
    """Return the words about painted values that the training does not know."""
    shown = ", ".join(str(value) for value in values[:5])
    return Note(f"Voxels labelled {shown} belong to no class of this training and are left out.", "warning")


def _union(one: Box | None, other: Box) -> Box:
    if one is None:
        return other
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def _update(mirror: LabelsMirror, labels: Labels, image: Image, within: Box | None) -> Edit:
    own = np.asarray(labels.data[0] if labels.multiscale else labels.data)
    placed: NDArray[np.integer] = np.asarray(labels_on(labels, image).data)
    if placed.shape == own.shape and placed.strides == own.strides and np.shares_memory(placed, own):
        return mirror.update(placed, within, annotation_of(labels).taught)
    return mirror.update(np.asarray(training_labels(labels, image).data))
