"""Offers to bring back what a window left that is gone: after a crash, or closed without a project."""

import time
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_medseg.errors import WriteError
from napari_medseg.project import sessions
from napari_medseg.ui.background import in_background

if TYPE_CHECKING:
    from napari_medseg.errors import MedsegError
    from napari_medseg.project.sessions import Left
    from napari_medseg.ui.projects.keeper import Keeper


class RestoreBar(QFrame):
    """A line with Restore and Discard; hidden where there is nothing to restore.

    Parameters
    ----------
    keeper : Keeper
        Restores.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, keeper: "Keeper", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keeper = keeper
        self._found: list[Left] = []
        self.label = QLabel(self)
        self.label.setWordWrap(True)
        self.restore_button = QPushButton("Restore", self)
        self.restore_button.setToolTip("Open the images and labels again, as they were last saved")
        self.discard_button = QPushButton("Discard", self)
        self.tidy_button = QPushButton("Delete old", self)
        row = QHBoxLayout()
        row.addStretch(1)
        for button in (self.restore_button, self.discard_button, self.tidy_button):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self.label)
        layout.addLayout(row)
        self.setObjectName("medseg_restore")
        self.setStyleSheet("#medseg_restore { border: none; border-left: 3px solid #4c8bd0; }")
        self.restore_button.clicked.connect(self._on_restore)
        self.discard_button.clicked.connect(self._on_discard)
        self.tidy_button.clicked.connect(self._on_tidy)
        keeper.changed.connect(self._refresh)
        self._refresh()
        self.look()

    def look(self) -> None:
        """Look for what was left, in the background."""
        in_background(_find, self._on_found, self._on_error)

    def _on_found(self, found: "list[Left]") -> None:
        self._found = found
        self._refresh()

    def _on_error(self, error: "MedsegError") -> None:
        self._keeper.failed.emit(error)

    def _refresh(self) -> None:
        opened = self._keeper.project.folder if self._keeper.project is not None else None
        self._found = [left for left in self._found if left.folder != opened]
        old = sessions.superfluous(self._found)
        self.setVisible(bool(self._found))
        if self._found:
            latest = self._found[0]
            self.label.setText(_words(latest))
            self.discard_button.setToolTip(
                "Do not offer this project again; it stays on disk"
                if latest.is_project
                else "Put these labels aside; they are deleted after a week"
            )
        self.tidy_button.setVisible(bool(old))
        self.tidy_button.setToolTip(f"Delete {len(old)} older sessions, {sum(left.size for left in old) / 1e6:.0f} MB")

    def _on_restore(self) -> None:
        self._keeper.open(self._found[0].folder)

    def _on_discard(self) -> None:
        try:
            sessions.discard(self._found[0])
        except OSError as error:
            self._on_error(WriteError(f"This cannot be discarded: {error.strerror}.", "Check the folder's rights."))
        else:
            self._found.pop(0)
        self._refresh()

    def _on_tidy(self) -> None:
        for left in sessions.superfluous(self._found):
            sessions.remove(left.folder)
            self._found.remove(left)
        self._refresh()


def _find() -> "list[Left]":
    sessions.remove_empty()
    return sessions.left_behind()


def _words(left: "Left") -> str:
    """Return what can be restored, in a sentence."""
    when = time.strftime("%H:%M" if time.time() - left.saved < 43_200 else "%d %B, %H:%M", time.localtime(left.saved))
    labels = "one label map" if left.cases == 1 else f"{left.cases} label maps"
    where = f"the project {left.folder.name}" if left.is_project else "an earlier window"
    return f"Unfinished work of {where}: {labels}, saved at {when}."
