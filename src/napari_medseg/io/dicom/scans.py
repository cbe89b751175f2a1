"""What earlier scans of folders found, kept on the disk so that the next scan opens no file that was not changed.

A record holds shapes, spacings, modalities, counts and hashes. It holds no name of a file or folder, no description, no
date and no identifier of the patient, the study or an image: the description is read again from one file per volume.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from napari_medseg.io.cache import cache_folder
from napari_medseg.io.dicom.memory import SETTLED_NS, Place
from napari_medseg.io.dicom.parser import DicomFile, parse
from napari_medseg.io.format import ReadOptions, SeriesInfo

VERSION = 1
MOST_RECORDS = 200
FEWEST_FILES = 30
"""A folder with fewer files is scanned as fast as a record is found."""
NOT_KEPT = frozenset(("path", "description"))

Numbers = Sequence[int]
"""Numbers of files in the order in which a folder lists them."""


@dataclass(frozen=True)
class Entry:
    """One volume of a folder."""

    facts: dict[str, Any]
    """Fields of its `SeriesInfo` but those in `NOT_KEPT`."""
    files: Numbers
    """The files that it is made of, the one whose header speaks for all first."""


@dataclass(frozen=True)
class Record:
    """The volumes that were found in a folder."""

    version: int
    print: str
    """Hash over the names, sizes and times of change of all files."""
    entries: tuple[Entry, ...]

    def infos(self, folder: Path, places: list[Place]) -> list[SeriesInfo]:
        """Return what the scan of a folder gave."""
        return [
            SERIES.validate_python(
                {**entry.facts, "path": folder, "description": description_of(parse(places[entry.files[0]].path))}
            )
            for entry in self.entries
        ]

    def files_for(self, options: ReadOptions) -> Numbers | None:
        """Return the files of the series that are wanted; None if all are, or none of them is known.

        Of a series that makes several volumes, all: what one is called and warned of depends on the others.
        """
        if options.series is None:
            return None
        names = [(str(entry.facts["series_id"]), entry.files) for entry in self.entries]
        wanted = {name.partition("-")[0] for name, _files in names if options.wants(name)}
        return sorted({number for name, files in names if name.partition("-")[0] in wanted for number in files}) or None


def _series_of(entry: Entry) -> str:
    return str(entry.facts["series_id"]).partition("-")[0]


SERIES = TypeAdapter(SeriesInfo)
RECORD = TypeAdapter(Record)


def description_of(file: DicomFile | None) -> str:
    """Return the series description in a header."""
    return "" if file is None else file.elements.text("SeriesDescription") or ""


def recall(folder: Path, places: list[Place]) -> Record | None:
    """Return the record of a folder, unless one of its files was added, removed or changed since."""
    if len(places) < FEWEST_FILES:
        return None
    try:
        record = RECORD.validate_json(_record_file(folder).read_bytes())
    except (OSError, ValidationError):
        return None
    return record if record.version == VERSION and record.print == _print_of(folder, places) else None


def keep(folder: Path, places: list[Place], found: list[tuple[SeriesInfo, Sequence[DicomFile]]]) -> None:
    """Keep what a scan found: volumes and the files of each, the speaking one first.

    Nothing is kept of small folders, of one that is still being written, and where the disk does not let us.
    """
    newest = max((place.changed_ns for place in places), default=0)
    if len(places) < FEWEST_FILES or newest > time.time_ns() - SETTLED_NS:
        return
    numbers = {place.path: number for number, place in enumerate(places)}
    entries = tuple(
        Entry({k: v for k, v in asdict(info).items() if k not in NOT_KEPT}, [numbers[file.path] for file in files])
        for info, files in found
    )
    record = Record(VERSION, _print_of(folder, places), entries)
    try:
        _write(_record_file(folder), RECORD.dump_json(record))
    except OSError:
        return


def _write(path: Path, content: bytes) -> None:
    """Write a file for this user alone, and drop the oldest records."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.replace(temporary, path)
    records = sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime_ns)
    for old in records[:-MOST_RECORDS]:
        old.unlink(missing_ok=True)


def _record_file(folder: Path) -> Path:
    return cache_folder("scans") / f"{sha256(os.fsencode(folder.resolve())).hexdigest()[:32]}.json"


def _print_of(folder: Path, places: list[Place]) -> str:
    start = len(str(folder))
    listing = [[str(place.path)[start:], place.size, place.changed_ns] for place in places]
    return sha256(json.dumps(listing).encode()).hexdigest()
