"""A frozen pydantic model as a form, and the form as a model again.

One widget per field: its label is the field's name, its tooltip the field's doc, its bounds the field's bounds.
"""

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar, Union, cast, get_args, get_origin

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, FloatSpinBox, LineEdit, SpinBox, Widget
from magicgui.widgets.bases import BaseValueWidget
from psygnal import Signal, SignalInstance
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QWidget

from napari_medseg.errors import ConfigError
from napari_medseg.ui.wheel import IgnoreWheel

Model = TypeVar("Model", bound=BaseModel)
Bounds = dict[str, float]
UNITS = {"hz": "Hz", "seconds": "s", "mm": "mm", "ml": "ml"}
"""Last words of field names that are units."""
LARGE_INT, LARGE_FLOAT = 2**53, 1e9


class Editing(Protocol):
    """What forms and magicgui's widgets share."""

    @property
    def native(self) -> QWidget:
        """The Qt widget."""

    @property
    def changed(self) -> SignalInstance:
        """Emitted when the user changed the value."""


@dataclass(frozen=True)
class Editor:
    """A widget that holds the value of one field."""

    widget: Editing
    get: Callable[[], object]
    set: Callable[[object], None]


class Form(Generic[Model]):
    """A form for the fields of a frozen model.

    Parameters
    ----------
    base : Model
        The values shown first; fields that are not shown keep theirs.
    fields : iterable of str, optional
        Names of the fields to show, in order; all by default.

    Examples
    --------
    >>> form = Form(TrainConfig(), fields=["learning_rate", "steps"])  # doctest: +SKIP
    >>> form.values()  # doctest: +SKIP
    TrainConfig(learning_rate=0.0001, ...)
    """

    changed = Signal()
    """The user changed a value."""

    def __init__(self, base: Model, fields: Iterable[str] | None = None) -> None:
        self._base = base
        infos = type(base).model_fields
        self._editors = {
            name: _editor(infos[name].annotation, _bounds(infos[name].metadata), getattr(base, name))
            for name in (infos if fields is None else fields)
        }
        for editor in self._editors.values():
            editor.widget.changed.connect(self._on_changed)
        self._wheel = IgnoreWheel()
        self._native: QWidget | None = None
        self._layout: QFormLayout

    @property
    def native(self) -> QWidget:
        """A Qt widget of its own with a row per field; made on first use."""
        if self._native is None:
            self._native = QWidget()
            layout = QFormLayout(self._native)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
            self.add_rows_to(layout)
        return self._native

    def add_rows_to(self, layout: QFormLayout) -> None:
        """Add a row per field to a layout that has others, too."""
        infos = type(self._base).model_fields
        self._layout = layout
        for name, editor in self._editors.items():
            native = editor.widget.native
            label = QLabel(label_of(name, infos[name]))
            for part in (label, native):
                part.setToolTip(tooltip_of(infos[name]))
            layout.addRow(label, native)
            self._wheel.guard(native)

    def show_rows(self, shown: bool) -> None:
        """Show or hide all rows of the form."""
        for editor in self._editors.values():
            self._layout.setRowVisible(editor.widget.native, shown)

    def _on_changed(self) -> None:
        self.changed.emit()

    def values(self) -> Model:
        """Return the model that the form shows.

        Raises
        ------
        ConfigError
            If the values do not go together; the message names the field.
        """
        shown = {name: editor.get() for name, editor in self._editors.items()}
        everything = {name: getattr(self._base, name) for name in type(self._base).model_fields}
        try:
            return type(self._base).model_validate({**everything, **shown})
        except ValidationError as error:
            first = error.errors()[0]
            where = label_of(str(first["loc"][0])) if first["loc"] else "Options"
            raise ConfigError(f"{where}: {first['msg']} (got {first['input']!r}).", "Change the value.") from error

    def show(self, values: Model) -> None:
        """Show `values`; fields that are not shown take theirs too."""
        self._base = values
        for name, editor in self._editors.items():
            editor.set(getattr(values, name))


def label_of(name: str, info: FieldInfo | None = None) -> str:
    """Return the words that stand before a field.

    Examples
    --------
    >>> label_of("learning_rate"), label_of("checkpoint_seconds")
    ('Learning rate', 'Checkpoint (s)')
    """
    if info is not None and info.title:
        return info.title
    stem, _, unit = name.rpartition("_")
    words, unit = (stem, f" ({UNITS[unit]})") if stem and unit in UNITS else (name, "")
    return words.replace("_", " ").capitalize() + unit


def tooltip_of(info: FieldInfo) -> str:
    """Return the field's doc as plain text on one paragraph."""
    return " ".join((info.description or "").replace("``", "").replace("`", "").split())


