"""An area for errors with their remedy, and for notes; empty, it takes no room."""

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.progress import Note

MOST_NOTES = 5
"""Notes shown at once; the oldest make room."""


class MessageBox(QFrame):
    """The problem in bold, the remedy below it, notes below that; all can be selected and copied.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._error: MedsegError | None = None
        self._notes: list[Note] = []
        self.label = QLabel(self)
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.RichText)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self.label)
        self.setObjectName("medseg_messages")
        self.clear()

    @property
    def error(self) -> MedsegError | None:
        """The error that is shown."""
        return self._error

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes that are shown, oldest first."""
        return tuple(note.text for note in self._notes)

    def clear(self) -> None:
        """Show nothing."""
        self._error, self._notes = None, []
        self._refresh()

    def show_error(self, error: MedsegError) -> None:
        """Show an error in place of the one before."""
        self._error = error
        self._refresh()

    def add_note(self, note: Note) -> None:
        """Add a note; one that is already there is not repeated."""
        if note.text not in self.notes:
            self._notes = [*self._notes, note][-MOST_NOTES:]
            self._refresh()

    def _refresh(self) -> None:
        parts = []
        if self._error is not None:
            parts.append(f"<b>{escape(self._error.problem)}</b><br>{escape(self._error.remedy)}")
        parts += [f"{'⚠ ' if note.level == 'warning' else ''}{escape(note.text)}" for note in self._notes]
        self.label.setText("<br>".join(parts))
        warned = any(note.level == "warning" for note in self._notes)
        edge = "#e0524d" if self._error is not None else "#e8a33d" if warned else "#4c8bd0"
        self.setStyleSheet(f"#medseg_messages {{ border: none; border-left: 3px solid {edge}; }}")
        self.setVisible(bool(parts))
