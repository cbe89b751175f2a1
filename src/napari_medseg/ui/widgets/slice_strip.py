"""A slim bar with one mark per slice: what was painted, what is finished, where to look, and where one is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

HEIGHT = 26
GROUND = 0.15
"""Of the bar's own colour: that of text, seen faintly, goes with every theme."""
MARK = 6
"""Height of the triangle over a slice to look at."""
STROKES, FINISHED, MARKED = "#4c8bd0", "#3cb44b", "#f5a031"


@dataclass(frozen=True, eq=False)
class SliceMarks:
    """What is known of the slices along an axis."""

    strokes: NDArray[np.bool_]
    """Slices that hold labels."""
    finished: NDArray[np.bool_]
    """Slices in which everything is labelled."""
    marked: frozenset[int] = frozenset()
    """Slices that the user was sent to."""
    current: int = 0
    """The slice that is shown."""
    backwards: bool = False
    """Whether the first slice is at the right, as on a slider over an axis of negative scale."""

    def words(self, index: int) -> str:
        """Return what there is to say of a slice."""
        known = [
            words
            for words, holds in (
                ("labels", self.strokes[index]),
                ("finished", self.finished[index]),
                ("look here", index in self.marked),
            )
            if holds
        ]
        return f"Slice {index + 1} of {len(self.strokes)}: {', '.join(known) or 'nothing yet'}"


class SliceStrip(QWidget):
    """Shows the slices along the viewed axis; a click or a drag goes to a slice.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    picked = Signal(int)
    """The user wants to see this slice."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._marks: SliceMarks | None = None
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    @property
    def marks(self) -> SliceMarks | None:
        """What is shown."""
        return self._marks

    def show_marks(self, marks: SliceMarks | None) -> None:
        """Show these marks; nothing if None."""
        self._marks = marks
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a width that leaves the panel free to be narrow."""
        return QSize(200, HEIGHT)

    def index_at(self, x: float) -> int:
        """Return the slice at a horizontal position, in pixels from the left."""
        assert self._marks is not None
        count = len(self._marks.strokes)
        place = int(np.clip(x / max(1, self.width()) * count, 0, count - 1))
        return count - 1 - place if self._marks.backwards else place

    def centre_of(self, index: int) -> float:
        """Return the horizontal position of the middle of a slice, in pixels from the left."""
        assert self._marks is not None
        count = len(self._marks.strokes)
        place = count - 1 - index if self._marks.backwards else index
        return float((place + 0.5) / count * self.width())

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the bar."""
        painter = QPainter(self)
        bar = QRectF(0, MARK + 1, self.width(), self.height() - MARK - 2)
        ground = self.palette().color(QPalette.ColorRole.WindowText)
        ground.setAlphaF(GROUND)
        painter.fillRect(bar, ground)
        if self._marks is not None:
            self._fill(painter, bar, self._marks)
        painter.end()

    def _fill(self, painter: QPainter, bar: QRectF, marks: SliceMarks) -> None:
        half = bar.height() / 2
        for holds, color, top in ((marks.finished, FINISHED, half), (marks.strokes, STROKES, 0.0)):
            for index in np.flatnonzero(holds):
                painter.fillRect(self._column(int(index), bar.top() + top, half), QColor(color))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(MARKED))
        for place in marks.marked:
            x = self.centre_of(place)
            painter.drawPolygon(QPolygonF([QPointF(x - 4, 0), QPointF(x + 4, 0), QPointF(x, MARK)]))
        x = self.centre_of(marks.current)
        painter.fillRect(
            QRectF(x - 1, bar.top() - 1, 2, bar.height() + 2), self.palette().color(QPalette.ColorRole.WindowText)
        )

    def _column(self, index: int, top: float, height: float) -> QRectF:
        """Return the place of one slice; at least a pixel and a half wide."""
        assert self._marks is not None
        width = max(1.5, self.width() / len(self._marks.strokes))
        return QRectF(self.centre_of(index) - width / 2, top, width, height)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Go to the slice under the mouse."""
        self._go(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Go to the slice under the mouse."""
        self._go(event)

    def _go(self, event: QMouseEvent | None) -> None:
        if event is not None and self._marks is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self.picked.emit(self.index_at(event.position().x()))

    def event(self, event: QEvent | None) -> bool:
        """Say what there is to say of the slice under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self._marks is not None:
            words = self._marks.words(self.index_at(event.pos().x()))
            legend = "Blue: labels. Green: finished. Orange: a place to look at. Click to go there."
            QToolTip.showText(event.globalPos(), f"{words}\n{legend}", self)
            return True
        return bool(super().event(event))
