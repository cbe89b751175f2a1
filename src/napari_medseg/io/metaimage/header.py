"""The fields of a MetaImage header, in front of its voxels or in a file of its own."""

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from napari_medseg.errors import ReadError
from napari_medseg.io.beside import beside, numbered
from napari_medseg.io.grids import LPS_TO_RAS, MM_PER_UNIT, NO_ORIGIN, UNORIENTED, grid_of
from napari_medseg.io.stored import Packing, Source, Stored
from napari_medseg.volume import Geometry

HEADER_LIMIT = 1 << 20
FIELD = re.compile(r"\s*([\w.-]+)\s*[=:]\s*(.*?)\s*$")
FIRST_FIELD = re.compile(rb"\s*(ObjectType|ObjectSubType|NDims|Comment|Name|ID|BinaryData|DimSize)\s*[=:]")

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
"""numpy's code of each type; a long has 32 bits on every machine."""

LEADING_AXES = ("time", "dim5", "dim6")
"""Names of the fourth axis and later."""

PLANE = "The file is a plane without a third coordinate; it was put at 0."
NO_SPACING = "The file gives no voxel size; 1 mm, the default of the format, was taken."
SCALED = "The file asks for its values to be scaled, which ITK ignores; they are kept as stored."


@dataclass(frozen=True)
class MetaHeader:
    """Fields of one file."""

    path: Path
    fields: dict[str, str]
    data_offset: int
    """Bytes of the header."""

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Length of the axes, the fastest first."""
        words = self.fields.get("DimSize", "").split()
        most = 3 + len(LEADING_AXES)
        good = all(re.fullmatch(r"[1-9]\d{0,14}", word) for word in words)
        if not good or not 2 <= len(words) <= most or self.fields.get("NDims") != str(len(words)):
            raise self.wrong("DimSize", f"{self.fields.get('NDims')} (2 to {most}) positive numbers are needed")
        return tuple(map(int, words))

    @property
    def channels(self) -> int:
        """Numbers per voxel."""
        text = self.fields.get("ElementNumberOfChannels", "1")
        if not re.fullmatch(r"[1-9]\d{0,8}", text):
            raise self.wrong("ElementNumberOfChannels", "a positive number is needed")
        return int(text)

    @property
    def rgb(self) -> bool:
        """Whether a voxel is a colour: three or four unsigned bytes, which the format does not tell from a vector."""
        return self.channels in (3, 4) and self.dtype == np.uint8

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of a number, with its byte order."""
        code = TYPES.get(self.fields.get("ElementType", "").removesuffix("_ARRAY"))
        if code is None:
            raise self.wrong("ElementType", f"it must be one of {', '.join(TYPES)}")
        big = self._is("BinaryDataByteOrderMSB") or self._is("ElementByteOrderMSB")
        return np.dtype((">" if big else "<") + code)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the leading axes longer than one, the slowest first."""
        found = zip(LEADING_AXES, self.sizes[3:], strict=False)
        return tuple(name for name, size in reversed(list(found)) if size > 1)

    @property
    def modality(self) -> str | None:
        """DICOM code of the modality."""
        found = re.fullmatch(r"MET_MOD_([A-Z]{2})", self.fields.get("Modality", ""))
        return found[1] if found else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of the axes of storage, the slowest first, channels last."""
        return (*self.sizes[::-1], self.channels) if self.channels > 1 else self.sizes[::-1]

    def stored(self) -> Stored:
        """Return where the voxels are."""
        files = self.files()
        packing: Packing = "zlib" if self._is("CompressedData") else "raw"
        if self.fields.get("BinaryData", "True").lower() in ("false", "0"):
            packing = "text"
        skip = self.fields.get("HeaderSize", "0")
        if not re.fullmatch(r"-1|\d{1,12}", skip):
            raise self.wrong("HeaderSize", "a number of bytes, or -1 for all but the voxels, is needed")
        size = prod(self.shape) * self.dtype.itemsize // len(files)
        sources = []
        for path in files:
            start = self.data_offset if path == self.path else 0
            from_end = max(0, path.stat().st_size - size)
            sources.append(Source(path, from_end if skip == "-1" else int(skip) or start))
        return Stored(tuple(sources), packing, self.shape, self.dtype)

    def files(self) -> list[Path]:
        """Return the files with the voxels, in order."""
        name = self.fields.get("ElementDataFile", "")
        words = name.split()
        if name.upper() == "LOCAL":
            return [self.path]
        if words[:1] == ["LIST"]:
            with self.path.open("rb") as file:
                file.seek(self.data_offset)
                lines = file.read(HEADER_LIMIT).decode("utf-8", "replace").split("\n")
            return [beside(self.path, line.strip()) for line in lines if line.strip()] or [beside(self.path, "")]
        if len(words) in (3, 4, 5) and "%" in words[0] and all(re.fullmatch(r"-?\d{1,9}", word) for word in words[1:]):
            first, last, step = (int(word) for word in (*words[1:4], "1")[:3])
            return numbered(self.path, words[0], first, last, step)
        return [beside(self.path, name)]

    @cached_property
    def placed(self) -> tuple[Geometry | None, tuple[str, ...]]:
        """Grid of the spatial axes, the slowest first, and what had to be assumed."""
        count = len(self.sizes)
        spatial = min(count, 3)
        matrix = self._numbers(count * count, "TransformMatrix", "Rotation", "Orientation")
        spacing = self._numbers(count, "ElementSpacing", "ElementSize")
        offset = self._numbers(count, "Offset", "Position", "Origin")
        if matrix is None and spacing is None and offset is None:
            return None, ()
        notes = [PLANE] if spatial == 2 else []
        notes += [NO_SPACING] * (spacing is None) + [UNORIENTED] * (matrix is None) + [NO_ORIGIN] * (offset is None)
        scale = MM_PER_UNIT.get(self.fields.get("DistanceUnits", "mm").lower(), 1.0)
        directions = np.eye(count) if matrix is None else np.reshape(matrix, (count, count))
        steps, origin = np.zeros((spatial, 3)), np.zeros(3)
        # Row k of the matrix is the direction of axis k, in LPS.
        steps[:, :spatial] = (directions * np.reshape(spacing or np.ones(count), (-1, 1)))[:spatial, :spatial]
        origin[:spatial] = (offset or np.zeros(count))[:spatial]
        grid = grid_of(scale * steps @ LPS_TO_RAS, scale * LPS_TO_RAS @ origin, self.sizes[:spatial])
        return grid, tuple(notes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What had to be assumed."""
        slope = self._numbers(1, "ElementToIntensityFunctionSlope") or (1.0,)
        shift = self._numbers(1, "ElementToIntensityFunctionOffset") or (0.0,)
        return (*self.placed[1], *([SCALED] if (*slope, *shift) != (1.0, 0.0) else []))

    def wrong(self, field: str, rule: str) -> ReadError:
        """Return the error for a field that breaks the format."""
        value = self.fields.get(field)
        found = (
            f"has no MetaImage field {field}" if value is None else f"has the MetaImage field {field} = {value[:80]}"
        )
        return ReadError(f"{self.path.name} {found}; {rule}.", "Repair the header.")

    def _is(self, field: str) -> bool:
        return self.fields.get(field, "").lower() in ("true", "1")

    def _numbers(self, count: int, *names: str) -> tuple[float, ...] | None:
        """Return the numbers of the first of several synonyms that is there."""
        name = next((name for name in names if name in self.fields), None)
        if name is None:
            return None
        try:
            found = tuple(float(word) for word in self.fields[name].split())
        except ValueError:
            found = ()
        if len(found) != count or not np.isfinite(found).all():
            raise self.wrong(name, f"{count} finite numbers are needed")
        return found


def read_header(path: Path) -> MetaHeader:
    """Read the header at the start of a file.

    Raises
    ------
    ReadError
        If there is none.
    """
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        # The field that names the data is the last by definition.
        while "ElementDataFile" not in fields:
            line = file.readline(HEADER_LIMIT)
            if not line or file.tell() > HEADER_LIMIT:
                raise ReadError(f"{path.name} has no end of a MetaImage header.", "The file is of another kind.")
            if found := FIELD.match(line.decode("utf-8", "replace")):
                fields[found[1]] = found[2]
        return MetaHeader(path, fields, file.tell())
