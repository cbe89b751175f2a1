"""Keeps the labels of a viewer on disk while the user paints, in a project or, without one, in a session."""

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari.layers import Image, Labels
from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_medseg.errors import MedsegError
from napari_medseg.progress import Note
from napari_medseg.project import Project, sessions
from napari_medseg.ui.background import in_background
from napari_medseg.ui.connections import Connections
from napari_medseg.ui.layers import tag_of
from napari_medseg.ui.projects.bring import Loaded, Opened, hide_case, load_case, open_project, show_case
from napari_medseg.ui.projects.holding import Holding
from napari_medseg.ui.projects.track import Track

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.utils.events import Event as LayerEvent
    from napari.viewer import Viewer

SAVE_MS = 10_000
"""From the first stroke that is not saved to its save; also the time to the next try after a failure."""


class Keeper(QObject):
    """Saves what is painted in a viewer some seconds later, in the background, and brings it back.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose labels layers are kept.
    parent : QObject
        A panel in the viewer's window; the keeper soon belongs to the window, and lives as long.
    """

    changed = Signal()
    """The project, its cases, or what is saved of them."""
    noted = Signal(object)
    """A `Note` for the user."""
    failed = Signal(object)
    """A `MedsegError`: what could not be saved or brought back. The labels stay in memory."""

    def __init__(self, viewer: "Viewer", parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.project: Project | None = None
        self.saved_at: float | None = None
        """When something was last saved, in seconds since the epoch."""
        self.error: MedsegError | None = None
        """Why the last save failed; None if it did not."""
        self._tracks: list[Track] = []
        self._saving = False
        self._writing = threading.Lock()
        self._timer = QTimer(self, singleShot=True, interval=SAVE_MS)
        self._timer.timeout.connect(self.save)
        self._list = Connections(self)
        self._list.connect(viewer.layers.events.inserted, self._on_inserted)
        self._list.connect(viewer.layers.events.removed, self._on_removed)
        self._holding = Holding()
        self.destroyed.connect(partial(Holding.end, self._holding))
        QTimer.singleShot(0, self._settle)
        for layer in viewer.layers:
            self._watch(layer, is_work=True)

    @property
    def is_dirty(self) -> bool:
        """Whether there is something that is not saved yet."""
        return self._saving or any(track.is_dirty for track in self._tracks)

    @property
    def is_session(self) -> bool:
        """Whether there is no project of the user's."""
        return self.project is None or sessions.is_session(self.project)

    def layer_of(self, case: str) -> Labels | None:
        """Return the layer that shows the labels of a case."""
        return next((track.layer for track in self._tracks if track.case == case), None)

    def case_of(self, layer: "Layer") -> str | None:
        """Return the case of a labels layer; None if it has none yet."""
        return next((track.case for track in self._tracks if track.layer == layer), None)

    def save(self) -> None:
        """Save in the background what was changed."""
        self._timer.stop()
        dirty = [track for track in self._tracks if track.is_dirty]
        if self._saving or not dirty:
            return
        self._saving = True
        in_background(partial(self._save, dirty, tuple(self.viewer.layers)), self._on_saved, self._on_failed)

    def flush(self, tracks: Sequence[Track] | None = None) -> None:
        """Save at once what was changed; an error is told by `failed`."""
        if dirty := [track for track in (self._tracks if tracks is None else tracks) if track.is_dirty]:
            try:
                self._after_save(self._save(dirty, tuple(self.viewer.layers)))
            except MedsegError as error:
                self._report(error)

    def keep(self, layer: Labels) -> None:
        """Give a labels layer a case, whether or not anybody painted on it, and save it."""
        for track in self._tracks:
            if track.layer == layer:
                track.touched = True
                track.mark()
        self.save()

    def remove(self, case: str) -> None:
        """Take a case off the project's list; its layer stays, and is a new case once it is painted on."""
        try:
            if self.project is not None:
                self.project.remove_case(case)
        except MedsegError as error:
            self.failed.emit(error)
        else:
            for track in (track for track in self._tracks if track.case == case):
                track.forget_case()
            self.changed.emit()

    def create(self, folder: Path) -> None:
        """Make a project in a new folder, of all that is in the session or project that is open."""
        self.flush()
        make = partial(Project.create, folder) if self.project is None else partial(self.project.copy_to, folder)
        in_background(make, self._on_copied, self._report)

    def open(self, folder: Path) -> None:
        """Open a project or a session, and show its cases, in place of what is open."""
        if self.project is not None and self.project.folder == folder.resolve():
            for case in self.project.content.cases:
                self.show(case.id)
            return
        in_background(partial(open_project, folder, self._images()), self._on_opened, self._report)

    def show(self, case: str) -> None:
        """Bring a case of the open project into the viewer."""
        if self.project is not None and self.layer_of(case) is None:
            in_background(partial(load_case, self.project, case, self._images()), self._on_loaded, self._report)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Save before the window closes."""
        if event.type() == QEvent.Type.Close:
            self.flush()
        return False

    def _images(self) -> list[Image]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def _settle(self) -> None:
        """Belong to the window that the panel has been put into by now."""
        parent = self.parent()
        window = parent.window() if isinstance(parent, QWidget) else None
        if isinstance(window, QMainWindow):
            self.setParent(window)
            window.installEventFilter(self)

    def _watch(self, layer: "Layer", is_work: bool = False, case: str | None = None) -> None:
        tag = tag_of(layer)
        if isinstance(layer, Labels) and (tag is None or tag.role != "preview"):
            track = Track(layer, case, self)
            track.changed.connect(self._on_change)
            self._tracks.append(track)
            if case is None:
                in_background(partial(track.begin, is_work), self._on_begun, self._report)

    def _on_begun(self, _nothing: None) -> None:
        if self.is_dirty:
            self._on_change()

    def _on_inserted(self, event: "LayerEvent") -> None:
        if all(track.layer != event.value for track in self._tracks):
            self._watch(event.value)

    def _on_removed(self, event: "LayerEvent") -> None:
        # What cannot be saved now stays in memory, and is tried again.
        self.flush([track for track in self._tracks if track.layer == event.value])
        self._drop_removed()
        self.changed.emit()

    def _drop_removed(self) -> None:
        for track in list(self._tracks):
            if track.layer not in self.viewer.layers and not track.is_dirty:
                self._drop(track)

    def _drop(self, track: Track) -> None:
        self._tracks.remove(track)
        track.close()
        track.deleteLater()

    def _on_change(self) -> None:
        if not self._timer.isActive():
            self._timer.start()
            self.changed.emit()

    def _save(self, tracks: Sequence[Track], layers: "tuple[Layer, ...]") -> bool:
        """Save tracks, from any thread, and return whether anything was new."""
        with self._writing:
            changed = [track for track in tracks if track.look()]
            if changed and self.project is None:
                self._take(sessions.new_session())
            for track in changed:
                assert self.project is not None
                track.save(self.project, layers)
        return bool(changed)

    def _on_saved(self, new: bool) -> None:
        self._saving = False
        self._after_save(new)
        if any(track.is_dirty for track in self._tracks):
            self._timer.start()

    def _after_save(self, new: bool) -> None:
        if self.error is not None:
            self.noted.emit(Note("Saved after all."))
        self.error = None
        if new:
            self.saved_at = time.time()
        self._drop_removed()
        self.changed.emit()

    def _on_failed(self, error: MedsegError) -> None:
        self._saving = False
        self._report(error)

    def _report(self, error: MedsegError) -> None:
        if self.is_dirty:
            self.error = error
            self._timer.start()
        self.failed.emit(error)
        self.changed.emit()

    def _take(self, project: Project) -> None:
        """Make a project the open one."""
        if self.project is not None:
            self._holding.release()
        self.project = self._holding.project = project
        if not self.is_session:
            sessions.note_open(project.folder)

    def _on_copied(self, project: Project) -> None:
        before, was_session = self.project, self.is_session
        self._take(project)
        for track in self._tracks:
            # Painted while it was copied: only what differs is written.
            track.mark()
        if before is not None and was_session:
            sessions.remove(before.folder)
        self.changed.emit()

    def _on_opened(self, opened: Opened) -> None:
        self.flush()
        self._leave()
        self._take(opened.project)
        if opened.project.taken_over:
            self.noted.emit(Note("The window that had this project open before did not close it; it is yours now."))
        for loaded in opened.cases:
            self._on_loaded(loaded)
        self.changed.emit()

    def _leave(self) -> None:
        """Take the layers of the open project out of the viewer; they are saved."""
        for track in list(self._tracks):
            if track.case is not None and not track.is_dirty:
                self._drop(track)
                hide_case(self.viewer, track.layer, [other.layer for other in self._tracks])
            track.forget_case()

    def _on_loaded(self, loaded: Loaded) -> None:
        self._list.close()
        try:
            layer = show_case(self.viewer, loaded)
        finally:
            self._list.connect(self.viewer.layers.events.inserted, self._on_inserted)
            self._list.connect(self.viewer.layers.events.removed, self._on_removed)
        if layer is not None:
            self._watch(layer, case=loaded.case.id)
        for problem in loaded.problems:
            self.failed.emit(problem)
        self.changed.emit()


def keeper_of(viewer: "Viewer", panel: QWidget) -> Keeper:
    """Return the keeper of a viewer, made on first use by any of its panels."""
    # napari gives each plugin's widget a wrapper of the viewer of its own.
    own = getattr(viewer, "__wrapped__", viewer)
    for widget in QApplication.topLevelWidgets():
        for keeper in widget.findChildren(Keeper):
            if keeper.viewer is own:
                return cast("Keeper", keeper)
    return Keeper(own, panel)
