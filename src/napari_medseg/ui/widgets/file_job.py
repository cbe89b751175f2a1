"""From layers to a job and back: copies volumes for the worker, starts the job, and hands on what it returns."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_medseg.io import write
from napari_medseg.jobs import Job, Work
from napari_medseg.progress import Note
from napari_medseg.ui.folders import new_scratch_file
from napari_medseg.ui.widgets.job_panel import JobPanel
from napari_medseg.volume import Volume


@dataclass(frozen=True, eq=False)
class FileTask:
    """A job that takes volumes as files."""

    target: str
    """As in `Work`."""
    volumes: Mapping[str, Callable[[], Volume]]
    """By name of the argument that takes the file. Called in a thread; must not change layers."""
    arguments: Mapping[str, object] = field(default_factory=dict)
    """The other arguments."""
    words: str = "Copying the labels for the worker"
    """What is shown meanwhile."""
    exclusive: bool = False
    """As in `Work`."""


@dataclass(frozen=True, eq=False)
class _Copied:
    task: FileTask
    paths: Mapping[str, Path]
    warnings: tuple[str, ...]


class FileJob(QObject):
    """Runs one task at a time in a panel that others may share.

    Parameters
    ----------
    panel : JobPanel
        Shows the job; its Cancel button stops it.
    parent : QObject, optional
        Owner.
    """

    done = Signal(object)
    """What the job returned."""

    def __init__(self, panel: JobPanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._panel = panel
        self._task: FileTask | None = None
        self._copies: tuple[Path, ...] = ()
        panel.ended.connect(self._on_ended)

    def start(self, task: FileTask) -> bool:
        """Begin a task; without effect, and false, while something runs in the panel."""
        if self._panel.busy:
            return False
        self._task = task
        self._panel.begin(task.words, partial(_copy, task), self._submit, _discard)
        return True

    def _submit(self, copied: _Copied) -> None:
        task = copied.task
        self._copies = tuple(copied.paths.values())
        self._panel.submit(Work(task.target, {**task.arguments, **copied.paths}, exclusive=task.exclusive))
        for warning in copied.warnings:
            self._panel.messages.add_note(Note(warning, "warning"))

    def _on_ended(self, job: Job | None) -> None:
        task, self._task = self._task, None
        if task is not None and job is not None:
            self._remove_copies()
            if job.state == "finished":
                self.done.emit(job.result)

    def _remove_copies(self) -> None:
        _remove(self._copies)
        self._copies = ()


def _discard(copied: _Copied) -> None:
    _remove(copied.paths.values())


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def _copy(task: FileTask) -> _Copied:
    paths: dict[str, Path] = {}
    warnings: list[str] = []
    for name, take in task.volumes.items():
        volume = take()
        # What an image's reader had to decide was said when it was opened.
        warnings += volume.warnings if volume.kind == "labels" else ()
        paths[name] = write(volume, new_scratch_file())
    return _Copied(task, paths, tuple(dict.fromkeys(warnings)))