def _editor(annotation: object, bounds: Bounds, value: object) -> Editor:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _editor(arguments[0], {**bounds, **_bounds(arguments[1:])}, value)
    if origin in (Union, types.UnionType):
        (inner,) = (a for a in arguments if a is not type(None))
        return _optional(inner, bounds, value)
    if origin is Literal:
        return _holding(ComboBox(choices=[(str(choice), choice) for choice in arguments]), value)
    if isinstance(value, BaseModel):
        form = Form(value)
        return Editor(form, form.values, form.show)  # type: ignore[arg-type]
    if (make := EDITORS.get(origin or annotation)) is None:
        raise TypeError(f"no widget is known for a field of type {annotation}")
    return make(bounds, value)


def _holding(widget: BaseValueWidget[Any], value: object) -> Editor:
    def show(new: object) -> None:
        widget.value = new

    show(value)
    return Editor(widget, lambda: widget.value, show)


def _boolean(_bounds: Bounds, value: object) -> Editor:
    return _holding(CheckBox(text=""), value)


def _text(_bounds: Bounds, value: object) -> Editor:
    return _holding(LineEdit(), value)


def _integer(bounds: Bounds, value: object) -> Editor:
    low = max(bounds.get("ge", -LARGE_INT), bounds.get("gt", -LARGE_INT - 1) + 1)
    high = min(bounds.get("le", LARGE_INT), bounds.get("lt", LARGE_INT + 1) - 1)
    return _holding(SpinBox(min=int(low), max=int(high), step=int(bounds.get("multiple_of", 1))), value)


def _number(bounds: Bounds, value: object) -> Editor:
    widget = FloatSpinBox(min=-LARGE_FLOAT, max=LARGE_FLOAT, step=1)
    widget.step = None  # the step follows the value's magnitude
    small = any(0 < abs(float(v)) < 0.1 for v in (value, *bounds.values()))  # type: ignore[arg-type]
    usual = max(2, 2 * small + max(_decimals(v) for v in (value, *bounds.values())))

    def show(number: object) -> None:
        # Qt rounds to the decimals of the box, two by default: without this, a learning rate of 1e-4 reads back as 0.
        decimals = max(usual, _decimals(number))
        smallest = 10.0**-decimals
        widget.native.setDecimals(decimals)
        widget.min = max(bounds.get("ge", -LARGE_FLOAT), bounds.get("gt", -LARGE_FLOAT - smallest) + smallest)
        widget.max = min(bounds.get("le", LARGE_FLOAT), bounds.get("lt", LARGE_FLOAT + smallest) - smallest)
        widget.value = float(number)  # type: ignore[arg-type]

    show(value)
    return Editor(widget, lambda: widget.value, show)


def _optional(annotation: object, bounds: Bounds, value: object) -> Editor:
    start = value if value is not None else _placeholder(annotation, bounds)
    inner = _editor(annotation, bounds, start)
    given = CheckBox(value=value is not None, text="")
    box = Container(widgets=[given, cast("Widget", inner.widget)], layout="horizontal", labels=False)
    box.margins = (0, 0, 0, 0)
    given.native.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    inner.widget.native.setEnabled(given.value)

    @given.changed.connect
    def _enable(ticked: bool) -> None:
        inner.widget.native.setEnabled(ticked)

    def show(new: object) -> None:
        given.value = new is not None
        if new is not None:
            inner.set(new)

    return Editor(box, lambda: inner.get() if given.value else None, show)


def _placeholder(annotation: object, bounds: Bounds) -> object:
    """Return a value to start from when a field that was None is given one."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _placeholder(arguments[0], {**bounds, **_bounds(arguments[1:])})
    if origin is Literal:
        return arguments[0]
    low = bounds.get("ge", bounds.get("gt", 0) + 1)
    starts: dict[object, object] = {int: int(low), float: float(low), bool: False, str: "", tuple: (), Path: Path()}
    return starts[origin or annotation]


def _path(_bounds: Bounds, value: object) -> Editor:
    return _holding(FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY), value)


def _sequence(_bounds: Bounds, value: object) -> Editor:
    widget = LineEdit()

    def show(values: object) -> None:
        widget.value = ", ".join(f"{v}" for v in values)  # type: ignore[attr-defined]

    def get() -> tuple[str, ...]:
        return tuple(part.strip() for part in widget.value.split(",") if part.strip())

    show(value)
    return Editor(widget, get, show)


def _bounds(metadata: Iterable[object]) -> Bounds:
    """Return the bounds among a field's annotations, by their names in `annotated_types`."""
    found: Bounds = {}
    for item in metadata:
        if isinstance(item, FieldInfo):
            found |= _bounds(item.metadata)
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            if isinstance(limit := getattr(item, name, None), int | float):
                found[name] = limit
    return found


def _decimals(number: object) -> int:
    """Return the digits after the point that write `number` exactly as Python prints it."""
    exponent = Decimal(repr(float(number))).normalize().as_tuple().exponent  # type: ignore[arg-type]
    return max(0, -exponent) if isinstance(exponent, int) else 0


EDITORS: dict[object, Callable[[Bounds, object], Editor]] = {
    bool: _boolean,
    int: _integer,
    float: _number,
    str: _text,
    Path: _path,
    tuple: _sequence,
}
