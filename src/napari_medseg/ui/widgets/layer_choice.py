"""A box to choose one of the viewer's layers."""

from typing import TYPE_CHECKING, TypeVar

from napari.layers import Image, Labels
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_medseg.errors import ConfigError
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import tag_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer

Kind = TypeVar("Kind")


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
    nothing : str
        Words of a first entry that stands for no layer; without them, the topmost layer is chosen at first.
    """

    layer_changed = Signal(object)
    """Another layer is chosen: a layer, or None."""

    def __init__(
        self,
        viewer: "Viewer",
        accepts: "Callable[[Layer], bool]",
        parent: QWidget | None = None,
        nothing: str = "",
    ) -> None:
        super().__init__(parent)
        self._nothing = nothing
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
        for index, listed in enumerate(self._layers, start=bool(self._nothing)):
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
            self.addItems([*([self._nothing] if self._nothing else []), *(layer.name for layer in self._layers)])
            kept = self._layers.index(self._chosen) if self._chosen in self._layers else None
            first = 0 if self._nothing else self.count() - 1
            self.setCurrentIndex(first if kept is None else kept + bool(self._nothing))
        self._on_index(self.currentIndex())

    def _on_index(self, index: int) -> None:
        place = index - bool(self._nothing)
        chosen = self._layers[place] if 0 <= place < len(self._layers) else None
        if chosen is not self._chosen and (chosen is None or chosen != self._chosen):
            self._chosen = chosen
            self.layer_changed.emit(chosen)


def needed(viewer: "Viewer", kind: type[Kind], words: str) -> Kind:
    """Return the selected layer if it is of a kind, else the topmost one that is.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers.
    kind : type
        Of layer.
    words : str
        What to call it where there is none.

    Raises
    ------
    ConfigError
        If there is none.
    """
    found = [layer for layer in viewer.layers if isinstance(layer, kind)]
    if not found:
        raise ConfigError(f"There is no {words}.", "Make one, or open it.")
    active = viewer.layers.selection.active
    return active if isinstance(active, kind) else found[-1]


def is_image(layer: object) -> bool:
    """Return whether a layer is an image, and not one that only shows how sure a training is."""
    if not isinstance(layer, Image):
        return False
    tag = tag_of(layer)
    return tag is None or tag.role != "preview"


def is_labels(layer: object) -> bool:
    """Return whether a layer holds labels that can be worked on: not one that only shows something of ours."""
    if not isinstance(layer, Labels):
        return False
    tag = tag_of(layer)
    return tag is None or tag.role != "preview"
