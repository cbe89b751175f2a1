"""The Labels dock widget: what is finished, what is accepted of a prediction, and where to look next."""

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QWidget

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import annotation_of, announce, own_shape, redo, undo
from napari_medseg.ui.layers.annotations import MOST_AXES
from napari_medseg.ui.projects.keeper import keeper_of
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.accept_box import AcceptBox, LockMenu
from napari_medseg.ui.widgets.desk import buttons
from napari_medseg.ui.widgets.keys import Keys
from napari_medseg.ui.widgets.layer_choice import LayerChoice, is_labels
from napari_medseg.ui.widgets.message_box import MessageBox
from napari_medseg.ui.widgets.next_box import NextBox
from napari_medseg.ui.widgets.origin_overlay import OriginOverlay
from napari_medseg.ui.widgets.section import heading, rows, scrolling
from napari_medseg.ui.widgets.slice_strip import SliceStrip
from napari_medseg.ui.widgets.slice_watch import SliceWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Labels

    from napari_medseg.data.suggest import Place
    from napari_medseg.errors import MedsegError
    from napari_medseg.progress import Note


class LabelsWidget(QWidget):
    """Says what is finished, accepts predictions, locks classes, and suggests where to look.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it works on.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.labels = LayerChoice(napari_viewer, is_labels, self)
        self.labels.setToolTip("The labels layer that you paint on")
        self.strip = SliceStrip(self)
        self.watch = SliceWatch(napari_viewer, self.strip, self)
        self.here = QLabel(self)
        self.background_button = QPushButton("Background", self)
        self.background_button.setToolTip("Paint background: looked at, and of no class (key G)")
        self.finish_button = QPushButton("Slice finished", self)
        self.finish_button.setToolTip(
            "Everything in this slice is labelled: what is not painted there is background for training (key D)"
        )
        self.complete_button = QPushButton("Volume finished", self)
        self.complete_button.setToolTip("The same of all slices (Shift+D)")
        self.accepting = AcceptBox(napari_viewer, self)
        self.locks = LockMenu(self)
        self.learn = QCheckBox("Learn from accepted voxels", self)
        self.learn.setToolTip("Whether training takes what you accepted for the truth, as it does what you painted")
        self.origin = OriginOverlay(napari_viewer, self)
        self.next = NextBox(napari_viewer, self._prediction, self)
        self.messages = MessageBox(self)
        keeper_of(napari_viewer, self).failed.connect(self.messages.show_error)
        self._layers = Connections(self)
        self._lay_out()
        self._connect()
        self._keys = Keys(napari_viewer, self.shortcuts(), self)
        self._on_layer(self.labels.layer)

    def shortcuts(self) -> "dict[str, Callable[[], object]]":
        """Return what each key does while the panel is open."""
        return {
            "G": self.paint_background,
            "D": self.finish_slice,
            "Shift-D": self.finish_volume,
            "A": self.accepting.accept,
            "C": partial(self.accepting.accept, where="component"),
            "U": partial(self.accepting.step_back, undo, "Undone"),
            "Shift-U": partial(self.accepting.step_back, redo, "Done again"),
            "N": self.next.go,
        }

    @property
    def layer(self) -> "Labels | None":
        """The chosen labels layer."""
        return self.labels.layer

    def paint_background(self, _checked: bool = False) -> None:
        """Take the brush with the value of background."""
        if self.layer is not None:
            self._viewer.layers.selection.active = self.layer
            self.layer.selected_label = BACKGROUND_VALUE
            self.layer.mode = "paint"

    def finish_slice(self, _checked: bool = False) -> None:
        """Mark the visible slice as finished, or take the mark away."""
        layer, place = self._volume, self.watch.place
        if layer is None or place is None:
            return
        if len(own_shape(layer)) < MOST_AXES:
            self.finish_volume()
            return
        annotation = annotation_of(layer)
        annotation.finish_slice(*place, place not in annotation.finished)
        self._on_marked()

    def finish_volume(self, _checked: bool = False) -> None:
        """Mark all of the volume as finished, or take the mark away."""
        if self._volume is not None:
            annotation = annotation_of(self._volume)
            annotation.complete = not annotation.complete
            self._on_marked()

    @property
    def _volume(self) -> "Labels | None":
        """The chosen layer, if it holds the labels of one volume or plane: of several, slices have no number."""
        layer = self.layer
        return None if layer is None or len(own_shape(layer)) > MOST_AXES else layer

    def _lay_out(self) -> None:
        content = scrolling(self)
        content.addLayout(rows(("Labels", self.labels)))
        content.addWidget(self.strip)
        content.addWidget(self.here)
        content.addLayout(buttons(self.background_button, self.finish_button, self.complete_button))
        content.addLayout(rows(("Locked", self.locks)))
        content.addWidget(heading("Accept a prediction"))
        content.addWidget(self.accepting)
        content.addWidget(self.learn)
        content.addWidget(self.origin)
        content.addWidget(heading("Where to look next"))
        content.addWidget(self.next)
        content.addWidget(self.messages)
        content.addStretch(1)
        IgnoreWheel(self).guard(self)

    def _connect(self) -> None:
        self.labels.layer_changed.connect(self._on_layer)
        self.background_button.clicked.connect(self.paint_background)
        for button in (self.finish_button, self.complete_button):
            button.setCheckable(True)
        self.finish_button.clicked.connect(self.finish_slice)
        self.complete_button.clicked.connect(self.finish_volume)
        self.learn.toggled.connect(self._on_learn)
        self.watch.moved.connect(self._refresh)
        self.next.sent.connect(self._on_sent)
        for part in (self.accepting, self.next):
            part.noted.connect(self._show_note)
            part.failed.connect(self._show_error)
        self.watch.failed.connect(self._show_error)
        self.origin.failed.connect(self._show_error)

    def _on_layer(self, layer: "Labels | None") -> None:
        self.messages.clear()
        self.watch.follow(layer)
        for part in (self.accepting, self.locks, self.origin, self.next):
            part.show_layer(layer)
        self._refresh()

    def _on_marked(self) -> None:
        """Tell everybody that labels mean something else now."""
        assert self.layer is not None
        announce(self.layer)
        self.watch.refresh()

    def _on_learn(self, learn: bool) -> None:
        if self.layer is not None and annotation_of(self.layer).learn_accepted != learn:
            annotation_of(self.layer).learn_accepted = learn
            announce(self.layer)

    def _on_sent(self, place: "Place") -> None:
        axes = range(len(place.start)) if place.axis is None else (place.axis,)
        for axis in axes:
            self.watch.marked.setdefault(axis, set()).update(range(place.start[axis], place.stop[axis]))
        self.watch.refresh()

    def _refresh(self) -> None:
        layer, marks = self._volume, self.strip.marks
        flat = layer is not None and len(own_shape(layer)) < MOST_AXES
        self.background_button.setEnabled(self.layer is not None)
        for button in (self.finish_button, self.complete_button, self.learn, self.origin):
            button.setEnabled(layer is not None)
        self.finish_button.setVisible(not flat)
        self.complete_button.setText("All of it is finished" if flat else "Volume finished")
        self.here.setVisible(marks is not None)
        if marks is not None:
            self.here.setText(marks.words(marks.current))
        if layer is None:
            return
        annotation, place = annotation_of(layer), self.watch.place
        self.finish_button.setChecked(place is not None and annotation.is_finished(*place))
        self.finish_button.setEnabled(not annotation.complete)
        self.complete_button.setChecked(annotation.complete)
        with QSignalBlocker(self.learn):
            self.learn.setChecked(annotation.learn_accepted)

    def _prediction(self) -> "Labels | None":
        return self.accepting.source.layer

    def _show_note(self, note: "Note") -> None:
        self.messages.clear()
        self.messages.add_note(note)

    def _show_error(self, error: "MedsegError") -> None:
        self.messages.clear()
        self.messages.show_error(error)
