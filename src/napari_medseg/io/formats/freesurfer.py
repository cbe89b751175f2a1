"""FreeSurfer volumes: MGH, plain or gzipped (MGZ).

A header whose orientation is marked as not valid gets FreeSurfer's own default (coronal slices of 1 mm voxels,
centred), with a warning.
"""

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Self, cast

import numpy as np
from isal import igzip
from nibabel.freesurfer.mghformat import MGHImage
from numpy.typing import NDArray

from napari_medseg.errors import ReadError, WriteError
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, Written, info_of, stem
from napari_medseg.io.grids import grid_of, in_file_order
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.io.stored import Packing, Source, Stored, load
from napari_medseg.volume import Geometry, Volume

HEADER_BYTES = 284
LAYOUT = struct.Struct(">7ih15f")
"""Version, sizes (4), type, degrees of freedom, flag, voxel sizes (3), directions of x, y, z (9), centre (3)."""
VERSION = struct.pack(">i", 1)
SUFFIXES = (".mgz", ".mgh", ".mgh.gz")
WRITABLE = ("uint8", "int16", "int32", "float32")
STORABLE = {"bool": np.uint8, "int8": np.int16, "uint16": np.int32, "float16": np.float32}
"""Types that the format lacks, and what holds them exactly."""
TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}

CORONAL = (1, 1, 1, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0)
"""What FreeSurfer takes where the flag says that nothing is known: rows run to left, columns to inferior."""
NO_ORIENTATION = "The header marks its orientation as not valid; FreeSurfer's default (coronal, 1 mm) was taken."


@dataclass(frozen=True)
class MghHeader:
    """What the first bytes of a file say."""

    path: Path
    sizes: tuple[int, ...]
    """x, y, z, frames."""
    type_code: int
    oriented: bool
    place: tuple[float, ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the header of a file."""
        start = _start(path)
        if len(start) < HEADER_BYTES or start[:4] != VERSION:
            raise ReadError(f"{path.name} does not start with a whole FreeSurfer header.", "Copy the file again.")
        numbers = LAYOUT.unpack_from(start)
        header = cls(path, numbers[1:5], numbers[5], numbers[7] != 0, numbers[8:])
        header._check()
        return header

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of the axes, the slowest first: frames, z, y, x."""
        return self.sizes[::-1]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of a voxel."""
        return np.dtype(TYPES[self.type_code])

    @property
    def geometry(self) -> Geometry:
        """Grid of the array in the order of storage."""
        place = np.array(self.place if self.oriented else CORONAL, dtype=np.float64)
        steps = place[3:12].reshape(3, 3) * place[:3, np.newaxis]
        # The centre is between voxels where a size is even, hence a half and not (n - 1) / 2.
        origin = place[12:] - np.array(self.sizes[:3]) / 2 @ steps
        return grid_of(steps, origin, self.sizes[:3])

    def volume(self, stored: NDArray[np.generic]) -> Volume:
        """Return the volume of an array of `shape`; several frames are a leading axis."""
        several = self.sizes[3] > 1
        return nearest_zyx(
            Volume(
                stored if several else stored[0],
                self.geometry,
                name=stem(self.path),
                axes=("frame",) if several else (),
                warnings=() if self.oriented else (NO_ORIENTATION,),
            )
        )

    def _check(self) -> None:
        name = self.path.name
        if min(self.sizes) < 1:
            raise ReadError(f"{name} has the size {self.sizes}: no image.", "The header is damaged.")
        if self.sizes[1:3] == (1, 1):
            raise ReadError(f"{name} holds {self.sizes[0]} values of a surface, not a volume.", "Choose a volume.")
        if self.type_code not in TYPES:
            raise ReadError(f"{name} has numbers of type {self.type_code}, which is not read.", "Convert it first.")
        if self.oriented and not np.isfinite(self.place).all():
            raise ReadError(f"{name} has a place in space that is not finite.", "The header is damaged.")


def can_read(path: Path) -> bool:
    """Return whether the name is FreeSurfer's and the header has its version; the format has no other mark."""
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        return False
    try:
        return _start(path)[:4] == VERSION
    except (OSError, EOFError):
        return False


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the one volume of a file."""
    header = MghHeader.of(path)
    zipped = _is_gzipped(path)
    packing: Packing = "gzip" if zipped else "raw"
    source = Source(path, skip=HEADER_BYTES) if zipped else Source(path, offset=HEADER_BYTES)
    return [header.volume(load(Stored((source,), packing, header.shape, header.dtype), options))]


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return the entry of the one volume, from its header."""
    options.control.checkpoint()
    header = MghHeader.of(path)
    # One element stretched over the shape: the axes are worked out without reading or taking memory.
    blank = np.broadcast_to(np.zeros((), header.dtype), header.shape)
    return [info_of(header.volume(blank), path, FORMAT.name)]


def write(volume: Volume, path: Path) -> Written:
    """Write to a new file, with the axes in the order of the file that the grid came from.

    Raises
    ------
    WriteError
        If the format has no such numbers or axes.
    """
    data, geometry = in_file_order(volume)
    data = data.astype(STORABLE.get(data.dtype.name, data.dtype), copy=False)
    if geometry is None or geometry.ndim != 3 or volume.rgb or len(volume.axes) > 1 or data.dtype.name not in WRITABLE:
        raise WriteError(
            f"{volume.name}: FreeSurfer volumes have three axes in space, at most one of frames, and {WRITABLE}; this "
            f"is {volume.data.shape} {volume.data.dtype}{'' if geometry else ' without a place in space'}.",
            "Write it as .nii.gz or .nrrd.",
        )
    MGHImage(data.T, geometry.affine[:, [2, 1, 0, 3]]).to_filename(path)
    notes = ("The format has no place for the names and colours of classes.",) if volume.classes else ()
    return Written(replace(volume, classes=()), notes=notes)


def _start(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(HEADER_BYTES)


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", igzip.IGzipFile(str(path), "rb")) if _is_gzipped(path) else path.open("rb")


FORMAT = Format(
    name="freesurfer",
    title="FreeSurfer (*.mgz, *.mgh)",
    patterns=("*.mgz", "*.mgh", "*.mgh.gz"),
    can_read=can_read,
    read=read,
    scan=scan,
    write=write,
    written=("*.mgz", "*.mgh"),
)
