"""A project's folder: what is in it, and how it is changed without ever being half written."""

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import ValidationError

from napari_medseg.data import annotation as annotations
from napari_medseg.data.annotation import Annotation
from napari_medseg.errors import ConfigError, DataError, WriteError
from napari_medseg.project import images, visits
from napari_medseg.project.content import FILE, CaseEntry, ImageReference, ProjectContent, load_content
from napari_medseg.project.header import header_of, labels_from
from napari_medseg.project.lock import FolderLock
from napari_medseg.project.slabs import SlabStore
from napari_medseg.training.atomic import write_text
from napari_medseg.volume import Volume

PARTS = ("cases", "images", "runs", "models")
"""Folders that a copy of a project takes along, beside what ``project.json`` and `visits.FILE` say."""


def is_project(folder: Path) -> bool:
    """Return whether a folder holds a project."""
    return (folder / FILE).is_file()


class Project:
    """An open project; `create` and `open` lock its folder, `look` only reads.

    Use as a context, or call `close`. Methods may be called from several threads.

    Parameters
    ----------
    folder : Path
        The folder.
    content : ProjectContent
        What its ``project.json`` says.
    lock : FolderLock, optional
        None for a project that is only looked at.
    """

    def __init__(self, folder: Path, content: ProjectContent, lock: FolderLock | None) -> None:
        self.folder = folder
        self._content, self._lock = content, lock
        self._stores: dict[str, SlabStore] = {}
        self._writing = threading.RLock()

    @classmethod
    def create(cls, folder: Path, name: str = "") -> Self:
        """Make a project in a new or empty folder.

        Raises
        ------
        ConfigError
            If the folder holds anything.
        WriteError
            If it cannot be written.
        """
        folder = folder.resolve()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder.name} is not an empty folder.", "Choose a new folder for the project.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            project = cls(folder, ProjectContent(), FolderLock(folder))
            project.change(name=name or folder.name[:100], created=datetime.now(UTC).isoformat(timespec="seconds"))
        except OSError as error:
            raise _unwritable(error) from error
        return project

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a project for one window.

        Raises
        ------
        ReadError
            If the folder holds no project, or one that cannot be understood.
        ConfigError
            If another window has it open.
        """
        folder = folder.resolve()
        content = load_content(folder)
        try:
            lock = FolderLock(folder)
        except OSError as error:
            raise _unwritable(error) from error
        return cls(folder, content, lock)

    @classmethod
    def look(cls, folder: Path) -> Self:
        """Return a project to read from, which others may have open."""
        folder = folder.resolve()
        return cls(folder, load_content(folder), None)

    def copy_to(self, folder: Path) -> Self:
        """Copy all of the project into a new or empty folder, and return the copy, opened.

        Raises
        ------
        ConfigError
            If the folder holds anything.
        WriteError
            If it cannot be written.
        """
        copied = type(self).create(folder)
        try:
            with self._writing:
                for name in PARTS:
                    if (self.folder / name).is_dir():
                        shutil.copytree(self.folder / name, copied.folder / name)
                visits.copy(self.folder, copied.folder)
                copied.change(cases=self._content.cases, notes=self._content.notes)
        except OSError as error:
            copied.close()
            raise _unwritable(error) from error
        return copied

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other windows open it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def content(self) -> ProjectContent:
        """What it holds."""
        return self._content

    @property
    def taken_over(self) -> bool:
        """Whether the window that had it open before had died."""
        return self._lock is not None and self._lock.taken_over

    @property
    def runs(self) -> Path:
        """Folder of the training runs."""
        return self.folder / "runs"

    @property
    def models(self) -> Path:
        """Folder of the models that were trained in the project, with their earlier versions."""
        return self.folder / "models"

    def change(self, **values: object) -> None:
        """Change fields of the content, on disk first.

        Raises
        ------
        ConfigError
            If a value cannot be.
        WriteError
            If it cannot be written; everything stays as it was.
        """
        with self._writing:
            try:
                content = ProjectContent.model_validate({**self._content.model_dump(), **values})
            except ValidationError as error:
                raise ConfigError(
                    f"The project cannot hold this: {error.errors()[0]['msg']}.", "Correct it."
                ) from error
            try:
                write_text(self.folder / FILE, content.model_dump_json(indent=1))
            except OSError as error:
                raise _unwritable(error) from error
            self._content = content

    def case(self, case: str) -> CaseEntry:
        """Return a case by its identifier; `DataError` if there is none."""
        for entry in self._content.cases:
            if entry.id == case:
                return entry
        raise DataError(f"The project has no case {case}.", "Choose one of those it lists.")

    def add_case(self, referred: tuple[ImageReference, ...], name: str = "", **values: object) -> CaseEntry:
        """Add a case; without a name it is numbered, so that no name of a file or patient gets into the project."""
        with self._writing:
            taken = [int(entry.id.partition("-")[2]) for entry in self._content.cases]
            number = max(taken, default=0) + 1
            fields: dict[str, Any] = {
                "id": f"case-{number:03d}", "name": name or f"case {number}", "images": referred, **values,
            }  # fmt: skip
            try:
                entry = CaseEntry.model_validate(fields)
            except ValidationError as error:
                raise ConfigError(f"The case cannot be added: {error.errors()[0]['msg']}.", "Correct it.") from error
            self.change(cases=(*self._content.cases, entry))
            return entry

    def change_case(self, case: str, **values: object) -> CaseEntry:
        """Change fields of a case, and return it; see `change`."""
        with self._writing:
            changed = {**self.case(case).model_dump(), **values}
            self.change(cases=tuple(changed if entry.id == case else entry for entry in self._content.cases))
            return self.case(case)

    def remove_case(self, case: str) -> None:
        """Take a case off the list; its labels stay in its folder, out of the way of new cases."""
        with self._writing:
            entry = self.case(case)
            self.change(cases=tuple(other for other in self._content.cases if other.id != entry.id))
            folder = self.folder / "cases" / case
            if folder.is_dir():
                aside = self.folder / "removed" / f"{case}-{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}"
                aside.parent.mkdir(exist_ok=True)
                folder.rename(aside)
            self._stores.pop(case, None)

    def refer(self, image: Volume, copy: bool = False) -> ImageReference:
        """Return a reference to an image, copied into the project if asked for or needed; see `images.refer`."""
        return images.refer(self.folder, image, copy)

    def image_state(self, case: str) -> images.State:
        """Return what there is of a case's image, without reading it."""
        return images.state(self.folder, self.case(case).images)

    def read_images(self, case: str) -> list[Volume]:
        """Return the images of a case, each exactly the one that was added; see `images.load` for the errors."""
        entry = self.case(case)
        return [images.load(self.folder, image, entry.name) for image in entry.images]

    def relocate(self, case: str, path: Path) -> CaseEntry:
        """Note where the image of a case is now, if it is the same; `DataError` if it is not."""
        entry = self.case(case)
        moved = tuple(images.relocated(self.folder, image, path, entry.name) for image in entry.images)
        return self.change_case(case, images=moved)

    def save_labels(
        self, case: str, labels: Volume, annotation: Annotation | None = None, rows: slice | None = None
    ) -> bool:
        """Save the labels of a case; a process that dies meanwhile leaves what was saved before.

        Parameters
        ----------
        case : str
            Identifier.
        labels : Volume
            May be painted on meanwhile.
        annotation : Annotation, optional
            What is known of them.
        rows : slice, optional
            Where along the first axis they may have changed since the last call; everywhere if None.

        Returns
        -------
        bool
            Whether the labels had changed.

        Raises
        ------
        WriteError
            If the disk does not take them; what was saved before stays.
        """
        try:
            with self._writing:
                store = self._store(case)
                changed = store.save(np.asarray(labels.data), header_of(labels), rows)
                if annotation is not None:
                    annotations.save(annotation, store.folder)
        except OSError as error:
            raise _unwritable(error) from error
        return changed

    def load_labels(self, case: str) -> tuple[Volume, Annotation | None] | None:
        """Return the labels of a case and what is known of them; None if nothing was saved yet.

        Raises
        ------
        ReadError
            If a file is damaged.
        """
        store = self._store(case)
        if not store.exists():
            return None
        data, header = store.load()
        return labels_from(data, header, f"{self.case(case).name} labels"), annotations.load(store.folder)

    def saved_at(self, case: str) -> float | None:
        """Return when labels of a case were last saved, in seconds since the epoch; None if they never were."""
        index = self._store(case).index
        return index.stat().st_mtime if index.is_file() else None

    def _store(self, case: str) -> SlabStore:
        return self._stores.setdefault(case, SlabStore(self.folder / "cases" / case / "labels"))


def _unwritable(error: OSError) -> WriteError:
    return WriteError(
        f"The project cannot be written: {error.strerror or error}.", "Check the free space and the folder's rights."
    )
