"""The files of a model: of a folder, or of a zip file that is read without being unpacked."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from napari_medseg.errors import BundleError

METADATA = Path("configs/metadata.json")
INFERENCE = Path("configs/inference.json")
WEIGHTS = Path("models/model.pt")
CARD = Path("docs/README.md")
LICENCE = Path("LICENSE")
MEMBERS = Path("members")
"""Folder of the models that one is made of: ``members/00`` and so on."""

MAX_TEXT_BYTES = 16 << 20
MAX_WEIGHTS_BYTES = 4 << 30
MAX_UNPACKED_BYTES = 16 << 30
MAX_ENTRIES = 10_000
MAX_RATIO = 100
"""Bytes that one byte of a zip file may become; weights hardly shrink at all."""


class Files(Protocol):
    """Where a model's files are."""

    @property
    def path(self) -> Path:
        """The folder or zip file."""

    def read(self, name: Path) -> bytes | None:
        """Return the content of a text file; None if there is none."""

    def weights(self, name: Path = WEIGHTS) -> Path | bytes | None:
        """Return the weights' file, or its content; None if there is none."""


def open_files(path: Path) -> Files:
    """Return the files of a model.

    Raises
    ------
    BundleError
        If there is no such folder or zip file, or the zip file is damaged or hostile.
    """
    if path.is_dir():
        return FolderFiles(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZipFiles(path, _root(path))
    raise BundleError(f"There is no model folder {path}.", "Choose the folder that holds 'configs', or its zip file.")


def read_json(files: Files, name: Path) -> dict[str, Any]:
    """Return a file of a model that holds a JSON object.

    Raises
    ------
    BundleError
        If the file is missing or damaged.
    """
    where = files.path.name
    try:
        text = files.read(name)
        if text is None:
            raise BundleError(
                f"{files.path} is not a model: {name.as_posix()} is missing.",
                "Choose the folder that holds 'configs' and 'models'.",
            )
        content = json.loads(text.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{where}: {name.as_posix()} cannot be read ({error}).", "Copy the model again.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{where}: {name.as_posix()} is not a JSON object.", "Copy the model again.")
    return content


@dataclass(frozen=True)
class FolderFiles:
    """A model's folder."""

    path: Path

    def read(self, name: Path) -> bytes | None:
        """Return the content of a text file; None if there is none."""
        file = self.path / name
        return file.read_bytes() if file.is_file() else None

    def weights(self, name: Path = WEIGHTS) -> Path | None:
        """Return the weights' file; None if there is none."""
        file = self.path / name
        return file if file.is_file() else None


@dataclass(frozen=True)
class ZipFiles:
    """A model's folder in a zip file."""

    path: Path
    root: PurePosixPath
    """Of the model, inside the zip file."""

    def read(self, name: Path) -> bytes | None:
        """Return the content of a text file; None if there is none."""
        return self._read(name, MAX_TEXT_BYTES)

    def weights(self, name: Path = WEIGHTS) -> bytes | None:
        """Return the content of the weights' file; None if there is none."""
        return self._read(name, MAX_WEIGHTS_BYTES)

    def _read(self, name: Path, limit: int) -> bytes | None:
        try:
            with zipfile.ZipFile(self.path) as archive:
                try:
                    entry = archive.getinfo(str(self.root / name.as_posix()))
                except KeyError:
                    return None
                large = entry.file_size > max(MAX_RATIO * entry.compress_size, 1 << 16)
                if entry.file_size > limit or large:
                    raise BundleError(
                        f"{self.path.name}: {name.as_posix()} would become {entry.file_size} bytes.",
                        "A model is not like that; get it again from a source you trust.",
                    )
                return archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise BundleError(f"{self.path.name} cannot be unpacked ({error}).", "Copy the file again.") from error


def _root(path: Path) -> PurePosixPath:
    """Return the folder of the one model in a zip file, after a look at all names."""
    names = checked_names(path)
    roots = [PurePosixPath(name).parents[1] for name in names if PurePosixPath(name).match(METADATA.as_posix())]
    if len(roots) != 1:
        raise BundleError(
            f"{path.name} holds {len(roots)} models ({METADATA.as_posix()}).", "Choose a zip file with one."
        )
    return roots[0]


def checked_names(path: Path) -> list[str]:
    """Return the names in a zip file.

    Raises
    ------
    BundleError
        If it is damaged, holds too many files, or one that would lie outside of its folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise BundleError(f"{path.name} cannot be unpacked ({error}).", "Copy the file again.") from error
    hostile = [name for name in names if name.startswith(("/", "\\")) or ":" in name or ".." in _parts(name)]
    if hostile or len(names) > MAX_ENTRIES:
        found = f"a file {hostile[0]!r}, outside of its folder" if hostile else f"{len(names)} files"
        raise BundleError(f"{path.name} holds {found}.", "A model is not like that; get it from a source you trust.")
    return names


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip file into a folder that is empty.

    Raises
    ------
    BundleError
        If it is damaged or hostile.
    """
    checked_names(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            total, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
            if total > MAX_UNPACKED_BYTES or total > max(MAX_RATIO * packed, 1 << 20):
                raise BundleError(f"{path.name} would become {total} bytes.", "Get it again from a source you trust.")
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleError(f"{path.name} cannot be unpacked ({error}).", "Copy the file again.") from error


def _parts(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")
