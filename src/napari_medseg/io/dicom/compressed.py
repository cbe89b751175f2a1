"""Frames of files with compression: which bytes belong to which frame."""

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray
from pydicom.encaps import generate_fragmented_frames

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.codec import decoded
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.dicom.plain import plain_frames, value_bytes

READ_WHOLE = 1 << 22
"""Pixel elements up to this many bytes are read at once; of longer ones only the frames that are wanted."""
ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
UNDEFINED = 0xFFFFFFFF

Span = tuple[int, int]
"""Start and length of a fragment within the pixel element."""


def stored_frames(form: PixelFormat, wanted: list[int], memory: NDArray[Any] | None = None) -> Iterator[NDArray[Any]]:
    """Yield the wanted frames of a file, compressed or not, in that order.

    Parameters
    ----------
    form : PixelFormat
        Of the file.
    wanted : list of int
        Numbers of frames.
    memory : array, optional
        Whose memory may hold the result, where a single frame is wanted.

    Returns
    -------
    iterator of array
        (rows, columns) stored numbers, or (rows, columns, 3) RGB; indices into a palette are left as they are.
    """
    if wanted and not 0 <= max(wanted) < form.frames:
        raise ReadError(f"{form.file.path.name} has no frame {max(wanted)}.", "The header is damaged.")
    if form.element.length is not None:
        yield from plain_frames(form, wanted)
        return
    codestreams = _codestreams(form, wanted)
    for index in wanted:
        yield decoded(form, codestreams[index], memory)


def can_seek(form: PixelFormat) -> bool:
    """Return whether a frame can be had without reading those before it."""
    return form.element.length is not None or form.frames == 1 or _spans(form) is not None


def _codestreams(form: PixelFormat, wanted: list[int]) -> dict[int, bytes]:
    """Return the compressed bytes of the wanted frames."""
    if form.frames > form.bytes_there // 8:
        raise ReadError(
            f"{form.file.path.name} claims {form.frames} frames; its {form.bytes_there} bytes cannot hold them.",
            "The file is damaged.",
        )
    if form.bytes_there > READ_WHOLE:
        spans = _spans(form)
        if spans is not None:
            return {i: b"".join(value_bytes(form, *span) for span in spans[i]) for i in wanted}
    data = value_bytes(form, 0, form.bytes_there)
    spans = _by_frame(form, _fragments(lambda at, length: data[at : at + length], len(data)), data)
    if spans is not None:
        return {i: b"".join(data[start : start + length] for start, length in spans[i]) for i in wanted}
    return _walked(form, data, max(wanted) + 1 if wanted else 0)


@lru_cache(64)
def _spans(form: PixelFormat) -> list[list[Span]] | None:
    """Return the fragments of every frame, from the heads of the fragments alone."""

    def read_at(at: int, length: int) -> bytes:
        return value_bytes(form, at, min(length, form.bytes_there - at))

    fragments = _fragments(read_at, form.bytes_there)
    return _by_frame(form, fragments, b"" if not fragments else read_at(*fragments[0]), start=0)


def _fragments(read_at: Callable[[int, int], bytes], end: int) -> list[Span] | None:
    """Return the items of an encapsulated element, the offset table first; None if they are not a plain walk."""
    at = 0
    found: list[Span] = []
    while at + 8 <= end:
        head = read_at(at, 8)
        if head[:4] == SEQUENCE_END:
            return found
        (length,) = struct.unpack_from("<I", head, 4)
        if head[:4] != ITEM or length == UNDEFINED:
            return None
        found.append((at + 8, min(length, end - at - 8)))
        at += 8 + length
    return found


def _by_frame(
    form: PixelFormat, fragments: list[Span] | None, data: bytes, start: int | None = None
) -> list[list[Span]] | None:
    """Share fragments out among frames; None where neither their number nor the offset table tells how.

    Parameters
    ----------
    form : PixelFormat
        Tells the number of frames.
    fragments : list of Span or None
        From `_fragments`.
    data : bytes
        The offset table, and perhaps what is around it.
    start : int, optional
        Where in `data` the offset table starts, if not where its span says.
    """
    if not fragments or len(fragments) < 2:
        return None
    (at, length), *rest = fragments
    if form.frames == 1:
        return [rest]
    if len(rest) == form.frames:
        return [[span] for span in rest]
    if length != 4 * form.frames:
        return None
    offsets = struct.unpack_from(f"<{form.frames}I", data, at if start is None else start)
    if any(later < earlier for earlier, later in pairwise(offsets)):
        return None
    found: list[list[Span]] = [[] for _ in offsets]
    for span in rest:
        number = bisect_right(offsets, span[0] - 8 - (at + length)) - 1
        if number < 0:
            return None
        found[number].append(span)
    return found if all(found) else None


def _walked(form: PixelFormat, data: bytes, count: int) -> dict[int, bytes]:
    """Return the first `count` frames, found by the start markers of their pictures."""
    found: dict[int, bytes] = {}
    for fragments in generate_fragmented_frames(data, number_of_frames=form.frames):
        found[len(found)] = b"".join(fragments)
        if len(found) == count:
            return found
    raise ReadError(
        f"{form.file.path.name} is truncated: {len(found)} of {form.frames} compressed frames are there.",
        "Copy the file again.",
    )
