"""The images of a folder by name, to pair them with those of another folder."""

from itertools import islice
from pathlib import Path

from napari_medseg.errors import DataError
from napari_medseg.io.folders import MAPPED
from napari_medseg.io.format import formats, stem

FIRST_FILES = 5


def image_files(folder: Path) -> list[Path]:
    """Return the files and folders in `folder` that are images, by name.

    Raises
    ------
    DataError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", "Check the path.")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return [entry for entry in entries if _is_image(entry)]


def _is_image(path: Path) -> bool:
    if any(form.matches(path) for form in formats()):
        return True
    # A folder is an image if it looks like a DICOM series: some of its first files can be read.
    files = [path] if path.is_file() else [entry for entry in islice(path.iterdir(), FIRST_FILES) if entry.is_file()]
    return any(form.can_read(file) for file in files for form in formats())


def by_stem(folder: Path, what: str = "image") -> dict[str, Path]:
    """Return the images in a folder by name without suffix.

    Parameters
    ----------
    folder : Path
        Of images, each a file or a folder of DICOM files.
    what : str
        They are, for messages.

    Raises
    ------
    DataError
        If two have the same name, or there is none.
    """
    found: dict[str, Path] = {}
    for entry in image_files(folder):
        name = stem(entry) if entry.is_file() or entry.suffix.lower() == MAPPED else entry.name
        if name in found:
            raise DataError(f"{folder} holds both {found[name].name} and {entry.name}.", "Keep one of them.")
        found[name] = entry
    if not found:
        raise DataError(f"{folder} holds no {what}.", "Choose the folder with the files themselves.")
    return found
