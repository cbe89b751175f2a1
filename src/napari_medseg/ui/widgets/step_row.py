"""One step of post-processing as a row of widgets: what it does, to which classes, with which value."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.errors import ConfigError
from napari_medseg.inference.postprocess import KeepLargest, Merge, RemoveSmall, Smooth, Step
from napari_medseg.ui.wheel import IgnoreWheel
from napari_medseg.ui.widgets.class_menu import ClassMenu
from napari_medseg.volume import LabelClass

TITLES = {
    "largest": "Keep largest part",
    "remove_small": "Remove small parts",
    "fill_holes": "Fill holes",
    "smooth": "Smooth borders",
    "merge": "Merge classes",
}
TOOLTIPS = {
    "largest": "Keep the largest connected parts of each class; the others become background",
    "remove_small": "Turn connected parts below a size into background",
    "fill_holes": "Give background that a class encloses to that class",
    "smooth": "Give every voxel to the class that is strongest around it; more mm is smoother",
    "merge": "Make the ticked classes one; type a name for a new class",
}
MM3 = {"mm³": 1.0, "ml": 1000.0}
VOXELS, DROP = "voxels", "background (drop them)"
STEP: TypeAdapter[Step] = TypeAdapter(Step)


class StepRow(QFrame):
    """A step that the user can change, move up and remove.

    Parameters
    ----------
    step : Step
        What is shown first.
    classes : sequence of LabelClass
        That it may work on.
    parent : QWidget, optional
        Owner.
    """

    changed = Signal()
    """The user changed a value."""
    removed = Signal()
    """The user wants the step to go."""
    raised = Signal()
    """The user wants the step to come before the one above."""

    def __init__(self, step: Step, classes: Sequence[LabelClass], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = step.kind
        self._classes = tuple(classes)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.up_button, self.remove_button = QToolButton(self), QToolButton(self)
        for button, words, tooltip in (
            (self.up_button, "▲", "Do this step before the one above"),
            (self.remove_button, "✕", "Remove this step"),
        ):
            button.setText(words)
            button.setToolTip(tooltip)
            button.setAutoRaise(True)
        self.menu = ClassMenu(self)
        self.number, self.choice = _number(step, self), _choice(step, self)
        self._fill_into(step)
        self.menu.set_classes(classes)
        self.menu.show_values(step.classes)
        self._lay_out()
        self._connect()
        IgnoreWheel(self).guard(self)

    @property
    def step(self) -> Step:
        """The step that the widgets describe.

        Raises
        ------
        ConfigError
            If the values make no sense, such as a merge into a class without a name.
        """
        values: dict[str, Any] = {"kind": self.kind, "classes": self.menu.values}
        if self.kind == "largest" and self.number is not None:
            values["components"] = int(self.number.value())
        elif self.kind == "remove_small" and self.number is not None and self.choice is not None:
            unit = self.choice.currentText()
            if unit == VOXELS:
                values["below_voxels"] = round(self.number.value())
            else:
                values["below_mm3"] = self.number.value() * MM3[unit]
        elif self.kind == "smooth" and self.number is not None:
            values["sigma_mm"] = self.number.value()
        elif self.kind == "merge":
            values["into"] = self._into()
        try:
            return STEP.validate_python(values)
        except ValidationError as error:
            raise ConfigError(f"{TITLES[self.kind]}: {error.errors()[0]['msg']}.", "Change the value.") from error

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """Offer these classes; those that were ticked and are still there stay ticked."""
        self._classes = tuple(classes)
        self.menu.set_classes(classes)
        if self.kind == "merge" and self.choice is not None:
            chosen = self.choice.currentText()
            self._fill_into(None)
            self.choice.setCurrentText(chosen)

    def _into(self) -> LabelClass:
        words = self.choice.currentText().strip() if self.choice is not None else ""
        if words == DROP:
            return LabelClass(value=0, name="background")
        for entry in self._classes:
            if entry.name == words:
                return entry
        if not words:
            raise ConfigError("The merged class has no name.", "Choose a class or type a new name.")
        taken = {entry.value for entry in self._classes}
        return LabelClass(value=next(v for v in range(1, 65536) if v not in taken), name=words)

    def _fill_into(self, step: Step | None) -> None:
        """Offer what classes can be merged into."""
        if self.kind != "merge" or self.choice is None:
            return
        self.choice.clear()
        self.choice.addItems([*(entry.name for entry in self._classes), DROP])
        if isinstance(step, Merge):
            self.choice.setCurrentText(step.into.name if step.into.value else DROP)

    def _lay_out(self) -> None:
        self.setToolTip(TOOLTIPS[self.kind])
        above, below = QHBoxLayout(), QHBoxLayout()
        for widget, stretch in ((QLabel(TITLES[self.kind], self), 1), (self.up_button, 0), (self.remove_button, 0)):
            above.addWidget(widget, stretch)
        below.addWidget(self.menu, 1)
        if self.kind == "merge":
            below.addWidget(QLabel("into", self))
        for box in (self.number, self.choice):
            if box is not None:
                below.addWidget(box, 1 if self.kind == "merge" else 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 3, 4, 5)
        layout.setSpacing(3)
        layout.addLayout(above)
        layout.addLayout(below)

    def _connect(self) -> None:
        self.menu.changed.connect(self.changed)
        self.up_button.clicked.connect(self.raised)
        self.remove_button.clicked.connect(self.removed)
        if self.number is not None:
            self.number.valueChanged.connect(self.changed)
        if self.choice is not None:
            self.choice.currentTextChanged.connect(self.changed)


def _number(step: Step, parent: QWidget) -> QDoubleSpinBox | QSpinBox | None:
    if isinstance(step, KeepLargest):
        count = QSpinBox(parent)
        count.setRange(1, 1000)
        count.setPrefix("keep ")
        count.setValue(step.components)
        return count
    if isinstance(step, RemoveSmall | Smooth):
        box = QDoubleSpinBox(parent)
        box.setDecimals(2 if isinstance(step, Smooth) else 1)
        box.setRange(0.1, 50 if isinstance(step, Smooth) else 1e7)
        box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        if isinstance(step, Smooth):
            box.setSuffix(" mm")
            box.setValue(step.sigma_mm)
        else:
            box.setPrefix("< ")
            box.setValue(float(step.below_voxels or step.below_mm3 or 0))
        return box
    return None


def _choice(step: Step, parent: QWidget) -> QComboBox | None:
    if isinstance(step, RemoveSmall):
        units = QComboBox(parent)
        units.addItems([*MM3, VOXELS])
        units.setCurrentText(VOXELS if step.below_voxels is not None else "mm³")
        return units
    if isinstance(step, Merge):
        into = QComboBox(parent)
        into.setEditable(True)
        into.setToolTip("A class of the list, or the name of a new one")
        return into
    return None
