"""Finding DICOM files: in a folder and below it, or listed in a DICOMDIR."""

import filecmp
from dataclasses import dataclass
from pathlib import Path

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.parser import DicomFile, looks_like_dicom, parse
from napari_medseg.io.format import ReadOptions

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Found:
    """The headers of a folder."""

    files: tuple[DicomFile, ...]
    damaged: tuple[ReadError, ...]
    """One for each DICOM file that could not be parsed."""


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return looks_like_dicom(file.read(132))


def find(path: Path, options: ReadOptions) -> Found:
    """Parse the headers of all DICOM files at a path.

    Parameters
    ----------
    path : Path
        A folder, a DICOM file (only that file is read), or a DICOMDIR (the files it lists are read).
    options : ReadOptions
        Progress and cancelling.
    """
    listed = _candidates(path)
    files: list[DicomFile] = []
    damaged: list[ReadError] = []
    seen: dict[str, DicomFile] = {}
    for number, candidate in enumerate(listed):
        options.step("Reading headers", number, len(listed))
        try:
            file = parse(candidate)
        except ReadError as error:
            damaged.append(error)
            continue
        if file is None or file.elements.text("MediaStorageSOPClassUID") == DIRECTORY_CLASS:
            continue
        uid = file.elements.text("SOPInstanceUID") or str(candidate)
        if uid not in seen or not _same_image(file, seen[uid]):
            seen[uid] = file
            files.append(file)
    return Found(tuple(files), tuple(damaged))


def _same_image(file: DicomFile, other: DicomFile) -> bool:
    """Return whether two files with one identifier hold the same pixels: images are often exported twice."""
    if file.elements.text("SeriesNumber") != other.elements.text("SeriesNumber"):
        return False
    return file.size == other.size and filecmp.cmp(file.path, other.path, shallow=False)


def _candidates(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(entry for entry in path.rglob("*") if entry.is_file())
    file = parse(path)
    if file is not None and (file.elements.items("DirectoryRecordSequence") or path.name.upper() == "DICOMDIR"):
        return _listed_in(file)
    return [path]


def _listed_in(directory: DicomFile) -> list[Path]:
    """Return the files that a DICOMDIR lists and that lie below its own folder."""
    root = directory.path.parent.resolve()
    found = []
    # The records are walked as stored; the offsets that link them, and may form a circle, are not needed.
    for record in directory.elements.items("DirectoryRecordSequence"):
        parts = record.texts("ReferencedFileID")
        target = root.joinpath(*parts).resolve() if parts else root
        if parts and target.is_relative_to(root):
            found.append(target if target.is_file() else _any_case(root, parts))
    return [path for path in dict.fromkeys(found) if path is not None]


def _any_case(root: Path, parts: tuple[str, ...]) -> Path | None:
    """Return the file whose name fits but for upper and lower case; media are often copied that way."""
    at = root
    for part in parts:
        if not at.is_dir():
            return None
        match = next((entry for entry in at.iterdir() if entry.name.lower() == part.lower()), None)
        if match is None:
            return None
        at = match
    return at if at.is_file() else None
