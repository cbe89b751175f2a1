"""The part of the Labels panel in which predictions are accepted."""

from functools import partial
from typing import TYPE_CHECKING

from napari.layers import Labels, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QPushButton, QWidget

from napari_medseg.data.annotation import Accepted
from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.progress import Note
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import (
    PAINTED_BACKGROUND,
    annotation_of,
    classes_of,
    history_of,
    redo,
    tag_of,
    undo,
    visible_slice,
    voxel_at,
)
from napari_medseg.ui.layers.accepting import Offer, Where, accept_into
from napari_medseg.ui.layers.annotations import MODEL
from napari_medseg.ui.layers.previews import PREVIEWED
from napari_medseg.ui.layers.regions import region_box
from napari_medseg.ui.widgets.class_menu import ClassMenu
from napari_medseg.ui.widgets.desk import buttons
from napari_medseg.ui.widgets.layer_choice import LayerChoice
from napari_medseg.ui.widgets.section import beside, rows, stacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.utils.events import Event
    from napari.viewer import Viewer

PLACES: dict[Where, str] = {
    "slice": "this slice",
    "volume": "the whole volume",
    "component": "component under the cursor",
    "box": "box of a Shapes layer",
}


class AcceptBox(QWidget):
    """Choose whose labels, which classes and where; accept them, and take that back.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers.
    parent : QWidget, optional
        Owner.
    """

    noted = Signal(object)
    """A `Note` for the user."""
    failed = Signal(object)
    """The `MedsegError` because of which nothing was done."""

    def __init__(self, viewer: "Viewer", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self.source = LayerChoice(viewer, self._predicts, self)
        self.source.setToolTip("The prediction, or the preview of a training, that is accepted")
        self.classes = ClassMenu(self, "all but background")
        self.classes.setToolTip("Tick what to accept; with none ticked all classes, without background")
        self.where = QComboBox(self)
        self.where.addItems(list(PLACES.values()))
        self.where.setToolTip("How much of it; a component lies under the mouse when the key is pressed")
        self.shapes = LayerChoice(viewer, lambda layer: isinstance(layer, Shapes), self)
        self.shapes.setToolTip("Rectangles around what to accept; one rectangle counts on all slices")
        self.accept_button = QPushButton("Accept", self)
        self.accept_button.setToolTip(
            "Take the prediction over into your labels (key A). Voxels that you painted or corrected stay as they are, "
            "and so do locked classes."
        )
        self.undo_button, self.redo_button = QPushButton("Undo", self), QPushButton("Redo", self)
        self._layer_events, self._list_events = Connections(self), Connections(self)
        layout = stacked(self)
        where = beside(self.where, self.shapes)
        layout.addLayout(rows(("From", self.source), ("Classes", self.classes), ("Where", where)))
        layout.addLayout(buttons(self.accept_button, self.undo_button, self.redo_button))
        self.accept_button.clicked.connect(self.accept)
        self.undo_button.clicked.connect(partial(self.step_back, undo, "Undone"))
        self.redo_button.clicked.connect(partial(self.step_back, redo, "Done again"))
        self.source.layer_changed.connect(self.refresh)
        self.where.currentIndexChanged.connect(self.refresh)
        self._list_events.connect(viewer.layers.events.inserted, self._on_inserted)
        self.refresh()

    @property
    def place(self) -> Where:
        """What is chosen as the place."""
        place: Where = tuple(PLACES)[self.where.currentIndex()]
        return place

    def show_layer(self, layer: Labels | None) -> None:
        """Accept into this layer from now on."""
        self._layer = layer
        self._layer_events.close()
        if layer is not None:
            for emitter in (layer.events.data, layer.events.features):
                self._layer_events.connect(emitter, self.refresh)
        self.source.refresh()
        self.refresh()

    def refresh(self, _event: object = None) -> None:
        """Offer what can be done now."""
        layer, source = self._layer, self.source.layer
        self.shapes.setVisible(self.place == "box")
        self.accept_button.setEnabled(layer is not None and isinstance(source, Labels))
        if isinstance(source, Labels):
            self.classes.set_classes((*classes_of(source), PAINTED_BACKGROUND))
        history = history_of(layer) if layer is not None else None
        for button, words, what in (
            (self.undo_button, "Undo", history.undoable if history else ""),
            (self.redo_button, "Redo", history.redoable if history else ""),
        ):
            button.setEnabled(bool(what))
            key = " (key U)" if words == "Undo" else " (Shift+U)"
            button.setToolTip(f"{words}: {what}{key}" if what else f"There is nothing to {words.lower()}")

    def accept(self, _checked: bool = False, where: Where | None = None) -> None:
        """Take the prediction over, where the panel says or at another kind of place."""
        try:
            layer, source = self._layer, self.source.layer
            if layer is None or not isinstance(source, Labels):
                raise ConfigError("There is no prediction to accept.", "Segment the image, or train with a preview.")
            offer = self._offer(layer, source, where or self.place)
            self.noted.emit(Note(_words(accept_into(layer, offer, list(self._viewer.layers)))))
        except MedsegError as error:
            self.failed.emit(error)
        self.refresh()

    def step_back(self, step: "Callable[[Labels], str]", words: str, _checked: bool = False) -> None:
        """Undo, or do again, what was last written to the layer."""
        history = history_of(self._layer) if self._layer is not None else None
        if history is None or not (history.undoable if step is undo else history.redoable):
            return
        try:
            assert self._layer is not None
            self.noted.emit(Note(f"{words}: {step(self._layer)}."))
        except MedsegError as error:
            self.failed.emit(error)
        self.refresh()

    def _offer(self, layer: Labels, source: Labels, where: Where) -> Offer:
        voxel = voxel_at(self._viewer, layer, self._viewer.cursor.position) if where == "component" else ()
        box: tuple[tuple[int, int], ...] = ()
        if where == "box":
            if not isinstance(self.shapes.layer, Shapes):
                raise ConfigError("There is no box.", "Add a Shapes layer and draw a rectangle.")
            box = region_box(self.shapes.layer, layer)
        return Offer(source, where, self.classes.values, visible_slice(self._viewer, layer), voxel, box)

    def _predicts(self, layer: "Layer") -> bool:
        """Return whether a layer shows what a model, or another program, makes of the image."""
        if not isinstance(layer, Labels) or layer is self._layer:
            return False
        tag = tag_of(layer)
        if tag is None or tag.role in ("prediction", "opened"):
            return True
        return PREVIEWED in layer.metadata if tag.role == "preview" else MODEL in layer.metadata

    def _on_inserted(self, event: "Event") -> None:
        if self._predicts(event.value):
            self.source.choose(event.value)


class LockMenu(ClassMenu):
    """Ticks the classes that only the user's hand may add to.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, "no class")
        self._layer: Labels | None = None
        self._layer_events = Connections(self)
        self.setToolTip(
            "A locked class is not painted over by the brush or by Accept, and Accept adds nothing to it. "
            "You may still paint more of it where no other locked class is."
        )
        self.changed.connect(self._on_ticked)

    def show_layer(self, layer: Labels | None) -> None:
        """Lock the classes of this layer from now on."""
        self._layer = layer
        self._layer_events.close()
        self.setEnabled(layer is not None)
        if layer is not None:
            self._layer_events.connect(layer.events.features, self._on_named)
        self._on_named()

    def _on_named(self, _event: object = None) -> None:
        if self._layer is not None:
            self.set_classes((*classes_of(self._layer), PAINTED_BACKGROUND))
            self.show_values(tuple(annotation_of(self._layer).locked))

    def _on_ticked(self) -> None:
        if self._layer is not None:
            annotation_of(self._layer).locked = set(self.values)


def _words(made: Accepted) -> str:
    kept = [
        f"{count} {words}"
        for count, words in ((made.kept, "that you labelled otherwise stay"), (made.locked, "of locked classes stay"))
        if count
    ]
    return "; ".join([f"Accepted: {made.changed} voxels changed", *kept]) + "."
