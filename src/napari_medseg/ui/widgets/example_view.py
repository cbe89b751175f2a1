"""Shows an example in the viewer: its layer, slice or region, or its file as a layer that the next one replaces."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_medseg.data.labelled.images import one_volume
from napari_medseg.data.labelled.listing import open_npz
from napari_medseg.ui.background import in_background
from napari_medseg.ui.layers import add_layers, frame_of, go_to, place
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_medseg.ui.examples import Example


class ExampleView(QObject):
    """Brings examples on the screen, one at a time.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
    parent : QObject, optional
        Owner.
    """

    failed = Signal(object)
    """A file cannot be shown; the `MedsegError`."""
    shown = Signal(object, object)
    """The `Example`, and the image layer that shows it."""

    def __init__(self, viewer: "Viewer", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._wanted: Example | None = None
        self._layer: Image | None = None

    def show(self, example: "Example") -> None:
        """Show an example; a file is read in the background, and the last one that was asked for is shown."""
        self._wanted = example
        if isinstance(example.image, Image):
            if example.image in self._viewer.layers:
                self._bring(example, example.image)
        else:
            in_background(partial(_read, example), self._on_read, self.failed.emit)

    def _on_read(self, found: "tuple[Example, Volume]") -> None:
        example, volume = found
        if example is not self._wanted:
            return
        gone = None if self._layer is None else self._layer.unique_id
        others = [layer for layer in self._viewer.layers if layer.unique_id != gone]
        ready = place([volume], frame_of(others))
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        (layer,) = add_layers(self._viewer, ready.tuples)
        self._layer = layer if isinstance(layer, Image) else None
        self._viewer.reset_view()
        if isinstance(layer, Image):
            self._bring(example, layer)

    def _bring(self, example: "Example", layer: Image) -> None:
        for other in self._viewer.layers:
            if isinstance(other, Image):
                # The viewer hands out stand-ins for its layers.
                other.visible = other.unique_id == layer.unique_id
        self._viewer.layers.selection.active = layer
        if example.box is not None:
            middle = [0 if s.start is None else (s.start + s.stop - 1) // 2 for s in example.box]
            shape = layer.data.shape[layer.ndim - len(middle) : layer.ndim]
            whole = [edge // 2 if s.start is None else k for k, s, edge in zip(middle, example.box, shape, strict=True)]
            go_to(self._viewer, layer, whole)
        self.shown.emit(example, layer)


def _read(example: "Example") -> "tuple[Example, Volume]":
    if isinstance(example.image, tuple):
        path, number = example.image
        values = open_npz(path)[0].get(number)
        data = values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)
        return example, Volume(np.ascontiguousarray(data), None, name=example.name, rgb=len(values) > 1)
    assert isinstance(example.image, Path)
    return example, one_volume(example.image, example.name)
