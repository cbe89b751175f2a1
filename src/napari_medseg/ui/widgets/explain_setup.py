"""Which method explains, which class, and how."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QWidget

from napari_medseg.explain import ExplainOptions, Method, method_named, methods
from napari_medseg.ui.forms import Form
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.section import folded, stacked

if TYPE_CHECKING:
    from napari_medseg.models import ModelSpec

FORM = "explain"
CHECKS = ("sanity", "randomisations", "curve_steps", "baseline", "batch_size", "seed")
DEFAULTS = {"classification": "likeliest class", "detection": "class of the surest box"}
"""Words for no choice of a class, by task."""
FIRST = ("grad-cam", "grad-cam++", "integrated-gradients", "smoothgrad", "shap", "occlusion", "lime", "feature-maps")
"""Quick and well known before slow."""


class ExplainSetup(QWidget):
    """What the method says, and its settings, folded away; whoever shows it lays out the choices of method and class.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spec: ModelSpec | None = None
        self._form: Form[ExplainOptions] | None = None
        self._values = recall(FORM, ExplainOptions())
        self.method_choice, self.class_choice = (_combo(self) for _ in range(2))
        known = {method.name: method for method in methods()}
        for name in [*(name for name in FIRST if name in known), *sorted(set(known) - set(FIRST))]:
            self.method_choice.addItem(known[name].title, name)
        self.class_choice.setToolTip("What is explained is the score of this class")
        self.about = QLabel(self)
        self.about.setWordWrap(True)
        self._inside = QWidget(self)
        stacked(self._inside)
        layout = stacked(self)
        layout.addWidget(self.about)
        self.advanced = folded("Advanced", self._inside)
        layout.addWidget(self.advanced)
        self.method_choice.currentIndexChanged.connect(self._show_method)
        self._show_method()

    @property
    def method(self) -> Method:
        """The chosen method."""
        return method_named(str(self.method_choice.currentData()))

    @property
    def target(self) -> str | None:
        """Name of the chosen class; None for the likeliest."""
        name: str | None = self.class_choice.currentData()
        return name

    def show_spec(self, spec: "ModelSpec | None") -> None:
        """Offer the classes of a model; the one that was chosen stays so, if it is among them."""
        if spec == self._spec:
            return
        self._spec, before = spec, self.target
        with QSignalBlocker(self.class_choice):
            self.class_choice.clear()
            if spec is not None and spec.task in DEFAULTS:
                self.class_choice.addItem(DEFAULTS[spec.task], None)
            for entry in spec.foreground if spec is not None else ():
                self.class_choice.addItem(entry.name, entry.name)
            self.class_choice.setCurrentIndex(max(0, self.class_choice.findData(before)))

    def options(self, device: str) -> ExplainOptions:
        """Return what the user decided, and remember it.

        Parameters
        ----------
        device : str
            Where to run.

        Raises
        ------
        ConfigError
            If the values do not go together.
        """
        assert self._form is not None
        self._values = self._form.values()
        remember(FORM, self._values)
        return self._values.model_copy(update={"device": device})

    def _show_method(self, _index: int = 0) -> None:
        """Show the settings that the method has, and those of the checks."""
        if self._form is not None:
            self._values = self._form.values()
            self._form.native.deleteLater()
        self.about.setText(self.method.about)
        self.method_choice.setToolTip(self.method.about)
        self._form = Form(self._values, dict.fromkeys((*self.method.uses, *CHECKS)))
        self._inside.layout().addWidget(self._form.native)


def _combo(owner: QWidget) -> QComboBox:
    combo = QComboBox(owner)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return combo
