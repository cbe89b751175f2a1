"""The Clean up tab of the Results panel: steps of post-processing, looked at before they are done, and undone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton, QWidget

from napari_medseg.errors import ConfigError
from napari_medseg.inference.postprocess import Merge, PostProcessing
from napari_medseg.io import read
from napari_medseg.results import Cleaned, History
from napari_medseg.results.cleaning import CHANGES
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.layers import (
    Rewrite,
    classes_of,
    history_of,
    overlay,
    own_labels,
    painted_background,
    redo,
    rewrite,
    undo,
)
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.desk import Desk, Legend, buttons, layer_classes
from napari_medseg.ui.widgets.file_job import FileJob, FileTask
from napari_medseg.ui.widgets.number_table import NumberTable
from napari_medseg.ui.widgets.section import stacked
from napari_medseg.ui.widgets.step_list import StepList
from napari_medseg.ui.widgets.step_row import TITLES
from napari_medseg.volume import Volume

FORM = "clean up"
TARGET = "napari_medseg.results.jobs:clean_labels"


@dataclass(frozen=True, eq=False)
class _Asked:
    """What was asked for."""

    layer: Labels
    processing: PostProcessing
    taken: NDArray[np.integer]
    """The labels as they were then."""
    apply: bool
    """Whether to write the result to the layer, and not only show what would change."""


@dataclass(frozen=True, eq=False)
class _Ready:
    """A result in memory."""

    asked: _Asked
    cleaned: Cleaned
    labels: NDArray[np.integer]
    changed: Volume
    voxels: int
    """How many change."""


class CleanTab(QWidget):
    """Choose steps, see what they change, apply them, take them back.

    Parameters
    ----------
    desk : Desk
        Where to work.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._asked: _Asked | None = None
        self._ready: _Ready | None = None
        self._overlay: Labels | None = None
        self._job = FileJob(desk.panel, self)
        self._on_layer = Connections(self)
        self.steps = StepList(self)
        self.preview_button = QPushButton("Preview", self)
        self.preview_button.setToolTip("Show which voxels would change; the labels stay as they are")
        self.apply_button = QPushButton("Apply", self)
        self.apply_button.setToolTip("Do the steps on the labels layer; Undo takes them back")
        self.table = NumberTable("Voxels that each class loses and gains", self)
        self.legend = Legend(CHANGES, self)
        self.undo_button, self.redo_button = QPushButton("Undo", self), QPushButton("Redo", self)
        layout = stacked(self)
        layout.addWidget(self.steps)
        layout.addLayout(buttons(self.preview_button, self.apply_button))
        layout.addWidget(self.table)
        layout.addWidget(self.legend)
        layout.addLayout(buttons(self.undo_button, self.redo_button))
        self.steps.show_processing(recall(FORM, PostProcessing()))
        self.steps.changed.connect(self._forget)
        self.preview_button.clicked.connect(partial(self.start, False))
        self.apply_button.clicked.connect(partial(self.start, True))
        self.undo_button.clicked.connect(partial(self._step_back, undo, "Undone"))
        self.redo_button.clicked.connect(partial(self._step_back, redo, "Done again"))
        self._job.done.connect(self._on_done)
        self.show_layer(None)

    def show_layer(self, layer: Labels | None) -> None:
        """Work on this layer from now on."""
        self._forget()
        self._on_layer.close()
        if layer is not None:
            self.steps.set_classes(layer_classes(layer))
            for emitter in (layer.events.paint, layer.events.data):
                self._on_layer.connect(emitter, self._forget)
            self._on_layer.connect(layer.events.features, self._on_named)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now."""
        layer = self._desk.choice.layer
        free = layer is not None and not self._desk.panel.busy
        history = history_of(layer) if layer is not None else History()
        for button in (self.preview_button, self.apply_button):
            button.setEnabled(free and bool(self.steps.rows))
        for button, words, what in (
            (self.undo_button, "Undo", history.undoable),
            (self.redo_button, "Redo", history.redoable),
        ):
            button.setEnabled(free and bool(what))
            button.setToolTip(f"{words}: {what}" if what else f"There is nothing to {words.lower()}")

    def start(self, apply: bool, _checked: bool = False) -> None:
        """Do the steps in the background: to show what would change, or to apply them."""
        self._desk.attempt(partial(self._start, apply))

    def _start(self, apply: bool) -> None:
        layer, processing = self._desk.labels, self.steps.processing
        if not processing.steps:
            raise ConfigError("There is no step to do.", "Add a step.")
        remember(FORM, PostProcessing(steps=tuple(s.model_copy(update={"classes": ()}) for s in processing.steps)))
        if apply and self._ready is not None:
            self._write(self._ready)
            return
        volume = own_labels(layer, list(self._desk.viewer.layers))
        self._asked = _Asked(layer, processing, np.array(volume.data), apply)
        arguments = {
            "processing": processing.model_dump(mode="json"),
            "out": new_scratch_file(),
            "kept": painted_background(layer),
        }
        self._job.start(FileTask(TARGET, {"labels": lambda: volume}, arguments))

    def _on_done(self, cleaned: Cleaned) -> None:
        if self._asked is not None:
            in_background(partial(_load, self._asked, cleaned), self._show, self._desk.panel.show_error)

    def _show(self, ready: _Ready) -> None:
        layer = ready.asked.layer
        self._asked = None
        if layer not in self._desk.viewer.layers:
            return
        colors = {entry.name: entry.color for entry in (*ready.cleaned.classes, *layer_classes(layer))}
        self.table.show_rows([change.row() for change in ready.cleaned.changes], colors)
        if not ready.cleaned.changes:
            self._desk.note("The steps change nothing.")
        elif ready.asked.apply:
            self._write(ready)
        else:
            self._ready = ready
            self._overlay = overlay(layer, ready.changed, f"{layer.name} changes")
            self._desk.viewer.add_layer(self._overlay)
            self.legend.show()
            self._desk.viewer.layers.selection.active = layer
        self.refresh()

    def _write(self, ready: _Ready) -> None:
        """Write the result to the layer, strokes that were made meanwhile left as they are."""
        asked = ready.asked
        what = ", ".join(TITLES[step.kind].lower() for step in asked.processing.steps).capitalize()
        named = bool(classes_of(asked.layer)) or any(isinstance(step, Merge) for step in asked.processing.steps)
        classes = tuple(entry for entry in ready.cleaned.classes if entry.value) if named else None
        self._remove_overlay()
        rewrite(asked.layer, Rewrite(ready.labels, what, classes, asked.taken))
        self._ready = None
        self._desk.note(f"{what}: {ready.voxels} voxels changed.")
        self.refresh()

    def _step_back(self, step: Callable[[Labels], str], words: str, _checked: bool = False) -> None:
        self._desk.attempt(partial(self._do_step_back, step, words))

    def _do_step_back(self, step: Callable[[Labels], str], words: str) -> None:
        self._desk.note(f"{words}: {step(self._desk.labels)}.")
        self.refresh()

    def _on_named(self, _event: object = None) -> None:
        if self._desk.choice.layer is not None:
            self.steps.set_classes(layer_classes(self._desk.choice.layer))

    def _forget(self, _event: object = None) -> None:
        """Show no preview any more: steps or labels changed."""
        self._ready = None
        self._remove_overlay()
        self.table.show_rows((), {})
        self.refresh()

    def _remove_overlay(self) -> None:
        self.legend.hide()
        layer, self._overlay = self._overlay, None
        if layer is not None and layer in self._desk.viewer.layers:
            self._desk.viewer.layers.remove(layer)


def _load(asked: _Asked, cleaned: Cleaned) -> _Ready:
    (labels,), (changed,) = read(cleaned.labels), read(cleaned.changed)
    values = np.array(labels.data).reshape(asked.taken.shape)
    return _Ready(asked, cleaned, values, changed, int(np.count_nonzero(changed.data)))
