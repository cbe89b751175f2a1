"""The files of an input: folders and what is below them, archives and what is inside them."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.archive import TAR_SUFFIXES, unpacked

DEEPEST = 3
"""Archives inside archives that are opened."""


def files_in(path: Path, depth: int = 0) -> Iterator[tuple[str, Path | None]]:
    """Yield the name of each file below a path and where its bytes are; None if an archive cannot be opened.

    The bytes of an archive's members are only there until the next file is asked for.
    """
    if path.is_dir():
        for entry in sorted(path.rglob("*")):
            if entry.is_file() and not entry.is_symlink():
                for name, file in files_in(entry, depth):
                    yield f"{entry.parent.relative_to(path) / name}", file
    elif depth < DEEPEST and _is_archive(path):
        try:
            with unpacked(path) as folder:
                for name, file in files_in(folder, depth + 1):
                    yield f"{path.name}/{name}", file
        except (ReadError, OSError, ValueError, EOFError, zipfile.BadZipFile):
            yield path.name, None
    else:
        yield path.name, path


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(TAR_SUFFIXES) or zipfile.is_zipfile(path)
