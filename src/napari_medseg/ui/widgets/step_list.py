"""The steps of post-processing, which the user puts together."""

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QPushButton, QVBoxLayout, QWidget

from napari_medseg.inference.postprocess import (
    FillHoles,
    KeepLargest,
    Merge,
    PostProcessing,
    RemoveSmall,
    Smooth,
    Step,
)
from napari_medseg.ui.widgets.section import SPACING
from napari_medseg.ui.widgets.step_row import TITLES, TOOLTIPS, StepRow
from napari_medseg.volume import LabelClass

NEW: tuple[Step, ...] = (
    KeepLargest(),
    RemoveSmall(below_mm3=100.0),
    FillHoles(),
    Smooth(),
    Merge(into=LabelClass(value=65535, name="merged")),
)
"""What a new step of each kind starts with."""


class StepList(QWidget):
    """Rows of steps, first to last, and a button that adds one.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    changed = Signal()
    """The user changed, added, moved or removed a step."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[LabelClass, ...] = ()
        self.rows: list[StepRow] = []
        self.add_button = QPushButton("Add step", self)
        self.add_button.setToolTip("What shall be done to the labels; steps are done from top to bottom")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for step in NEW:
            action = menu.addAction(TITLES[step.kind])
            action.setToolTip(TOOLTIPS[step.kind])
            action.triggered.connect(partial(self._on_add, step))
        self.add_button.setMenu(menu)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(SPACING)
        self._layout.addWidget(self.add_button)

    @property
    def processing(self) -> PostProcessing:
        """The steps as the rows describe them; `ConfigError` if one makes no sense."""
        return PostProcessing(steps=tuple(row.step for row in self.rows))

    def show_processing(self, processing: PostProcessing) -> None:
        """Show these steps in place of those that are there."""
        while self.rows:
            self._drop(self.rows[0])
        for step in processing.steps:
            self._append(step)

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """Offer these classes in all rows."""
        if tuple(classes) == self._classes:
            return
        self._classes = tuple(classes)
        for row in self.rows:
            row.set_classes(classes)

    def _append(self, step: Step) -> None:
        row = StepRow(step, self._classes, self)
        row.changed.connect(self.changed)
        row.removed.connect(partial(self._on_remove, row))
        row.raised.connect(partial(self._on_raise, row))
        self.rows.append(row)
        self._layout.insertWidget(len(self.rows) - 1, row)
        self._mark_first()

    def _drop(self, row: StepRow) -> None:
        self.rows.remove(row)
        self._layout.removeWidget(row)
        row.hide()
        row.deleteLater()
        self._mark_first()

    def _mark_first(self) -> None:
        for number, row in enumerate(self.rows):
            row.up_button.setEnabled(number > 0)

    def _on_add(self, step: Step, _checked: bool = False) -> None:
        self._append(step)
        self.changed.emit()

    def _on_remove(self, row: StepRow) -> None:
        self._drop(row)
        self.changed.emit()

    def _on_raise(self, row: StepRow) -> None:
        place = self.rows.index(row)
        self.rows.insert(place - 1, self.rows.pop(place))
        self._layout.insertWidget(place - 1, row)
        self._mark_first()
        self.changed.emit()
