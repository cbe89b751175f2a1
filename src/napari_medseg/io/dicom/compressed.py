"""Frames of files with compression: which bytes belong to which frame."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray
from pydicom.encaps import generate_fragmented_frames

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.codec import decoded
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.dicom.plain import plain_frames, value_bytes


def stored_frames(form: PixelFormat, wanted: list[int]) -> Iterator[NDArray[Any]]:
    """Yield the wanted frames of a file, compressed or not, in that order.

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
    codestreams = _codestreams(form, max(wanted) + 1 if wanted else 0)
    for index in wanted:
        yield decoded(form, codestreams[index])


def _codestreams(form: PixelFormat, count: int) -> list[bytes]:
    """Return the compressed bytes of the first `count` frames."""
    if form.frames > form.bytes_there // 8:
        raise ReadError(
            f"{form.file.path.name} claims {form.frames} frames; its {form.bytes_there} bytes cannot hold them.",
            "The file is damaged.",
        )
    data = value_bytes(form, 0, form.bytes_there)
    found = []
    for fragments in generate_fragmented_frames(data, number_of_frames=form.frames):
        found.append(b"".join(fragments))
        if len(found) == count:
            return found
    raise ReadError(
        f"{form.file.path.name} is truncated: {len(found)} of {form.frames} compressed frames are there.",
        "Copy the file again.",
    )
