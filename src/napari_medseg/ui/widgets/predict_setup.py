"""How to segment: steps after the network, and everything else that can stay as it is."""

from itertools import combinations
from typing import TYPE_CHECKING, cast

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QWidget

from napari_medseg.inference import PredictOptions
from napari_medseg.inference.postprocess import PostProcessing
from napari_medseg.ui.forms import Form
from napari_medseg.ui.settings import recall, remember
from napari_medseg.ui.widgets.section import folded, stacked
from napari_medseg.ui.widgets.step_list import StepList

if TYPE_CHECKING:
    from napari_medseg.models import ModelSpec

FORM = "segment"
SHOWN = (
    "precision", "overlap", "batch_size", "uncertainty", "measure", "probabilities", "skip_air", "memory_format",
    "compile", "threads",
)  # fmt: skip
ALONG = {"S": "head–foot", "I": "head–foot", "A": "front–back", "P": "front–back", "L": "left–right", "R": "left–right"}
Axes = tuple[int, ...]


class FlipChoice(QComboBox):
    """Along which axes the network also sees the image mirrored.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setToolTip(
            "The network also sees the image mirrored, and the probabilities are averaged: often better, and it takes "
            "as many times as long as the number says"
        )
        self.show_spec(None, ())

    @property
    def axes(self) -> Axes:
        """Axes of the network's grid."""
        return cast("Axes", tuple(self.currentData()))

    def show_spec(self, spec: "ModelSpec | None", axes: Axes) -> None:
        """Offer what a model can be shown, `axes` chosen if that is among it."""
        with QSignalBlocker(self):
            self.clear()
            for choice in _choices(spec):
                self.addItem(_words(spec, choice), choice)
            found = [index for index in range(self.count()) if tuple(self.itemData(index)) == axes]
            self.setCurrentIndex(found[0] if found else 0)


class PredictSetup(QWidget):
    """The settings of a segmentation that is to be started, folded away.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._spec: ModelSpec | None = None
        options = recall(FORM, PredictOptions())
        self._axes: Axes = options.flip_axes
        self.form = Form(options, SHOWN)
        self.flips = FlipChoice(self)
        self.form.native.layout().insertRow(3, "Mirrored views", self.flips)
        self.steps = StepList(self)
        layout = stacked(self)
        self.after = folded("After the network", self.steps)
        self.advanced = folded("Advanced", self.form.native)
        layout.addWidget(self.after)
        layout.addWidget(self.advanced)
        self.flips.activated.connect(self._on_flips)

    def show_spec(self, spec: "ModelSpec | None") -> None:
        """Offer what fits a model: its classes, and the steps that were last used with it."""
        if spec == self._spec:
            return
        self._spec = spec
        self.flips.show_spec(spec, self._axes)
        self.steps.set_classes(spec.foreground if spec is not None else ())
        kept = recall(_after(spec), PostProcessing()) if spec is not None else PostProcessing()
        self.steps.show_processing(kept)
        if kept.steps:
            self.after.expand(animate=False)

    def options(self, device: str) -> PredictOptions:
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
        processing = self.steps.processing
        chosen = self.form.values().model_copy(update={"flip_axes": self.flips.axes})
        remember(FORM, chosen)
        if self._spec is not None:
            remember(_after(self._spec), processing)
        return chosen.model_copy(update={"device": device, "postprocessing": processing})

    def _on_flips(self, _index: int) -> None:
        self._axes = self.flips.axes


def _after(spec: "ModelSpec") -> str:
    """Return the name under which the steps after a model are remembered."""
    return f"after {spec.name}"


def _choices(spec: "ModelSpec | None") -> list[Axes]:
    """Return the axes that may be mirrored together: none, each, all of a plane, all."""
    if spec is None:
        return [()]
    able = (0, 1, 2) if spec.dims == 3 else (1, 2)
    pairs = [pair for pair in combinations(able, 2) if pair == (1, 2)]
    return list(dict.fromkeys([(), *((axis,) for axis in able), *pairs, able]))


def _words(spec: "ModelSpec | None", axes: Axes) -> str:
    if not axes or spec is None:
        return "none"
    names = [ALONG[spec.axcodes[axis]] if spec.axcodes else "zyx"[axis] for axis in axes]
    words = "all axes" if len(axes) == 3 else " and ".join(names)
    return f"{words} ({2 ** len(axes)}×)"
