"""One window per project: a lock file with the process that holds it."""

import json
import os
import platform
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from napari_medseg.errors import ConfigError

FILE = "project.lock"


@dataclass(frozen=True)
class Holder:
    """A process that has a project open."""

    host: str
    pid: int
    started: float
    """When the process began, in seconds since the epoch: process numbers are used again."""
    token: str = ""
    """Of the window: one process may have several."""

    @classmethod
    def me(cls) -> "Holder":
        """Return this process, as a new holder."""
        return cls(platform.node(), os.getpid(), psutil.Process().create_time(), secrets.token_hex(4))

    @property
    def is_alive(self) -> bool:
        """Whether the process may still run; one on another computer may."""
        if self.host != platform.node():
            return True
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1.0
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


class FolderLock:
    """Holds a folder for one window, until `release`.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    ConfigError
        If another window has it open, with where.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._me = Holder.me()
        self.taken_over = False
        """Whether the lock was that of a process that had died."""
        while not self._create():
            holder = holder_of(folder)
            if holder is not None and holder.is_alive:
                raise ConfigError(
                    f"{folder.name} is open in another window (process {holder.pid} on {holder.host}).",
                    f"Close it there. If no napari runs there any more, delete {FILE} in the folder.",
                )
            # Renamed first: of two windows that find it stale at once, only one gets it out of the way.
            aside = self._path.with_name(f".{FILE}.{self._me.token}")
            try:
                self._path.rename(aside)
            except FileNotFoundError:
                continue
            aside.unlink()
            self.taken_over = True

    def release(self) -> None:
        """Let others open the folder; a lock that others took meanwhile is left alone."""
        if holder_of(self._path.parent) == self._me:
            self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Make the lock file, complete from its first moment on; False if there is one."""
        draft = self._path.with_name(f".{FILE}.{self._me.token}")
        draft.write_text(json.dumps(asdict(self._me)), encoding="utf-8")
        try:
            os.link(draft, self._path)
        except FileExistsError:
            return False
        except OSError:
            return self._create_without_link(draft)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _create_without_link(self, draft: Path) -> bool:
        """Make the lock file where the file system has no hard links, as on memory sticks."""
        try:
            with self._path.open("xb") as file:
                file.write(draft.read_bytes())
        except FileExistsError:
            return False
        return True


def holder_of(folder: Path) -> Holder | None:
    """Return who has a folder open; None for nobody, or a lock file that was never completed."""
    try:
        return Holder(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
