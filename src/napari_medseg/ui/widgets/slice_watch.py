"""Keeps the slice strip up to date with a labels layer and with what the viewer shows."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import annotation_of, go_to_slice, own_labels, own_shape, tag_of, visible_slice
from napari_medseg.ui.layers.strokes import stroke_box
from napari_medseg.ui.widgets.slice_strip import SliceMarks, SliceStrip

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.utils.events import Event
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_medseg.errors import MedsegError

QUIET_MS = 400
"""Undo, and edits by other plugins, announce themselves like a move of the slider does: look when it is at rest."""


class SliceWatch(QObject):
    """Follows a layer; the strip shows what it finds.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose slider the strip moves.
    strip : SliceStrip
        Where it is shown.
    parent : QObject
        Owner.
    """

    moved = Signal()
    """Another slice is shown, or what is known of it changed."""
    failed = Signal(object)
    """The `MedsegError` because of which nothing is shown."""

    def __init__(self, viewer: "Viewer", strip: SliceStrip, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._strip = viewer, strip
        self._layer: Labels | None = None
        self._held: dict[int, NDArray[np.bool_]] = {}
        self._looking = False
        self.marked: dict[int, set[int]] = {}
        """Per axis, the slices that the user was sent to."""
        self._layer_events, self._dims_events = Connections(self), Connections(self)
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET_MS)
        self._quiet.timeout.connect(self._look)
        for emitter in (viewer.dims.events.point, viewer.dims.events.order, viewer.dims.events.ndisplay):
            self._dims_events.connect(emitter, self.refresh)
        strip.picked.connect(self.go_to)

    def follow(self, layer: "Labels | None") -> None:
        """Watch this layer from now on."""
        self._layer_events.close()
        self._layer, self._held, self.marked = layer, {}, {}
        if layer is not None:
            self._layer_events.connect(layer.events.paint, self._on_paint)
            for emitter in (layer.events.data, layer.events.set_data):
                self._layer_events.connect(emitter, self._on_other_change)
            self._look()
        self.refresh()

    @property
    def place(self) -> tuple[int, int] | None:
        """Axis and index of the slice that is shown, on the labels' own grid; None without a layer of the viewer's."""
        if self._layer is None or self._layer not in self._viewer.layers:
            return None
        return visible_slice(self._viewer, self._layer)

    def go_to(self, index: int) -> None:
        """Show another slice along the viewed axis."""
        if self._layer is not None and (place := self.place) is not None:
            go_to_slice(self._viewer, self._layer, place[0], index)

    def refresh(self, _event: object = None) -> None:
        """Show what is known."""
        place, layer = self.place, self._layer
        flat = layer is None or len(own_shape(layer)) != 3
        self._strip.setVisible(not flat)
        if layer is None or place is None or flat:
            self._strip.show_marks(None)
        else:
            self._strip.show_marks(self._marks(layer, *place))
        self.moved.emit()

    def _marks(self, layer: "Labels", axis: int, index: int) -> SliceMarks:
        annotation, count = annotation_of(layer), own_shape(layer)[axis]
        finished = np.array([annotation.is_finished(axis, k) for k in range(count)])
        strokes = self._held.get(axis, np.zeros(count, bool))
        marked = frozenset(self.marked.get(axis, ()))
        return SliceMarks(strokes, finished, marked, index, _backwards(self._viewer, layer))

    def _on_paint(self, event: "Event") -> None:
        layer = self._layer
        if layer is None or not self._held or own_shape(layer) != layer.data.shape:
            self._quiet.start()
            return
        if event.value and np.any(layer.selected_label):
            for axis, part in enumerate(stroke_box(event.value, layer.data.shape)):
                self._held[axis][part] = True
            self.refresh()
        self._quiet.start()

    def _on_other_change(self, _event: object = None) -> None:
        self._quiet.start()

    def _look(self) -> None:
        if self._layer is None:
            return
        if self._looking:
            self._quiet.start()
            return
        self._looking = True
        in_background(partial(_held, self._layer, list(self._viewer.layers)), self._on_found, self._on_failed)

    def _on_found(self, found: "tuple[Labels, dict[int, NDArray[np.bool_]]]") -> None:
        self._looking = False
        if found[0] is self._layer:
            self._held = found[1]
            self.refresh()

    def _on_failed(self, error: "MedsegError") -> None:
        self._looking = False
        self.failed.emit(error)


def _held(layer: "Labels", layers: "list[Layer]") -> "tuple[Labels, dict[int, NDArray[np.bool_]]]":
    """Return the layer, and for each axis which slices of its own grid hold labels."""
    labels = np.asarray(own_labels(layer, layers).data)
    first, seen = np.zeros(len(labels), bool), np.zeros(labels.shape[1:], bool)
    for index, slab in enumerate(labels):
        plane = slab != 0
        first[index] = plane.any()
        seen |= plane
    rest = [
        np.asarray(seen.any(axis=tuple(other for other in range(seen.ndim) if other != axis)))
        for axis in range(seen.ndim)
    ]
    return layer, dict(enumerate([first, *rest]))


def _backwards(viewer: "Viewer", layer: "Labels") -> bool:
    """Return whether the slider's first step is the last slice."""
    tag = tag_of(layer)
    axis = (viewer.dims.not_displayed or viewer.dims.order[-3:-2])[-1] - viewer.dims.ndim
    if tag is not None and tag.shown_on is not None and tag.geometry is not None:
        directions = np.linalg.inv(tag.shown_on.direction) @ tag.geometry.direction
        along = int(np.abs(directions[axis]).argmax())
        return bool(directions[axis, along] * layer.scale[axis] < 0)
    return bool(layer.scale[axis] < 0)
