"""What is to be saved of one labels layer, and saving it."""

import zlib
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_medseg.project.sessions import COPIED_BYTES, is_session
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import annotation_of, image_of, image_volume, own_labels, tag_of
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
        self._before: int | None = None
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
            self._looked, self._before = True, _checksum(self.layer)
            if is_work and _is_painted(self.layer):
                self.touched, self._rows = True, None

    def close(self) -> None:
        """Stop watching."""
        self._events.close()

    def forget_case(self) -> None:
        """Belong to no case, as if the layer had just come."""
        self.case, self.touched, self._rows = None, False, NOWHERE
        self._looked = False

    def save(self, project: "Project", layers: "Sequence[Layer]") -> bool:
        """Save what was changed, from any thread, and return whether there was anything.

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
        rows, self._rows = self._rows, NOWHERE
        try:
            self.begin(is_work=False)
            self.touched = self.touched or _checksum(self.layer) != self._before
            if not self.touched:
                return False
            labels = own_labels(self.layer, layers)
            if self.case is None:
                self.case, rows = project.add_case(_images(self.layer, layers, project)).id, None
            tag = tag_of(self.layer)
            resampled = tag is not None and tag.shown_on is not None
            project.save_labels(self.case, labels, annotation_of(self.layer), None if resampled else rows)
        except BaseException:
            self._rows = None
            raise
        return True

    def mark(self) -> None:
        """Note that anything may have been changed."""
        self._rows = None
        self.changed.emit()

    def _on_paint(self, event: "Event") -> None:
        self.touched = True
        shape = self.layer.data.shape
        if self._rows is not None and not self.layer.multiscale and fits(event.value, shape):
            box = stroke_box(event.value, shape)[0]
            start, stop = (box.start, box.stop) if self._rows == NOWHERE else _both(self._rows, box)
            self._rows = slice(start, stop)
        else:
            self._rows = None
        self.changed.emit()

    def _on_change(self, _event: object = None) -> None:
        self.mark()


def _both(one: slice, other: slice) -> tuple[int, int]:
    return min(one.start, other.start), max(one.stop, other.stop)


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


def _checksum(layer: "Labels") -> int | None:
    """Return a checksum of what a layer holds; None for one whose labels are not in memory."""
    if layer.multiscale or not isinstance(layer.data, np.ndarray):
        return None
    found = 0
    data: NDArray[np.integer] = layer.data
    for plane in data:
        found = zlib.crc32(np.ascontiguousarray(plane).data, found)
    return found
