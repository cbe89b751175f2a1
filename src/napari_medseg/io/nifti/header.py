"""What a NIfTI header says, checked, and in the array order of this package."""

import gzip
import json
import struct
import warnings
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
from isal import igzip
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
from numpy.typing import NDArray

from napari_medseg.errors import GeometryError, ReadError
from napari_medseg.volume import Geometry, LabelClass

EXTENSION_KEY = "napari-medseg"
EXTENSION_LIMIT = 1 << 24
DISAGREE_MM = 0.1
LABEL_INTENT = 1002
CIFTI_INTENTS = range(3000, 3100)
MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
SECONDS_PER_UNIT = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
LEADING_AXES = ("time", "component", "dim6", "dim7")
"""Names of NIfTI's fourth axis and later."""


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """A header and where its voxels are."""

    raw: Nifti1Header
    image: Path
    """File with the voxels."""
    extension: dict[str, Any]
    """What this package left in the header: classes, units, ..."""
    repairs: tuple[str, ...] = ()
    """What was wrong in the header and put right."""

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Length of the file's axes (x, y[, z[, t, u, v, w]]), trailing ones beyond the third dropped."""
        shape = tuple(int(n) for n in self.raw.get_data_shape())
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        return shape

    @cached_property
    def affine(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """(x, y, z) index to RAS+ mm by nibabel's rules, and what had to be decided."""
        affine, notes = _affine(self.raw)
        return affine, (*self.repairs, *notes)

    @cached_property
    def stored_geometry(self) -> Geometry | None:
        """Grid of the array in the order (z, y, x) of storage."""
        if self.extension.get("geometry", True) is None:
            return None
        affine, _ = self.affine
        if len(self.shape) == 2:
            return Geometry(self.spatial, affine[:, [1, 0, 2, 3]], file_axes=(1, 0))
        return Geometry(self.spatial, affine[:, [2, 1, 0, 3]], file_axes=(2, 1, 0))

    @property
    def leading(self) -> tuple[tuple[str, int], ...]:
        """Name and length of the non-spatial axes in array order, axes of length one left out."""
        named = zip(LEADING_AXES, self.shape[3:], strict=False)
        return tuple((name, n) for name, n in reversed(list(named)) if n > 1)

    @property
    def spatial(self) -> tuple[int, ...]:
        """Length of the spatial axes in the order (z, y, x) of storage."""
        return self.shape[:3][::-1]

    @property
    def rgb(self) -> bool:
        """Whether a voxel is a colour."""
        return bool(self.raw.get_data_dtype().fields)

    @property
    def kind(self) -> Literal["image", "labels"]:
        """Labels if the file's intent says so and the values are integers."""
        integers = self.raw.get_data_dtype().kind in "iu" and self.slope_inter == (1.0, 0.0)
        return "labels" if int(self.raw["intent_code"]) == LABEL_INTENT and integers else "image"

    @property
    def slope_inter(self) -> tuple[float, float]:
        """What the stored values are multiplied by and what is then added; a slope of 0 means neither."""
        slope, inter = self.raw.get_slope_inter()
        return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Class names that this package wrote."""
        return tuple(LabelClass(**label) for label in self.extension.get("classes", ()))

    @property
    def seconds(self) -> NDArray[np.float64] | None:
        """(n,) time of each step of the time axis in s; None if the file has no time axis or no unit of time."""
        steps = dict(self.leading).get("time")
        unit = SECONDS_PER_UNIT.get(str(self.raw.get_xyzt_units()[1]))
        if steps is None or unit is None or not self.raw["pixdim"][4] > 0:
            return None
        start, step = float(self.raw["toffset"]), float(self.raw["pixdim"][4])
        return np.array([(start + step * i) * unit for i in range(steps)])


def is_gzipped(path: Path) -> bool:
    """Return whether a file starts like a gzip stream."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_plain(path: Path) -> IO[bytes]:
    """Open a file that may be gzipped, for reading what is inside."""
    return cast("IO[bytes]", igzip.IGzipFile(str(path), "rb")) if is_gzipped(path) else path.open("rb")


def read_header(path: Path) -> NiftiHeader:
    """Read and check the header of a single file, or of the ``.hdr`` half of a pair."""
    with open_plain(path) as file:
        start = file.read(540)
        size = _header_size(start, path)
        pair = start[4 if size == 540 else 344 :][:3] in (b"ni1", b"ni2")
        kinds = (Nifti2PairHeader, Nifti2Header) if size == 540 else (Nifti1PairHeader, Nifti1Header)
        # What nibabel would log is told in warnings of the volume.
        with warnings.catch_warnings(action="ignore"), LoggingOutputSuppressor():
            stored = kinds[not pair].from_fileobj(BytesIO(start[:size]), check=False)
            raw = kinds[not pair].from_fileobj(BytesIO(start[:size]), check=True)
        repairs = _repairs(stored, raw, size)
        extension = {} if pair else _our_extension(start[size:], file, raw, size)
    if int(raw["intent_code"]) in CIFTI_INTENTS:
        raise ReadError(f"{path.name} is a CIFTI file: surface data, not a volume.", "Choose the volume of the study.")
    shape = raw.get_data_shape()
    if len(shape) < 2 or min(shape) < 1:
        raise ReadError(f"{path.name} has the shape {shape}: no image.", "The header may be damaged.")
    return NiftiHeader(raw, image_of_pair(path) if pair else path, extension, repairs)


def _repairs(stored: Nifti1Header, raw: Nifti1Header, size: int) -> tuple[str, ...]:
    """Put right what nibabel leaves wrong, and tell of that and of what it put right itself."""
    notes = []
    sizes = np.asarray(stored["pixdim"][1:4], dtype=np.float64)[: len(stored.get_data_shape())]
    if not (sizes > 0).all() and not raw["sform_code"]:
        shown = ", ".join(f"{value:g}" for value in sizes)
        notes.append(f"The header's voxel sizes are {shown}: signs were dropped, and 1 mm taken for a size of 0.")
    for form in ("qform", "sform"):
        if stored[f"{form}_code"] != raw[f"{form}_code"]:
            notes.append(f"The header's {form} has the unknown code {int(stored[f'{form}_code'])}: it was not used.")
    if raw.is_single and int(raw["vox_offset"]) == 0:
        raw["vox_offset"] = size + 4
        notes.append("The header does not say where the voxels begin: they were taken from its end.")
    return tuple(notes)


def header_of_pair(image: Path) -> Path | None:
    """Return the existing ``.hdr`` file that belongs to an ``.img`` file."""
    return _partner(image, ".hdr")


def image_of_pair(header: Path) -> Path:
    """Return the ``.img`` file that belongs to a ``.hdr`` file."""
    found = _partner(header, ".img")
    if found is None:
        raise ReadError(f"{header.name} has no .img file beside it.", "Put both files of the pair into one folder.")
    return found


def _partner(path: Path, suffix: str) -> Path | None:
    base = path.name.lower().removesuffix(".gz").rpartition(".")[0]
    names = (base + suffix, base + suffix + ".gz")
    found = (other for name in names for other in path.parent.iterdir() if other.name.lower() == name)
    return next(found, None)


def _header_size(start: bytes, path: Path) -> int:
    if len(start) < 348:
        raise ReadError(f"{path.name} is too short for a NIfTI file: it holds {len(start)} bytes.", "Copy it again.")
    for size in (348, 540):
        if len(start) >= size and size in (struct.unpack_from("<i", start)[0], struct.unpack_from(">i", start)[0]):
            magic = start[344:348] if size == 348 else start[4:8]
            if magic[:1] == b"n":
                return size
    if 348 not in (struct.unpack_from("<i", start)[0], struct.unpack_from(">i", start)[0]):
        raise ReadError(f"{path.name} does not start with a NIfTI header.", "It is another format, or damaged.")
    raise ReadError(
        f"{path.name} does not start with a NIfTI header.",
        "Analyze 7.5 files do not say which side is left; convert them to NIfTI where they were made.",
    )


def _our_extension(rest: bytes, file: IO[bytes], raw: Nifti1Header, size: int) -> dict[str, Any]:
    """Return what this package wrote among the header's extensions."""
    end = min(int(raw["vox_offset"]), EXTENSION_LIMIT) - size
    block = rest[:end] + file.read(max(0, end - len(rest)))
    if len(block) < 12 or block[0] == 0:
        return {}
    at, order = 4, ">" if raw.endianness == ">" else "<"
    while at + 8 <= len(block):
        length, code = struct.unpack_from(order + "2i", block, at)
        if length < 8 or at + length > len(block):
            break
        content = block[at + 8 : at + length].rstrip(b"\0")
        if code == 6 and content.startswith(b'{"' + EXTENSION_KEY.encode()):
            return dict(json.loads(content)[EXTENSION_KEY])
        at += length
    return {}


def _affine(raw: Nifti1Header) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    notes: list[str] = []
    unit = str(raw.get_xyzt_units()[0])
    affine = np.asarray(raw.get_best_affine(), dtype=np.float64)
    if not raw["sform_code"] and not raw["qform_code"]:
        notes.append("The header gives voxel sizes but no orientation: left and right are a guess.")
    if raw["sform_code"] and raw["qform_code"]:
        affine, note = _settled(affine, raw)
        notes += note
    factor = MM_PER_UNIT[unit]
    if factor != 1.0:
        notes.append(f"The header's positions are in {unit}; they were converted to mm.")
        affine = np.diag([factor, factor, factor, 1.0]) @ affine
    return affine, tuple(notes)


def _settled(sform: NDArray[np.float64], raw: Nifti1Header) -> tuple[NDArray[np.float64], list[str]]:
    """Return the sform, or the qform where the sform is singular, with a note if they disagree."""
    try:
        qform = np.asarray(raw.get_qform(), dtype=np.float64)
    except ValueError:
        return sform, ["The qform is not a rotation; the sform was used."]
    shape = tuple(int(n) for n in (*raw.get_data_shape(), 1, 1)[:3])
    try:
        first = Geometry(shape, sform)
    except GeometryError:
        return qform, ["The sform is singular; the qform was used."]
    apart = float(np.linalg.norm(first.corners() - Geometry(shape, qform).corners(), axis=1).max())
    if apart > DISAGREE_MM:
        return sform, [f"sform and qform disagree by up to {apart:.1f} mm; the sform was used."]
    return sform, []


def is_nifti(path: Path) -> bool:
    """Return whether the file starts with a NIfTI header, or is the image half of a pair."""
    if path.name.lower().endswith((".img", ".img.gz")):
        return header_of_pair(path) is not None
    try:
        with open_plain(path) as file:
            _header_size(file.read(540), path)
    except (OSError, EOFError, gzip.BadGzipFile, ReadError):
        return False
    return True
