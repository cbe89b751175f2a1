"""Keeps the mouse wheel from changing values."""

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QWidget


class IgnoreWheel(QObject):
    """Leaves the wheel to the scroll area, so that scrolling past a box does not change its value."""

    def guard(self, widget: QWidget) -> None:
        """Watch over all number and choice boxes in `widget`, itself included."""
        for kind in (QAbstractSpinBox, QComboBox):
            for box in (*widget.findChildren(kind), *([widget] if isinstance(widget, kind) else [])):
                box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                box.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Stop wheel events, unhandled."""
        if event is not None and event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))
