"""What the user drops on the window, or opens from its menus: gathered, and opened without a wait."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QCoreApplication, QObject, QThread, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow

from napari_medseg.progress import Control, Event
from napari_medseg.ui.layers import add_layers, frame_of
from napari_medseg.ui.opening import Opened, finding, is_quick, opening
from napari_medseg.ui.widgets.series_browser import browser_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

WAIT_MS = 60
"""napari hands over dropped files one by one; when none came for so long, those were all."""


def window_is_shown() -> bool:
    """Return whether there is a window that a user may look at."""
    return any(isinstance(widget, QMainWindow) and widget.isVisible() for widget in QApplication.topLevelWidgets())


def is_by_hand() -> bool:
    """Return whether a user at the window asked for what is being done now, rather than a script.

    A script runs before the event loop, or while it rests; what the user does is done by the loop.
    """
    return QThread.currentThread().loopLevel() > 0 and window_is_shown()


def open_later(viewer: "Viewer", paths: Sequence[Path]) -> None:
    """Open paths together with others that come in the same moment."""
    application = QCoreApplication.instance()
    gathering = application.findChild(Gathering) or Gathering(application)
    gathering.add(viewer, paths)


class Gathering(QObject):
    """Collects the paths of one drop.

    Parameters
    ----------
    parent : QObject, optional
        Owner.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._paths: list[Path] = []
        self._viewer: Viewer | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._open)

    def add(self, viewer: "Viewer", paths: Sequence[Path]) -> None:
        """Take more paths, and open them all a moment after the last."""
        if self._viewer not in (None, viewer):
            self._open()
        self._viewer = viewer
        self._paths += paths
        self._timer.start()

    def _open(self) -> None:
        self._timer.stop()
        viewer, paths = self._viewer, list(dict.fromkeys(self._paths))
        self._viewer, self._paths = None, []
        if viewer is not None and not _open_at_once(viewer, paths):
            browser_of(viewer, passing=True).open_paths(paths)


def _open_at_once(viewer: "Viewer", paths: Sequence[Path]) -> bool:
    """Open a small single volume without further ado, and return whether that is what it was."""
    if not is_quick(paths):
        return False
    events: list[Event] = []
    found = finding(paths)(Control(), events.append)
    if len(found.entries) != 1 or found.problems:
        return False
    opening(found.entries, frame_of(viewer.layers))(Control(), events.append)
    opened = [event for event in events if isinstance(event, Opened)]
    for event in opened:
        add_layers(viewer, event.layers)
        if event.notes:
            show_warning("\n".join(event.notes))
    return bool(opened)
