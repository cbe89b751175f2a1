"""Which images a path on the command line means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from napari_medseg.errors import DataError, ReadError
from napari_medseg.io import SeriesInfo, formats, scan
from napari_medseg.io.folders import images_in
from napari_medseg.io.format import stem

FIRST_FILES = 5


@dataclass(frozen=True)
class Input:
    """One volume to work on."""

    path: Path
    """File or folder for `napari_medseg.io.read`."""
    info: SeriesInfo
    name: str
    """Stem for what is written about it."""


def sources(path: Path) -> list[Path]:
    """Return what to read one by one: the path itself, or the image files in a folder that is no image as a whole."""
    return images_in(path) or [path]


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


def by_stem(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by name without suffix.

    Raises
    ------
    DataError
        If two have the same name, or there is none.
    """
    found: dict[str, Path] = {}
    for entry in image_files(folder):
        name = stem(entry)
        if name in found:
            raise DataError(f"{folder} holds both {found[name].name} and {entry.name}.", "Keep one of them.")
        found[name] = entry
    if not found:
        raise DataError(f"{folder} holds no image.", "Choose the folder with the image files themselves.")
    return found


def inputs(paths: Sequence[Path]) -> tuple[list[Input], list[str]]:
    """Return the images to predict on, and a line for each path that holds none.

    Raises
    ------
    DataError
        If two would be written under the same name.
    """
    found: list[Input] = []
    problems = []
    for path in paths:
        for entry in sources(path):
            try:
                found.extend(_inputs_of(entry))
            except ReadError as error:
                problems.append(str(error))
    names = [item.name for item in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        both = " and ".join(str(item.path) for item in found if item.name == twice)
        raise DataError(f"{both} would both be written as {twice}.", "Predict on them one at a time.")
    return found, problems


def _inputs_of(path: Path) -> Iterator[Input]:
    images = [info for info in scan(path) if info.kind == "image"]
    if not images:
        raise ReadError(f"{path} holds label maps only.", "Predict on images.")
    for info in images:
        yield Input(path, info, stem(path) if len(images) == 1 else f"{stem(path)}-{info.series_id}")
