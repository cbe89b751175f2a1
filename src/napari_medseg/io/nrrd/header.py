"""The fields of a NRRD header, attached to its voxels or detached from them."""

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.beside import beside, numbered
from napari_medseg.io.stored import Packing, Source, Stored

MAGIC = b"NRRD000"
HEADER_LIMIT = 1 << 24
MOST_AXES = 16

TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
"""numpy's code, and the names of the standard."""

PACKINGS: dict[str, Packing] = {
    "raw": "raw",
    "txt": "text", "text": "text", "ascii": "text",
    "hex": "hex",
    "gz": "gzip", "gzip": "gzip",
    "bz2": "bzip2", "bzip2": "bzip2",
}  # fmt: skip

ALIASES = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}

KEY_LINE = re.compile(r"(?:(?!: ).)*?:=")
"""A key and its value; ``: `` further left would make it a field."""


@dataclass(frozen=True)
class NrrdHeader:
    """Fields and free keys of one file."""

    path: Path
    fields: dict[str, str]
    """The standard's fields by their lower-case names."""
    keys: dict[str, str]
    """What the ``key:=value`` lines say."""
    data_offset: int | None
    """Where the voxels begin in `path`; None if they are elsewhere."""

    def words(self, field: str) -> list[str]:
        """Return the words of a field, in the order of the axes; empty if the field is not there."""
        found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', self.fields.get(field, ""))
        return [quoted or bare for quoted, bare in found]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Length of the axes, the fastest first."""
        count, words = self._integer("dimension", None), self.words("sizes")
        good = 1 <= count <= MOST_AXES and count == len(words) and all(re.fullmatch(r"[1-9]\d{0,14}", w) for w in words)
        if not good:
            raise self.wrong("sizes", f"{count} positive numbers are needed")
        return tuple(map(int, words))

    @cached_property
    def vectors(self) -> tuple[NDArray[np.float64] | None, ...]:
        """Step along each axis in the coordinates of `space`; None for an axis that is not spatial."""
        found = _vectors(self.fields.get("space directions", ""))
        if found and len(found) != len(self.sizes):
            raise self.wrong("space directions", f"one vector or 'none' is needed for each of {len(self.sizes)} axes")
        return tuple(found) or (None,) * len(self.sizes)

    @cached_property
    def origin(self) -> NDArray[np.float64] | None:
        """Centre of the first voxel in the coordinates of `space`."""
        found = _vectors(self.fields.get("space origin", ""))
        return found[0] if found else None

    @property
    def measurement_frame(self) -> list[NDArray[np.float64]]:
        """Columns of the rotation from the frame of gradients and vectors to `space`; empty if not there."""
        return [vector for vector in _vectors(self.fields.get("measurement frame", "")) if vector is not None]

    @cached_property
    def spacings(self) -> tuple[float, ...]:
        """Distance of voxels along each axis, nan where the header knows none."""
        found = [_number(word) for word in self.words("spacings")]
        if found and len(found) != len(self.sizes):
            raise self.wrong("spacings", f"{len(self.sizes)} numbers are needed")
        return tuple(found) or (float("nan"),) * len(self.sizes)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """What each axis is, in lower case; empty where the header does not say."""
        found = [word.lower() for word in self.words("kinds")]
        if found and len(found) != len(self.sizes):
            raise self.wrong("kinds", f"{len(self.sizes)} words are needed")
        return tuple("" if kind in ("???", "none") else kind for kind in found) or ("",) * len(self.sizes)

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of a number, with its byte order."""
        name = " ".join(self.fields.get("type", "").lower().split())
        code = next((code for code, names in TYPES.items() if name in names), None)
        if code is None:
            raise self.wrong("type", "a type of number of the standard is needed")
        order = {"little": "<", "big": ">"}.get(self.fields.get("endian", "").lower())
        if order is None and code[1] != "1" and self.packing != "text":
            raise self.wrong("endian", "'little' or 'big' is needed")
        return np.dtype((order or "<") + code)

    @cached_property
    def packing(self) -> Packing:
        """How the numbers are written."""
        found = PACKINGS.get(self.fields.get("encoding", "").lower())
        if found is None:
            raise self.wrong("encoding", f"it must be one of {', '.join(PACKINGS)}")
        return found

    def stored(self) -> Stored:
        """Return where the voxels are; opens the data files to find their beginning."""
        files = self.files()
        sources = tuple(self._source(path, len(files)) for path in files)
        return Stored(sources, self.packing, self.sizes[::-1], self.dtype)

    def files(self) -> list[Path]:
        """Return the files with the voxels, in order."""
        if self.data_offset is not None:
            return [self.path]
        words = self.fields["data file"].split() or [""]
        if words[0] == "LIST":
            lines = self.fields["data file list"].split("\n")
            return [beside(self.path, line.strip()) for line in lines if line.strip()]
        if "%" in words[0] and len(words) in (4, 5) and all(re.fullmatch(r"-?\d{1,9}", word) for word in words[1:]):
            first, last, step = (int(word) for word in words[1:4])
            return numbered(self.path, words[0], first, last, step)
        return [beside(self.path, self.fields["data file"])]

    def wrong(self, field: str, rule: str) -> ReadError:
        """Return the error for a field that breaks the standard."""
        value = self.fields.get(field, self.keys.get(field))
        found = f"has no NRRD field '{field}'" if value is None else f"has the NRRD field '{field}: {value[:80]}'"
        return ReadError(f"{self.path.name} {found}; {rule}.", "Repair the header.")

    def _source(self, path: Path, files: int) -> Source:
        start = self.data_offset or 0
        lines, skip = self._integer("line skip", 0), self._integer("byte skip", 0)
        if lines > 0:
            start = _after_lines(path, start, lines)
        if skip >= 0:
            return Source(path, start, skip)
        if self.packing != "raw":
            raise self.wrong("byte skip", "only raw voxels can be counted from the end of the file")
        # -1 means that the voxels end with the file, -2 that one byte follows, and so on.
        size = prod(self.sizes) * self.dtype.itemsize // files
        return Source(path, max(0, path.stat().st_size - size + skip + 1))

    def _integer(self, field: str, default: int | None) -> int:
        text = self.fields.get(field, "" if default is None else str(default))
        if not re.fullmatch(r"[+-]?\d{1,9}", text):
            raise self.wrong(field, "a whole number is needed")
        return int(text)


