"""Folders of image files that are not DICOM: each file is an image of its own."""

from itertools import islice
from pathlib import Path

from napari_medseg.io.format import formats

MAPPED = ".medvol"
"""Suffix of a volume between processes: a folder, but one image."""
FIRST_FILES = 20
"""Files of a folder that are looked into before their names."""


def images_in(path: Path) -> list[Path]:
    """Return the images of a folder that is not read as DICOM, by name.

    Parameters
    ----------
    path : Path
        Of anything.

    Returns
    -------
    list of Path
        Files that are named like an image, in the folder itself or, if there are none, in the folders below it. Empty
        for a file, and for a folder that holds any DICOM file.
    """
    if not path.is_dir() or path.suffix.lower() == MAPPED:
        return []
    first = islice((entry for entry in path.rglob("*") if entry.is_file()), FIRST_FILES)
    if any(_is_dicom(file) for file in first):
        # Matching the names of thousands of slices takes longer than knowing them from an earlier scan.
        return []
    files = sorted(_files(path, "*")) or sorted(_files(path, "**/*"))
    if not files or any(_is_dicom(file) for file in path.rglob("*")):
        return []
    return files


def _files(folder: Path, pattern: str) -> list[Path]:
    others = [form for form in formats() if form.name != "dicom"]
    return [
        entry
        for entry in folder.glob(pattern)
        if any(form.matches(entry) for form in others)
        and (entry.is_file() or entry.suffix.lower() == MAPPED)
        and not any(part.startswith(".") for part in entry.relative_to(folder).parts)
    ]


def _is_dicom(file: Path) -> bool:
    return file.is_file() and any(form.can_read(file) for form in formats() if form.name == "dicom")
