"""Files with voxels in them, and how they are packed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_medseg.errors import ReadError
from napari_medseg.io.limits import DEFLATE_LIMIT

Packing = Literal["raw", "gzip", "zlib", "bzip2", "text", "hex"]

LARGEST_RATIO = {"raw": 1, "gzip": DEFLATE_LIMIT, "zlib": DEFLATE_LIMIT, "bzip2": 1 << 21}
"""How many bytes of voxels a byte on the disk can stand for."""


@dataclass(frozen=True)
class Source:
    """Where in a file voxels begin."""

    path: Path
    offset: int = 0
    """Bytes on the disk before the voxels."""
    skip: int = 0
    """Bytes to leave out after unpacking."""


def too_short(source: Source, needed: int, there: int) -> ReadError:
    """Return the error of a file that ends before its voxels do."""
    return ReadError(
        f"{source.path.name} is truncated: {needed} bytes of voxels are needed, at most {max(0, there)} are there.",
        "Copy it again.",
    )
