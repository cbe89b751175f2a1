"""Zip and tar archives of DICOM files, unpacked under numbers so that no name in them can lead anywhere."""

import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.parser import looks_like_dicom
from napari_medseg.io.limits import DEFLATE_LIMIT

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
MEMBERS_TO_TRY = 50
LIMIT_BYTES = 1 << 36
BLOCK_BYTES = 1 << 20


def is_archive_of_dicom(path: Path) -> bool:
    """Return whether a file is a zip or tar archive with a DICOM file among its first members."""
    if not path.is_file() or not _is_archive(path):
        return False
    for number, (_, file) in enumerate(_members(path)):
        if looks_like_dicom(file.read(132)):
            return True
        if number == MEMBERS_TO_TRY:
            break
    return False


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield a temporary folder with the members of an archive.

    Raises
    ------
    ReadError
        If the archive grows beyond what compression can explain.
    """
    limit = min(LIMIT_BYTES, DEFLATE_LIMIT * path.stat().st_size + BLOCK_BYTES)
    with tempfile.TemporaryDirectory(prefix="medseg-") as folder:
        written = 0
        for number, (_, source) in enumerate(_members(path)):
            with (Path(folder) / f"{number:06d}").open("wb") as target:
                while block := source.read(BLOCK_BYTES):
                    written += target.write(block)
                    if written > limit:
                        raise ReadError(f"{path.name} unpacks to more than {limit} bytes.", "Unpack it by hand.")
        yield Path(folder)


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(TAR_SUFFIXES) or zipfile.is_zipfile(path)


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the plain files of an archive one after another; each is only valid until the next."""
    if path.name.lower().endswith(TAR_SUFFIXES):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file is not None:
                    yield member.name, file
        return
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.flag_bits & 1:
                raise ReadError(f"{path.name} is locked with a password.", "Unpack it by hand.")
            if not entry.is_dir():
                with archive.open(entry) as file:
                    yield entry.filename, file
