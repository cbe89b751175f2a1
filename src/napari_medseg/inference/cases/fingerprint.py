"""Whether an input is still the one that was predicted on."""

import hashlib
from pathlib import Path

BLOCK = 1 << 20


def stamp(path: Path) -> str:
    """Return a hash of the names, sizes and times of change of the files at a path: quick, and enough if it agrees.

    Parameters
    ----------
    path : Path
        A file, or a folder, of which all files count.
    """
    digest = hashlib.sha256()
    for file in _files(path):
        status = file.stat()
        digest.update(f"{_inside(file, path)}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the content of the files at a path; it does not change when they are copied or touched."""
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(f"{_inside(file, path)}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path]


def _inside(file: Path, path: Path) -> str:
    return "" if file == path else file.relative_to(path).as_posix()
