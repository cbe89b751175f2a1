"""Where the panels keep files: training runs, and copies of images for the worker process.

Folder names are times and random letters, never names of images or patients.
"""

import atexit
import secrets
import shutil
import time
from functools import cache
from pathlib import Path

from napari_medseg.models import library_folder

SCRATCH_HOURS = 24.0
"""A scratch folder that nothing was written to for so long belongs to no running napari."""
RUN_DAYS = 7.0
"""Images and checkpoints of runs are kept for so long, to resume from; their logs and models stay."""

HEAVY = ("checkpoints", "examples", "cache")
"""Folders of a run that hold copies of images, or weights to go on from."""


def runs_folder() -> Path:
    """Return the folder of all training runs, beside the library of models."""
    return library_folder().parent / "runs"


def new_run_folder(parent: Path | None = None) -> Path:
    """Return the path of a new run's folder, which is made, in that of all runs or in a project's."""
    folder = (parent or runs_folder()) / _unique_name()
    folder.mkdir(parents=True)
    return folder


def scratch_folder() -> Path:
    """Return this process's folder for copies of images; removed when it ends."""
    return _scratch(library_folder().parent / "scratch")


def new_scratch_file(suffix: str = ".medvol") -> Path:
    """Return an unused path in the scratch folder."""
    return scratch_folder() / f"{_unique_name()}{suffix}"


def tidy(now: float | None = None) -> None:
    """Remove scratch folders that a crash left behind, and the image data and checkpoints of old runs.

    Parameters
    ----------
    now : float, optional
        Seconds since the epoch.
    """
    now = time.time() if now is None else now
    for folder in (library_folder().parent / "scratch").glob("*"):
        if now - _last_written(folder) > SCRATCH_HOURS * 3600:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in runs_folder().glob("*"):
        if now - _last_written(folder) > RUN_DAYS * 86400:
            for heavy in (*folder.glob("*.medvol"), *(folder / name for name in HEAVY)):
                shutil.rmtree(heavy, ignore_errors=True)


@cache
def _scratch(parent: Path) -> Path:
    folder = parent / _unique_name()
    folder.mkdir(parents=True)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _unique_name() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def _last_written(folder: Path) -> float:
    """Return when anything directly in a folder was last written, in seconds since the epoch."""
    return max((path.stat().st_mtime for path in (folder, *folder.glob("*")) if path.exists()), default=0.0)
