"""Shows who labelled each voxel, in a layer over the labels."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import annotation_of, overlay, own_labels
from napari_medseg.ui.widgets.desk import Legend
from napari_medseg.ui.widgets.section import stacked
from napari_medseg.volume import LabelClass, Volume

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

    from napari_medseg.errors import MedsegError

KINDS = (
    LabelClass(value=1, name="painted by hand", color="#4c8bd0"),
    LabelClass(value=2, name="accepted from a model", color="#f5a031"),
    LabelClass(value=3, name="corrected by hand", color="#3cb44b"),
)
QUIET_MS = 400


class OriginOverlay(QWidget):
    """A box to tick, and what the colours mean.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where it is shown.
    parent : QWidget, optional
        Owner.
    """

    failed = Signal(object)
    """The `MedsegError` because of which it is not shown."""

    def __init__(self, viewer: "Viewer", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._over: Labels | None = None
        self._looking = False
        self.box = QCheckBox("Show who labelled what", self)
        self.box.setToolTip("Colour the labels by who made them: you, a model, or you after a model")
        self.legend = Legend(KINDS, self)
        layout = stacked(self)
        layout.addWidget(self.box)
        layout.addWidget(self.legend)
        self._layer_events = Connections(self)
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET_MS)
        self._quiet.timeout.connect(self._look)
        self.box.toggled.connect(self._on_toggled)

    def show_layer(self, layer: "Labels | None") -> None:
        """Show it of this layer from now on."""
        self._layer_events.close()
        self._layer = layer
        self.box.setChecked(False)
        if layer is not None:
            for emitter in (layer.events.paint, layer.events.data):
                self._layer_events.connect(emitter, self._on_change)

    def _on_toggled(self, shown: bool) -> None:
        self.legend.setVisible(shown)
        if shown:
            self._look()
        else:
            self._remove()

    def _on_change(self, _event: object = None) -> None:
        if self.box.isChecked():
            self._quiet.start()

    def _look(self) -> None:
        if self._layer is None or self._looking or not self.box.isChecked():
            return
        self._looking = True
        in_background(partial(_kinds, self._layer, list(self._viewer.layers)), self._on_found, self._on_failed)

    def _on_found(self, found: "tuple[Labels, Volume]") -> None:
        self._looking = False
        layer, shown = found
        if layer is not self._layer or not self.box.isChecked() or layer not in self._viewer.layers:
            return
        self._remove()
        over = overlay(found[0], shown, f"{found[0].name} origin")
        self._over = self._viewer.add_layer(over)
        self._viewer.layers.selection.active = layer

    def _on_failed(self, error: "MedsegError") -> None:
        self._looking = False
        self.failed.emit(error)

    def _remove(self) -> None:
        over, self._over = self._over, None
        if over is not None and over in self._viewer.layers:
            self._viewer.layers.remove(over)


def _kinds(layer: "Labels", layers: "list[Layer]") -> "tuple[Labels, Volume]":
    own = own_labels(layer, layers)
    codes = annotation_of(layer).origin(np.asarray(own.data))
    kinds = np.where(codes < 2, codes, 2 + codes % 2).astype(np.uint8)
    return layer, replace(own, data=kinds, classes=KINDS)
