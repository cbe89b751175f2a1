"""Data files that a header names: only those in the header's own folder or below it."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from napari_medseg.errors import ReadError

MOST_FILES = 100_000
NUMBERED = re.compile(r"%0?\d{0,2}[di]")


def beside(header: Path, name: str) -> Path:
    """Return the existing file that a header names.

    Raises
    ------
    ReadError
        If the name leaves the header's folder (a file from a stranger must not choose what is read), or the file is
        not there.
    """
    ways = (PurePosixPath(name), PureWindowsPath(name))
    if not name or any(way.is_absolute() or way.drive or way.root or ".." in way.parts for way in ways):
        raise ReadError(
            f"{header.name} names the data file {name!r}, which is not in its own folder.",
            "Put the data file beside the header, and write its bare name into the header.",
        )
    path = header.parent / name
    if not path.is_file():
        raise ReadError(
            f"{header.name} names the data file {name!r}, which is not there.", "Put both files into one folder."
        )
    return path


def numbered(header: Path, pattern: str, first: int, last: int, step: int) -> list[Path]:
    """Return the files of a pattern such as ``slice%03d.raw`` for the numbers from `first` to `last`."""
    if step == 0 or (last - first) // step < 0 or (last - first) // step >= MOST_FILES:
        raise ReadError(f"{header.name} counts its data files from {first} to {last} by {step}.", "Repair the header.")
    if not NUMBERED.search(pattern) or NUMBERED.sub("", pattern, count=1).count("%"):
        raise ReadError(f"{header.name} names its data files {pattern!r}.", "One %d must stand for the number.")
    return [beside(header, pattern % number) for number in range(first, last + (1 if step > 0 else -1), step)]
