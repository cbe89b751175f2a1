"""The images in a folder and in those below it."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from napari_medseg.io.format import formats
from napari_medseg.io.named import image_files

FIRST_FILES = 5
"""How many files of a folder are looked at to know whether it holds a DICOM series."""


def tree_of(folder: Path, series: bool = True) -> list[Path]:
    """Return the images in a folder, at any depth, by path.

    Parameters
    ----------
    folder : Path
        Files in it are images of their own.
    series : bool
        Whether a folder below it that holds DICOM files is one image; else each of its files is.
    """
    return list(_images(folder, series))


def holds_series(folder: Path) -> bool:
    """Return whether a folder holds DICOM files itself."""
    dicom = next(form for form in formats() if form.name == "dicom")
    files = (entry for entry in sorted(folder.iterdir()) if entry.is_file() and not entry.name.startswith("."))
    return any(dicom.can_read(file) for file in islice(files, FIRST_FILES))


def _images(folder: Path, series: bool) -> Iterator[Path]:
    own = set(image_files(folder))
    for entry in sorted(folder.iterdir()):
        if entry.is_file() and entry in own:
            yield entry
        elif entry.is_dir() and not entry.name.startswith("."):
            if any(form.matches(entry) for form in formats()) or (series and holds_series(entry)):
                yield entry
            else:
                yield from _images(entry, series)
