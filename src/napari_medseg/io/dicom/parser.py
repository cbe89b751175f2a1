"""Reading the elements of a DICOM data set that this package needs, and where its pixels are.

A scan of thousands of files must read headers only, never trust a length, and never stop at private junk, so the
elements are walked here; the pixels are left to pydicom's decoders.
"""

import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import IO

from pydicom.datadict import dictionary_VR

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.elements import PRIVATE_GROUPS, Elements, Stored, is_wanted, wanted_tags

LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
STOP_GROUPS = frozenset((0x7FE0, 0xFFFE))
PIXEL_TAGS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
GE_PRIVATE = "1.2.840.113619.5.2"
"""Implicit little-endian elements with big-endian pixels, from older scanners."""
FIRST_READ = 1 << 15
DEEPEST = 24
INFLATED_LIMIT = 1 << 31


class TruncatedError(Exception):
    """An element runs past the bytes at hand."""


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixels are."""

    keyword: str
    offset: int
    """Of the value: in the file, or in `inflated`."""
    length: int | None
    """In bytes; None if encapsulated in fragments."""
    vr: bytes = b""
    """Empty if the file does not say."""
    inflated: bytes | None = None
    """The whole data set, if the file is deflated."""


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """The header of one file."""

    path: Path
    elements: Elements
    pixels: PixelElement | None
    transfer_syntax: str
    size: int
    """Bytes of the file."""


def looks_like_dicom(start: bytes) -> bool:
    """Return whether the first 132 bytes or more are of a DICOM file, with or without preamble."""
    if start[128:132] == b"DICM":
        return True
    group, element = int.from_bytes(start[:2], "little"), int.from_bytes(start[2:4], "little")
    if (group, element) in ((2, 0), (2, 1), (2, 2), (2, 0x10), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16), (8, 0x18)):
        return True
    return start[:2] == b"\0\x08" and start[2:4] in (b"\0\0", b"\0\x05", b"\0\x08", b"\0\x16") and start[4:5].isalpha()


def parse(path: Path) -> DicomFile | None:
    """Return the wanted elements of a file, or None if it is not DICOM.

    Raises
    ------
    ReadError
        If the header is cut or not a walk of elements.
    """
    with open(path, "rb", buffering=0) as file:
        buffer = file.read(FIRST_READ)
        if not looks_like_dicom(buffer):
            return None
        size = os.fstat(file.fileno()).st_size
        while True:
            try:
                return _parse(path, buffer, size, whole=len(buffer) >= size)
            except TruncatedError as error:
                if len(buffer) >= size:
                    raise ReadError(f"{path.name} is truncated: {error}.", "Copy the file again.") from error
                buffer = _longer(file, buffer)


def _longer(file: IO[bytes], buffer: bytes) -> bytes:
    file.seek(len(buffer))
    return b"".join((buffer, file.read(7 * len(buffer))))


def _parse(path: Path, buffer: bytes, size: int, *, whole: bool) -> DicomFile:
    start = 132 if buffer[128:132] == b"DICM" else 0
    meta = _Walk(buffer, "<", explicit=True)
    start = meta.group_two(start)
    syntax = (meta.found.text("TransferSyntaxUID") or "").strip()
    if syntax == DEFLATED:
        if not whole:
            raise TruncatedError("the deflated data set is longer than what was read")
        inflated = _inflate(buffer[start:], path)
        walk = _Walk(inflated, "<", explicit=True)
        pixels = walk.data_set(0)
        found = None if pixels is None else replace(pixels, inflated=inflated)
        return DicomFile(path, walk.found, found, syntax, size)
    order = ">" if syntax == EXPLICIT_BIG or (not syntax and buffer[start : start + 2] == b"\0\x08") else "<"
    explicit = buffer[start + 4 : start + 6].isalpha() and buffer[start + 4 : start + 6].isupper()
    walk = _Walk(buffer, order, explicit=explicit)
    pixels = walk.data_set(start)
    if pixels is None and not whole:
        raise TruncatedError("no pixels so far")
    assumed = EXPLICIT_BIG if order == ">" else EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    return DicomFile(path, walk.found, pixels, syntax or assumed, size)


def _inflate(data: bytes, path: Path) -> bytes:
    """Return a raw deflate stream, refusing one that grows beyond reason."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(data, INFLATED_LIMIT)
    except zlib.error as error:
        raise ReadError(f"{path.name} is damaged: its deflated data set ends in {error}.", "Copy it again.") from error
    if stream.unconsumed_tail:
        raise ReadError(f"{path.name} inflates to more than {INFLATED_LIMIT} bytes.", "Check where it came from.")
    return inflated


