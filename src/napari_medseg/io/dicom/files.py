"""Finding DICOM files: in a folder and below it, or listed in a DICOMDIR."""

import filecmp
import os
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.memory import HEADERS, Header, Place
from napari_medseg.io.dicom.parser import DicomFile, looks_like_dicom, parse
from napari_medseg.io.format import ReadOptions

DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
BATCH = 64
"""Files whose headers are read between two looks at the control."""
READERS = 8
"""Threads that read headers where they mostly wait for the disk or the network."""
SLOW_SECONDS = 1e-3
"""A header that takes longer was waited for; one that is in memory is parsed faster without other threads."""


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
    return found_in(places_at(path), options)


def found_in(places: list[Place], options: ReadOptions) -> Found:
    """Return the headers of files, those that are known from a moment ago without opening the file again."""
    headers = HEADERS.known(places)
    unknown = [number for number, header in enumerate(headers) if header is None]
    batches = [unknown[start : start + BATCH] for start in range(0, len(unknown), BATCH)]
    with closing(_in_turn([[places[number] for number in batch] for batch in batches])) as parsed:
        for done, batch in enumerate(batches):
            options.step("Reading headers", done * BATCH, len(unknown))
            for number, header in zip(batch, next(parsed), strict=True):
                headers[number] = header
    HEADERS.keep(places, headers)
    return _sorted_out(places, headers)


def _in_turn(batches: list[list[Place]]) -> Generator[list[Header]]:
    """Yield the headers of each batch: one by one as long as that is fast, in threads from the first slow one on."""
    for number, batch in enumerate(batches, start=1):
        started = time.perf_counter()
        headers = _parsed(batch)
        slow = time.perf_counter() - started > SLOW_SECONDS * len(batch)
        yield headers
        if slow:
            yield from _in_threads(batches[number:])
            return


def _in_threads(batches: list[list[Place]]) -> Generator[list[Header]]:
    with ThreadPoolExecutor(READERS) as pool:
        pending = [pool.submit(_parsed, batch) for batch in batches]
        try:
            for future in pending:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _parsed(places: list[Place]) -> list[Header]:
    return [_header(place) for place in places]


def _header(place: Place) -> Header:
    try:
        return Header(parse(place.path))
    except ReadError as error:
        return Header(error)


def _sorted_out(places: list[Place], headers: list[Header | None]) -> Found:
    """Return images without copies of one another, and what is damaged."""
    files: list[DicomFile] = []
    damaged: list[ReadError] = []
    seen: dict[str, DicomFile] = {}
    for place, header in zip(places, headers, strict=True):
        file = None if header is None else header.content
        if isinstance(file, ReadError):
            damaged.append(file)
            continue
        if file is None or file.elements.text("MediaStorageSOPClassUID") == DIRECTORY_CLASS:
            continue
        uid = file.elements.text("SOPInstanceUID") or str(place.path)
        if uid not in seen or not _same_image(file, seen[uid]):
            seen[uid] = file
            files.append(file)
    return Found(tuple(files), tuple(damaged))


def _same_image(file: DicomFile, other: DicomFile) -> bool:
    """Return whether two files with one identifier hold the same pixels: images are often exported twice."""
    if file.elements.text("SeriesNumber") != other.elements.text("SeriesNumber"):
        return False
    return file.size == other.size and filecmp.cmp(file.path, other.path, shallow=False)


def places_at(path: Path) -> list[Place]:
    """Return the files in a folder and below it in the order of their names, those a DICOMDIR lists, or the file."""
    if path.is_dir():
        return _below(os.fspath(path))
    file = parse(path)
    if file is not None and (file.elements.items("DirectoryRecordSequence") or path.name.upper() == "DICOMDIR"):
        return [Place.of(listed) for listed in _listed_in(file)]
    return [Place.of(path)]


def _below(folder: str) -> list[Place]:
    with os.scandir(folder) as entries:
        in_order = sorted(entries, key=lambda entry: entry.name)
    found: list[Place] = []
    for entry in in_order:
        if entry.is_dir(follow_symlinks=False):
            found += _below(entry.path)
        elif entry.is_file():
            found.append(Place.of(Path(entry.path), entry.stat()))
    return found


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