def read_header(path: Path) -> NrrdHeader:
    """Read the header at the start of a file.

    Raises
    ------
    ReadError
        If there is none.
    """
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    with path.open("rb") as file:
        if not file.readline(32).startswith(MAGIC):
            raise ReadError(f"{path.name} does not start like a NRRD file.", "The file is of another kind or damaged.")
        for line in iter(lambda: _line(file, path), ""):
            _take(line, fields, keys)
            if fields.get("data file", "").split()[:1] == ["LIST"]:
                fields["data file list"] = file.read(HEADER_LIMIT).decode("utf-8", "replace")
                break
        offset = None if "data file" in fields else file.tell()
    return NrrdHeader(path, fields, keys, offset)


def _line(file: BinaryIO, path: Path) -> str:
    """Return the next line of the header, empty after its last."""
    line = file.readline(HEADER_LIMIT)
    if file.tell() > HEADER_LIMIT:
        raise ReadError(f"{path.name} has no end of its NRRD header.", "The file is damaged.")
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _take(line: str, fields: dict[str, str], keys: dict[str, str]) -> None:
    if line.startswith("#"):
        return
    if KEY_LINE.match(line):
        key, _, value = line.partition(":=")
        keys[_plain(key)] = _plain(value)
        return
    name, separator, value = line.partition(":")
    if separator:
        name = " ".join(name.lower().split())
        fields[ALIASES.get(name, name)] = value.strip()


def _plain(text: str) -> str:
    r"""Undo the standard's two escapes, ``\\`` and ``\n``."""
    return re.sub(r"\\([\\n])", lambda found: "\n" if found[1] == "n" else "\\", text)


def _after_lines(path: Path, start: int, count: int) -> int:
    with path.open("rb") as file:
        file.seek(start)
        for _ in range(count):
            if not file.readline(HEADER_LIMIT):
                break
        return file.tell()


def _vectors(text: str) -> list[NDArray[np.float64] | None]:
    found: list[NDArray[np.float64] | None] = []
    for word in re.findall(r"\([^()]*\)|none", text.lower()):
        vector = None if word == "none" else np.array([_number(part) for part in word[1:-1].split(",")])
        # Some programs write a vector of nan for "none".
        found.append(None if vector is None or np.isnan(vector).all() else vector)
    return found


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ReadError(f"The NRRD header has {word[:40]!r} in place of a number.", "Repair the header.") from None