class _Walk:
    """One pass over encoded elements, keeping those that are wanted."""

    def __init__(self, data: bytes, order: str, *, explicit: bool) -> None:
        self.data, self.explicit, self.order = data, explicit, order
        self.found = Elements({}, order)
        self._tag, self._short, self._long = (Struct(order + code).unpack_from for code in ("HH", "H", "I"))

    def group_two(self, at: int) -> int:
        """Read the file meta group and return where the data set starts."""
        while at + 8 <= len(self.data) and self._tag(self.data, at)[0] == 2:
            tag, vr, length, value = self._head(at)
            if length == UNDEFINED:
                raise TruncatedError("the file meta group has a value of unknown length")
            self._keep(self.found, tag, vr, self._bytes(value, length))
            at = value + length
        return at

    def data_set(self, at: int) -> PixelElement | None:
        """Read elements up to the pixels and return where those are; None if the data set has none."""
        end = len(self.data)
        while at + 8 <= end:
            at = self._simple_elements(at) if self.explicit else at
            if at + 8 > end:
                break
            tag, vr, length, value = self._head(at)
            if tag in PIXEL_TAGS:
                return PixelElement(PIXEL_TAGS[tag], value, None if length == UNDEFINED else length, vr)
            at = self._element(self.found, tag, vr, length, value, 0)
        if at > end:
            raise TruncatedError("an element is longer than the file")
        return None

    def _simple_elements(self, at: int) -> int:
        """Read elements up to the first sequence or the pixels, and return where that is.

        Nearly all of a header is this, and a scan reads thousands of headers: the loop has no calls.
        """
        data, end, values, wanted = self.data, len(self.data) - 12, self.found.values, wanted_tags()
        head, long = Struct(self.order + "HH2sH").unpack_from, self._long
        while at <= end:
            group, element, vr, length = head(data, at)
            value = at + 8
            if vr in LONG_VRS:
                (length,) = long(data, value)
                value += 4
            tag = group << 16 | element
            stop = value + length
            if vr == b"SQ" or length == UNDEFINED or stop > end or group in STOP_GROUPS:
                return at
            if tag in wanted or (group in PRIVATE_GROUPS and is_wanted(tag)):
                values[tag] = Stored(vr, data[value:stop])
            at = stop
        return at

    def _head(self, at: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR (empty if implicit), length, and where the value starts."""
        data = self.data
        if at + 8 > len(data):
            raise TruncatedError("it ends inside an element")
        group, element = self._tag(data, at)
        tag = group << 16 | element
        if not self.explicit or group == 0xFFFE:
            return tag, b"", self._long(data, at + 4)[0], at + 8
        vr = data[at + 4 : at + 6]
        if vr not in LONG_VRS:
            return tag, vr, self._short(data, at + 6)[0], at + 8
        if at + 12 > len(data):
            raise TruncatedError("it ends inside an element")
        return tag, vr, self._long(data, at + 8)[0], at + 12

    def _element(self, into: Elements, tag: int, vr: bytes, length: int, value: int, depth: int) -> int:
        """Keep or skip one element and return where the next one starts."""
        wanted = depth > 0 or is_wanted(tag)
        is_sequence = vr == b"SQ" or length == UNDEFINED or (wanted and not vr and _is_sequence(tag))
        if not is_sequence or (not wanted and length != UNDEFINED):
            if wanted:
                self._keep(into, tag, vr, self._bytes(value, length))
            return value + length
        # A UN value of unknown length is a sequence in implicit VR, whatever the rest of the file is.
        inner = self if vr != b"UN" else _Walk(self.data, "<", explicit=False)
        items, end = inner._items(value, length, depth + 1)
        if wanted:
            into.values[tag] = items
        return end

    def _items(self, at: int, length: int, depth: int) -> tuple[list[Elements], int]:
        if depth > DEEPEST:
            raise ReadError("The file nests sequences deeper than any real one.", "The file is damaged.")
        stop = len(self.data) if length == UNDEFINED else at + length
        if stop > len(self.data):
            raise TruncatedError("a sequence is longer than the file")
        items: list[Elements] = []
        while at < stop:
            tag, _, size, value = self._head(at)
            if tag == SEQUENCE_END:
                return items, value
            if tag != ITEM:
                raise ReadError("A sequence of the file holds something else than items.", "The file is damaged.")
            item, at = self._item(value, size, depth)
            items.append(item)
        if length == UNDEFINED:
            raise TruncatedError("a sequence does not end")
        return items, stop

    def _item(self, at: int, length: int, depth: int) -> tuple[Elements, int]:
        item = Elements({}, self.order)
        stop = len(self.data) if length == UNDEFINED else at + length
        while at < stop:
            tag, vr, size, value = self._head(at)
            if tag == ITEM_END:
                return item, value
            at = self._element(item, tag, vr, size, value, depth)
        if length == UNDEFINED or at > len(self.data):
            raise TruncatedError("an item does not end")
        return item, at

    def _bytes(self, at: int, length: int) -> bytes:
        if at + length > len(self.data):
            raise TruncatedError("an element is longer than the file")
        return self.data[at : at + length]

    @staticmethod
    def _keep(into: Elements, tag: int, vr: bytes, value: bytes) -> None:
        into.values[tag] = Stored(vr, value)


def _is_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
