"""The part of the Labels panel that says where to look next, and whether that is better than chance."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QWidget

from napari_medseg.data.suggest import (
    Evidence,
    GainMap,
    Kind,
    Place,
    Report,
    Trial,
    Trials,
    control_box,
    control_slice,
    corrected_voxels,
    gain_map,
    suggest_box,
    suggest_slice,
)
from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.progress import Note
from napari_medseg.project.visits import add_visit, load_visits
from napari_medseg.ui.background import in_background
from napari_medseg.ui.layers import annotation_of, go_to, model_of, own_labels, own_shape, tag_of, visible_slice
from napari_medseg.ui.layers.evidence import evidence_of, live_evidence_of
from napari_medseg.ui.layers.outline import outline_box
from napari_medseg.ui.projects.keeper import keeper_of
from napari_medseg.ui.widgets.live_preview import live_preview_of
from napari_medseg.ui.widgets.looking_around import LookingAround
from napari_medseg.ui.widgets.section import beside, stacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_medseg.data.annotation import ModelVersion

SLICE, BOX = "slice", "3D box"

Box = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Visit:
    """A place that the user was sent to."""

    layer: Labels
    kind: Kind
    place: Place
    predicted: "NDArray[np.integer]"
    """What was predicted there."""
    before: "NDArray[np.integer]"
    """What was labelled there."""
    known: "NDArray[np.bool_] | None" = None
    """Where a model had come to; everywhere if None."""


@dataclass(frozen=True, eq=False)
class Found:
    """What is known of the volume, and where doubt is."""

    layer: Labels
    evidence: Evidence
    gains: GainMap


class NextBox(QWidget):
    """Sends the user to the next place, and reports what was corrected at suggested and at random ones.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose sliders are moved.
    source : callable
        Returns the layer that shows what the model predicts, or None.
    parent : QWidget, optional
        Owner.
    """

    noted = Signal(object)
    """A `Note` for the user."""
    failed = Signal(object)
    """The `MedsegError` because of which there is no next place."""
    sent = Signal(object)
    """The `Place` that the user was sent to."""

    def __init__(self, viewer: "Viewer", source: "Callable[[], Labels | None]", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._source = viewer, source
        self._layer: Labels | None = None
        self._visit: Visit | None = None
        self._seen: list[Place] = []
        self._model: ModelVersion | str | None = None
        self._looking = False
        self.keeper = keeper_of(viewer, self)
        self._around = LookingAround(self)
        self._around.done.connect(self._find)
        self._untold: list[Trial] = []
        """Visits that no project knows of yet."""
        self.trials = Trials()
        self.next_button = QPushButton("Next", self)
        self.next_button.setToolTip("Go to the next place that is worth correcting (key N)")
        self.what = QComboBox(self)
        self.what.addItems([SLICE, BOX])
        self.what.setToolTip("A slice along the viewed axis, or a part of the volume")
        self.report = QLabel(self)
        self.report.setWordWrap(True)
        self.report.setToolTip(
            "Half of the places are random ones with foreground, mixed with the suggestions in an order that is not "
            "shown.\nPressing Next ends a visit: counted is the share of the place's voxels that you gave another "
            "class than the prediction's, none if you changed nothing."
        )
        layout = stacked(self)
        layout.addWidget(beside(self.next_button, self.what))
        layout.addWidget(self.report)
        self.next_button.clicked.connect(self.go)
        self.keeper.changed.connect(self._on_kept)
        self._on_kept()

    def show_layer(self, layer: Labels | None) -> None:
        """Suggest places for this layer from now on."""
        if layer is not self._layer:
            self._end_visit()
            self._layer, self._seen = layer, []
        self.next_button.setEnabled(layer is not None)

    def go(self, _checked: bool = False) -> None:
        """End the visit, and go to the next place once it is found."""
        if self._looking:
            return
        try:
            layer, source = self._layer, self._source()
            if layer is None or source is None:
                raise ConfigError("There is no prediction to correct.", "Press Train, or segment the whole volume.")
            self._end_visit()
            live = live_preview_of(source)
            model = model_of(source) if live is None else live.run
            if model != self._model:
                # of a newer prediction, what was looked at is worth another look
                self._model, self._seen = model, []
            self._looking = True
            if live is None or not live.is_live:
                self._find()
            else:
                self.noted.emit(Note("The training looks where it is in doubt."))
                self._around.start(live, visible_slice(self._viewer, layer)[0])
        except MedsegError as error:
            self._on_failed(error)

    def _find(self) -> None:
        layer, source = self._layer, self._source()
        if layer is None or source is None:
            self._looking = False
            return
        seen = tuple(place.box for place in self._seen if place.axis is not None)
        axis = visible_slice(self._viewer, layer)[0] if _is_preview(source) else None
        work = partial(_find, layer, source, list(self._viewer.layers), (axis, seen))
        in_background(work, self._on_found, self._on_failed)

    def _on_found(self, found: Found) -> None:
        self._looking = False
        if found.layer is not self._layer or found.layer not in self._viewer.layers:
            return
        try:
            kind = self.trials.next_kind()
            place = self._choose(found, kind)
        except MedsegError as error:
            self.failed.emit(error)
            return
        predicted, known = found.evidence.predicted[place.box].copy(), found.evidence.known
        before = self._taught(found.layer, place.box).copy()
        self._visit = Visit(found.layer, kind, place, predicted, before, None if known is None else known[place.box])
        self._seen.append(place)
        if place.axis is None:
            go_to(self._viewer, found.layer, place.middle, centre=True)
            outline_box(self._viewer, found.layer, place.start, place.stop)
        else:
            go_to(self._viewer, found.layer, place.middle)
        self.noted.emit(Note(_words(place)))
        self.sent.emit(place)

    def _choose(self, found: Found, kind: Kind) -> Place:
        if self.what.currentText() == BOX or len(own_shape(found.layer)) < 3:
            boxes = [place for place in self._seen if place.axis is None]
            return (
                suggest_box(found.gains, boxes)
                if kind == "suggested"
                else control_box(found.gains, self.trials.random, boxes)
            )
        axis, _ = visible_slice(self._viewer, found.layer)
        annotation, count = annotation_of(found.layer), own_shape(found.layer)[axis]
        taken = {place.start[axis] for place in self._seen if place.axis == axis}
        taken |= {index for index in range(count) if annotation.is_finished(axis, index)}
        if (known := found.evidence.known) is not None:
            taken |= set(np.flatnonzero(~np.moveaxis(known, axis, 0).any(axis=(1, 2))).tolist())
        if kind == "suggested":
            return suggest_slice(found.gains, axis, taken)
        return control_slice(found.gains, axis, self.trials.random, taken)

    def _on_failed(self, error: MedsegError) -> None:
        self._looking = False
        self.failed.emit(error)

    def _end_visit(self) -> None:
        """Count what was corrected since the user was sent to a place."""
        visit, self._visit = self._visit, None
        if visit is None or visit.layer not in self._viewer.layers:
            return
        now = self._taught(visit.layer, visit.place.box)
        known = slice(None) if visit.known is None else visit.known
        count = int(np.size(now[known])) if now.shape == visit.before.shape else 0
        if count:
            share = corrected_voxels(visit.predicted[known], visit.before[known], now[known]) / count
            trial = Trial(visit.kind, visit.place, share)
            self._untold.append(trial)
            self._tell(visit.layer)

    def _tell(self, layer: Labels) -> None:
        """Keep the visits in the project as soon as there is one, and count them."""
        project = self.keeper.project
        try:
            while project is not None and self._untold:
                add_visit(project.folder, self.keeper.case_of(layer) or "", self._untold[0])
                self._untold.pop(0)
        except MedsegError as error:
            self.failed.emit(error)
        self._count()

    def _on_kept(self) -> None:
        """Count what the project knows, whenever it may be another one."""
        if self._untold and self._layer is not None:
            self._tell(self._layer)
        else:
            self._count()

    def _count(self) -> None:
        project = self.keeper.project
        try:
            told = [visit.trial for visit in load_visits(project.folder)] if project is not None else []
        except MedsegError as error:
            told = []
            self.failed.emit(error)
        self.trials.done = told + self._untold
        self._say()

    def _taught(self, layer: Labels, box: Box) -> "NDArray[np.integer]":
        return annotation_of(layer).taught(np.asarray(own_labels(layer, list(self._viewer.layers)).data), box)

    def _say(self) -> None:
        self.report.setText(report_words(self.trials.report()))


def report_words(report: Report) -> str:
    """Return what visits came to, in one or two sentences."""
    if not report.suggested + report.random:
        return "Half of the places are random, as a control; which ones is not shown."
    parts = [
        f"{name} {100 * share:.2g} % ({count})"
        for name, share, count in (
            ("suggested", report.suggested_share, report.suggested),
            ("random", report.random_share, report.random),
        )
        if count
    ]
    return f"Corrected, mean per place: {', '.join(parts)}. {report.verdict}"


def _words(place: Place) -> str:
    if place.axis is not None:
        return f"Look at slice {place.start[place.axis] + 1}: correct what is wrong, then mark it as finished."
    return "Look at the box in the middle of the view, on all its slices: correct what is wrong."


def _is_preview(layer: Labels) -> bool:
    tag = tag_of(layer)
    return tag is not None and tag.role == "preview"


def _find(layer: Labels, source: Labels, layers: "list[Layer]", where: tuple[int | None, tuple[Box, ...]]) -> Found:
    axis, seen = where
    evidence = (
        evidence_of(layer, source, layers, seen)
        if axis is None
        else live_evidence_of(layer, source, layers, axis, seen)
    )
    return Found(layer, evidence, gain_map(evidence))
