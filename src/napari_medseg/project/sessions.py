"""Work that was not put into a project by the user: kept in the user's data folder, and found again after a crash."""

import json
import logging
import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.models import library_folder
from napari_medseg.project.folder import Project, is_project
from napari_medseg.project.lock import holder_of
from napari_medseg.training.atomic import write_text

logger = logging.getLogger(__name__)

COPIED_BYTES = 1 << 30
"""Most of images without a file that a session copies; labels are always kept."""
OLD_DAYS = 30.0
"""Older sessions are offered for deletion."""
DISCARDED, DISCARDED_DAYS = "discarded", 7.0
"""Where sessions go that the user did not want to restore, and how long they stay there."""
MANY_BYTES = 5 << 30
"""Of all sessions together; from this size on, all but the latest are offered for deletion."""


@dataclass(frozen=True)
class Left:
    """A session, or a project that a window had open when it died."""

    folder: Path
    saved: float
    """When labels were last saved, in seconds since the epoch."""
    cases: int
    """Label maps in it."""
    size: int
    """Bytes on disk."""
    is_project: bool = False
    """Whether the user had made it; then it is opened again, and never offered for deletion."""


def sessions_folder() -> Path:
    """Return the folder of all sessions."""
    return library_folder().parent / "sessions"


def new_session() -> Project:
    """Return a new, empty session."""
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return Project.create(sessions_folder() / name)


def is_session(project: Project) -> bool:
    """Return whether a project is one that the user did not make."""
    return project.folder.parent == sessions_folder().resolve()


def left_behind() -> list[Left]:
    """Return the sessions and projects that windows left, which are gone now, the latest first."""
    found = [_left(folder) for folder in _folders(sessions_folder())]
    found += [_left(folder, is_project=True) for folder in _open_projects() if holder_of(folder) is not None]
    return sorted((left for left in found if left is not None), key=lambda left: -left.saved)


def superfluous(found: list[Left], now: float | None = None) -> list[Left]:
    """Return those of some sessions that should be offered for deletion: old ones, and all but the latest of many.

    Parameters
    ----------
    found : list of Left
        The latest first.
    now : float, optional
        Seconds since the epoch.
    """
    now = time.time() if now is None else now
    sessions = [left for left in found if not left.is_project]
    many = sum(left.size for left in sessions) > MANY_BYTES
    late = now - OLD_DAYS * 86400
    return [left for place, left in enumerate(sessions) if left.saved < late or (many and place > 0)]


def discard(left: Left) -> None:
    """Put a session aside, to be deleted after a week; a project of the user's is only taken off the list of open ones.

    Raises
    ------
    OSError
        If the session cannot be moved.
    """
    if left.is_project:
        note_closed(left.folder)
        return
    aside = sessions_folder() / DISCARDED / left.folder.name
    aside.parent.mkdir(exist_ok=True)
    left.folder.rename(aside)
    os.utime(aside)


def remove(folder: Path) -> None:
    """Delete a session's folder; `ConfigError` for any other folder."""
    if folder.resolve().parent != sessions_folder().resolve():
        raise ConfigError(f"{folder.name} is no session, and is not deleted.")
    shutil.rmtree(folder, ignore_errors=True)


def remove_empty(now: float | None = None) -> None:
    """Delete the sessions of windows that are gone in which nothing was saved, and those discarded a week ago.

    Parameters
    ----------
    now : float, optional
        Seconds since the epoch.
    """
    late = (time.time() if now is None else now) - DISCARDED_DAYS * 86400
    for folder in _folders(sessions_folder() / DISCARDED):
        if folder.stat().st_mtime < late:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in _folders(sessions_folder()):
        if not _is_held(folder) and not any(folder.glob("cases/*/labels/index.json")):
            shutil.rmtree(folder, ignore_errors=True)


def note_open(folder: Path) -> None:
    """Note that a window has a project of the user's open, to be offered again if the window dies."""
    _write_open([*(other for other in _open_projects() if other != folder), folder])


def note_closed(folder: Path) -> None:
    """Note that a window has closed a project of the user's."""
    _write_open([other for other in _open_projects() if other != folder])


def _left(folder: Path, is_project: bool = False) -> Left | None:
    """Return what a window left in a folder; None if a window has it open, or there is nothing in it."""
    indices = list(folder.glob("cases/*/labels/index.json"))
    if _is_held(folder) or not indices:
        return None
    try:
        known = {case.id for case in Project.look(folder).content.cases}
    except MedsegError:
        return None
    saved = [index.stat().st_mtime for index in indices if index.parents[1].name in known]
    if not saved:
        return None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Left(folder, max(saved), len(saved), size, is_project)


def _is_held(folder: Path) -> bool:
    holder = holder_of(folder)
    return holder is not None and holder.is_alive


def _folders(parent: Path) -> list[Path]:
    return [folder for folder in parent.glob("*") if is_project(folder)]


def _open_list() -> Path:
    return sessions_folder() / "open.json"


def _open_projects() -> list[Path]:
    try:
        return [Path(path) for path in json.loads(_open_list().read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _write_open(folders: list[Path]) -> None:
    try:
        write_text(_open_list(), json.dumps([str(folder) for folder in folders], indent=1))
    except OSError as error:
        # Only that a project is not offered after a crash; its labels are saved in it all the same.
        logger.warning("The list of open projects cannot be written: %s", error.strerror)
