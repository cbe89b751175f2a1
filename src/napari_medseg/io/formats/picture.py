"""Pictures: PNG, JPEG, BMP. They have no place in space and no voxel size: a resolution in them is that of a print.

Palettes become their colours, one bit becomes 0 and 1, grey with transparency becomes grey where all of it is opaque,
and the turn that a camera left in EXIF is applied.
"""

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, info_of, stem
from napari_medseg.io.limits import check_size
from napari_medseg.volume import Volume

DECODERS = ("PNG", "JPEG", "BMP")
MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
PLAIN = ("L", "I", "I;16", "I;16L", "I;16B", "F", "RGB", "RGBA")
"""Pillow's modes whose arrays are taken as they are."""
EXIF_ORIENTATION = 0x0112
BYTES_PER_PIXEL = 8

Turn = Callable[[NDArray[np.generic]], NDArray[np.generic]]
TURNS: dict[int, Turn] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}
"""What brings (row, column[, colour]) arrays upright, by EXIF's number."""


def can_read(path: Path) -> bool:
    """Return whether the file starts like a PNG or JPEG file, or is named ``.bmp`` and starts like one."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(8)
    return start.startswith(MAGICS) or (start[:2] == b"BM" and path.suffix.lower() == ".bmp")


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the picture as a volume of two axes without geometry; of an animation, the first picture."""
    options.control.checkpoint()
    _check_claims(path)
    with warnings.catch_warnings():
        # Pillow warns of large pictures; the memory that is free decides instead.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=DECODERS) as picture:
            check_size((picture.height, picture.width, BYTES_PER_PIXEL), np.dtype(np.uint8), path.name)
            frames, turn = int(getattr(picture, "n_frames", 1)), int(picture.getexif().get(EXIF_ORIENTATION, 1))
            array = _pixels(path, picture)
    notes = [f"The file is an animation of {frames} pictures; the first was read."] if frames > 1 else []
    if turn in TURNS:
        array = np.ascontiguousarray(TURNS[turn](array))
        notes.append("The picture was turned upright, as its camera noted in EXIF.")
    return [Volume(array, None, name=stem(path), rgb=array.ndim == 3, warnings=tuple(notes))]


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return the entry of the picture."""
    return [info_of(volume, path, FORMAT.name) for volume in read(path, options)]


def _check_claims(path: Path) -> None:
    """Raise if a part of the file claims to be longer than the file: Pillow would take the memory for it first."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(50)
        needed = 0
        if start.startswith(b"BM") and len(start) == 50:
            (colours,) = struct.unpack_from("<I", start, 46)
            needed = 4 * colours
        at = len(MAGICS[0])
        while start.startswith(MAGICS[0]) and at < size:
            file.seek(at)
            chunk = file.read(8)
            if len(chunk) < 8 or chunk[4:] == b"IEND":
                break
            # A chunk is its length, its name, its content and a sum.
            at += 12 + int.from_bytes(chunk[:4], "big")
            needed = max(needed, at)
    if needed > size:
        raise ReadError(f"{path.name} is truncated: it has {size} bytes and needs {needed}.", "Copy it again.")


def _pixels(path: Path, picture: Image.Image) -> NDArray[np.generic]:
    """Return (row, column[, colour]) pixels."""
    if _has_deep_colours(path):
        # Pillow cuts colours of 16 bits to 8.
        array = np.asarray(imagecodecs.png_decode(path.read_bytes()))
        return _without_clear_alpha(array) if array.shape[-1] == 2 else array
    mode = picture.mode
    if mode in PLAIN:
        array = np.asarray(picture)
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if mode == "1":
        return np.asarray(picture).astype(np.uint8)
    if mode == "LA":
        return _without_clear_alpha(np.asarray(picture))
    clear = mode in ("PA", "La", "RGBa") or (mode == "P" and "transparency" in picture.info)
    if mode not in ("P", "PA", "La", "RGBa", "RGBX", "CMYK", "YCbCr"):
        raise ReadError(f"{path.name} has colours of the kind {mode}, which is not read.", "Save it as RGB.")
    return np.asarray(picture.convert("RGBA" if clear else "RGB"))


def _has_deep_colours(path: Path) -> bool:
    """Return whether the file is a PNG of 16 bits with colour or transparency."""
    with path.open("rb") as file:
        start = file.read(26)
    return start.startswith(MAGICS[0]) and len(start) == 26 and start[24] == 16 and start[25] in (2, 4, 6)


def _without_clear_alpha(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return grey pixels if all (grey, alpha) pixels are opaque, else red, green, blue and alpha."""
    grey, alpha = array[..., 0], array[..., 1]
    opaque = bool((alpha == np.iinfo(alpha.dtype.name).max).all())
    return grey.copy() if opaque else np.stack([grey, grey, grey, alpha], axis=-1)


FORMAT = Format(
    name="picture",
    title="pictures (*.png, *.jpg, *.bmp)",
    patterns=("*.png", "*.jpg", "*.jpeg", "*.bmp"),
    can_read=can_read,
    read=read,
    scan=scan,
)
