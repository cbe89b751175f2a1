"""A box to choose one of the viewer's layers."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_medseg.ui.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer


class LayerChoice(QComboBox):
    """Lists the layers that fit, in the viewer's order, and follows as they come, go and change their name.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers.
    accepts : callable
        Whether a layer is listed.
    parent : QWidget, optional
        Owner.
    """

    layer_changed = Signal(object)
    """Another layer is chosen: a layer, or None."""

    def __init__(self, viewer: "Viewer", accepts: "Callable[[Layer], bool]", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._accepts = accepts
        self._layers: list[Layer] = []
        self._chosen: Layer | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._names = Connections(self)
        self._list = Connections(self)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.reordered):
            self._list.connect(emitter, self.refresh)
        self.currentIndexChanged.connect(self._on_index)
        self.refresh()

    @property
    def layer(self) -> "Layer | None":
        """The chosen layer."""
        return self._chosen

    def choose(self, layer: "Layer | None") -> None:
        """Choose a listed layer."""
        for index, listed in enumerate(self._layers):
            if listed is layer or listed == layer:
                self.setCurrentIndex(index)

    def refresh(self, _event: object = None) -> None:
        """Read the viewer's list again; keeps the choice while its layer is there, else takes the topmost."""
        self._names.close()
        self._layers = [layer for layer in self._viewer.layers if self._accepts(layer)]
        for layer in self._layers:
            self._names.connect(layer.events.name, self.refresh)
        with QSignalBlocker(self):
            self.clear()
            self.addItems([layer.name for layer in self._layers])
            self.setCurrentIndex(self._layers.index(self._chosen) if self._chosen in self._layers else self.count() - 1)
        self._on_index(self.currentIndex())

    def _on_index(self, index: int) -> None:
        chosen = self._layers[index] if 0 <= index < len(self._layers) else None
        if chosen is not self._chosen and (chosen is None or chosen != self._chosen):
            self._chosen = chosen
            self.layer_changed.emit(chosen)
