"""What is to be saved of one labels layer, and saving it."""

import threading
import zlib
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_medseg.data.annotation import Annotation
from napari_medseg.errors import MedsegError, WriteError
from napari_medseg.project.sessions import COPIED_BYTES, is_session
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import annotation_of, image_of, image_volume, own_labels, tag_of
from napari_medseg.ui.layers.annotations import ANNOTATION
from napari_medseg.ui.layers.strokes import fits, stroke_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels, Layer
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_medseg.project import ImageReference, Project

NOWHERE = slice(0, 0)


class Track(QObject):
    """Notes where a labels layer was changed since it was last saved.

    Labels that nobody has changed since they came, such as a prediction or a file, are not saved.

    Parameters
    ----------
    layer : Labels
        Only looked at.
    case : str or None
        Its case in the project; None as long as it has none.
    parent : QObject
        Owner.
    """

    changed = Signal()
    """The layer may have been changed."""

    def __init__(self, layer: "Labels", case: str | None, parent: QObject) -> None:
        super().__init__(parent)
        self.layer, self.case = layer, case
        self.touched = case is not None
        self._rows: slice | None = NOWHERE
        self._lock = threading.Lock()
        self._before: tuple[int | None, object] = None, None
        self._looked = False
        self._events = Connections(self)
        self._events.connect(layer.events.paint, self._on_paint)
        for emitter in (layer.events.data, layer.events.set_data, layer.events.features):
            self._events.connect(emitter, self._on_change)

    @property
    def is_dirty(self) -> bool:
        """Whether there may be something to save."""
        return self._rows != NOWHERE

    def begin(self, is_work: bool) -> None:
        """Look at the labels as they came, from any thread.

        Parameters
        ----------
        is_work : bool
            Whether what the layer holds already may be the user's work.
        """
        if not self._looked:
            self._looked, self._before = True, _state(self.layer)
            if is_work and _is_painted(self.layer):
                self.touched = True
                self._add_rows(None)

    def close(self) -> None:
        """Stop watching."""
        self._events.close()

    def forget_case(self) -> None:
        """Belong to no case, as if the layer had just come; what is still to be saved stays so."""
        self.case = None
        if self.is_dirty:
            self._add_rows(None)
        else:
            self.touched = self._looked = False

    def look(self) -> bool:
        """Return whether anybody has changed the labels since they came, from any thread."""
        if not self.touched:
            self.begin(is_work=False)
            self._take_rows()
            if _state(self.layer) != self._before:
                self.touched = True
                self._add_rows(None)
        # A stroke may have come meanwhile.
        return self.touched

    def save(self, project: "Project", layers: "Sequence[Layer]") -> None:
        """Save what was changed, from any thread.

        Parameters
        ----------
        project : Project
            Gets a case for the layer, if it has none.
        layers : sequence of Layer
            The viewer's.

        Raises
        ------
        MedsegError
            If it cannot be saved; it is still to be saved then.
        """
        rows = self._take_rows()
        try:
            labels = own_labels(self.layer, layers)
            if self.case is None:
                self.case, rows = project.add_case(_images(self.layer, layers, project)).id, None
            tag = tag_of(self.layer)
            resampled = tag is not None and tag.shown_on is not None
            project.save_labels(self.case, labels, annotation_of(self.layer), None if resampled else rows)
        except MedsegError:
            self._add_rows(None)
            raise
        except Exception as error:
            # Whatever it is, the next try comes, and the user knows.
            self._add_rows(None)
            raise WriteError(
                f"Labels could not be saved ({type(error).__name__}: {error}).", "Save the layer to a file of its own."
            ) from error

    def mark(self) -> None:
        """Note that anything may have been changed."""
        self._add_rows(None)
        self.changed.emit()

    def _add_rows(self, rows: slice | None) -> None:
        """Note where along the first axis something may have been changed; None for anywhere."""
        with self._lock:
            if rows is None or self._rows is None:
                self._rows = None
            elif self._rows == NOWHERE:
                self._rows = rows
            else:
                self._rows = slice(min(self._rows.start, rows.start), max(self._rows.stop, rows.stop))

    def _take_rows(self) -> slice | None:
        """Return where something may have been changed; from now on, that is nowhere."""
        with self._lock:
            rows, self._rows = self._rows, NOWHERE
        return rows

    def _on_paint(self, event: "Event") -> None:
        self.touched = True
        shape = self.layer.data.shape
        known = not self.layer.multiscale and fits(event.value, shape)
        self._add_rows(stroke_box(event.value, shape)[0] if known else None)
        self.changed.emit()

    def _on_change(self, _event: object = None) -> None:
        self.mark()


def _images(layer: "Labels", layers: "Sequence[Layer]", project: "Project") -> "tuple[ImageReference, ...]":
    """Return references to the image that labels lie on; none where it has no file and is too large to be copied."""
    image = image_of(layer, layers)
    if image is None:
        return ()
    volume = image_volume(image)
    needs_copy = volume.path is None or bool(volume.derivation)
    if needs_copy and is_session(project) and int(volume.data.nbytes) > COPIED_BYTES:
        return ()
    return (project.refer(volume),)


def _is_painted(layer: "Labels") -> bool:
    """Return whether a layer holds strokes, as opposed to nothing, a prediction, or a file."""
    tag = tag_of(layer)
    by_hand = layer.source.path is None if tag is None else tag.role == "painted"
    return by_hand and not layer.multiscale and bool(np.asarray(layer.data).any())


def _state(layer: "Labels") -> tuple[int | None, object]:
    """Return a checksum of what a layer holds, None if that is not in memory, and what was marked on it."""
    annotation = getattr(layer.metadata.get(ANNOTATION), "annotation", None)
    marks = None
    if isinstance(annotation, Annotation) and (annotation.finished or annotation.complete or annotation.locked):
        marks = (frozenset(annotation.finished), annotation.complete, frozenset(annotation.locked))
    if layer.multiscale or not isinstance(layer.data, np.ndarray):
        return None, marks
    found = 0
    data: NDArray[np.integer] = layer.data
    for plane in data:
        found = zlib.crc32(np.ascontiguousarray(plane).data, found)
    return found, marks
