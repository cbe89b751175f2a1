"""A form gives back exactly the model it shows."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_medseg.errors import ConfigError
from napari_medseg.inference import PredictOptions
from napari_medseg.models import Intensity
from napari_medseg.models.design import Design
from napari_medseg.models.zoo.unet import UNetOptions
from napari_medseg.training import TrainConfig
from napari_medseg.ui.forms import Form, label_of

pytestmark = pytest.mark.viewer


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    low: float = 0.5
    """Lower limit."""


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Peak rate of
    ``AdamW``."""
    decay: Annotated[float, Field(ge=0)] = 3e-7
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    offset: float = -1500.25
    steps: Annotated[int, Field(ge=1, le=10**6)] = 1000
    seed: int = 2**40
    even: Annotated[int, Field(multiple_of=8, ge=8)] = 64
    mirror: bool = True
    schedule: Literal["cosine", "poly"] = "poly"
    minutes: Annotated[float, Field(gt=0)] | None = None
    workers: Annotated[int, Field(ge=2)] | None = 4
    patch: tuple[int, int, int] | None = None
    size: tuple[int, ...] = (64, 32)
    note: str = "a note"
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _consistent(self) -> "Options":
        if self.mirror and self.note == "no mirror":
            raise ValueError("note and mirror disagree")
        return self


@pytest.fixture
def form(qtbot):
    form = Form(Options())
    qtbot.addWidget(form.native)
    return form


def editor(form, name):
    return form._editors[name]


def test_defaults_survive(form):
    assert form.values() == Options()


@pytest.mark.parametrize("config", [PredictOptions, TrainConfig, Design, Intensity, UNetOptions])
def test_every_config_survives(qtbot, config):
    # the region is chosen among layers, not typed
    form = Form(config(), [name for name in config.model_fields if name != "region"])
    qtbot.addWidget(form.native)
    assert form.values() == config()


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 1.2345e-7},
        {"learning_rate": 1.0},
        {"decay": 1e-12, "overlap": 0.99},
        {"minutes": 0.25, "workers": None},
        {"patch": (96, 96, 16), "size": (1, 2, 3)},
        {"inner": Inner(low=1e-5), "seed": -3, "offset": 1e6},
    ],
)
def test_any_values_survive(form, changes):
    values = Options(**changes)
    form.show(values)
    assert form.values() == values


def test_fields_that_are_not_shown_keep_their_value(qtbot):
    form = Form(Options(seed=7), fields=["steps", "mirror"])
    qtbot.addWidget(form.native)
    editor(form, "steps").widget.value = 12
    assert form.values() == Options(seed=7, steps=12)


def test_bounds_are_the_fields(form):
    steps = editor(form, "steps").widget
    assert (steps.min, steps.max) == (1, 10**6)
    assert 0 < editor(form, "learning_rate").widget.min < 1e-5
    assert editor(form, "learning_rate").widget.max == 1
    assert 0.99 <= editor(form, "overlap").widget.max < 1
    assert editor(form, "even").widget.step == 8


def test_choices_are_the_literal(form):
    assert editor(form, "schedule").widget.choices == ("cosine", "poly")


def test_tooltip_is_the_doc_and_label_the_name(form):
    native = editor(form, "learning_rate").widget.native
    assert native.toolTip() == "Peak rate of AdamW."
    assert form.native.layout().labelForField(native).text() == label_of("learning_rate") == "Learning rate"


def test_values_that_disagree_are_named(form):
    editor(form, "note").widget.value = "no mirror"
    with pytest.raises(ConfigError, match="note and mirror disagree"):
        form.values()
    editor(form, "note").widget.value = ""
    editor(form, "size").widget.value = "64, wide"
    with pytest.raises(ConfigError, match=r"^Size: .*wide"):
        form.values()


def test_optional_number_is_off_without_a_tick(form):
    box = editor(form, "minutes").widget
    assert not box[1].enabled
    box[0].value = True
    assert box[1].enabled
    box[1].value = 2.5
    assert form.values().minutes == 2.5


def test_a_change_is_announced(form, qtbot):
    seen = []
    form.changed.connect(lambda: seen.append(1))
    editor(form, "steps").widget.value = 5
    assert seen


def test_wheel_does_not_change_a_value(form):
    form.native.show()
    box = editor(form, "steps").widget.native
    middle = QPointF(box.rect().center())
    event = QWheelEvent(
        middle,
        middle,
        QPoint(0, 120),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(box, event)
    assert form.values().steps == 1000


def test_a_type_without_a_widget_is_a_programming_error():
    class Odd(BaseModel):
        table: dict[str, int] = {}

    with pytest.raises(TypeError, match="dict"):
        Form(Odd())
