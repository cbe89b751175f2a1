"""Siemens mosaics: a whole volume as tiles of one picture, its layout in a private header."""

import struct
from dataclasses import replace
from math import ceil, isqrt

import numpy as np

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.elements import Elements
from napari_medseg.io.dicom.frame import Frame, Plane

CSA_NAMES = frozenset(("NumberOfImagesInMosaic", "SliceNormalVector"))


def is_mosaic(header: Elements) -> bool:
    """Return whether the picture of a file is a mosaic of slices."""
    return "MOSAIC" in header.texts("ImageType") and (header.text("Manufacturer") or "").upper().startswith("SIEMENS")


def mosaic_frames(picture: Frame) -> list[Frame]:
    """Return one frame per tile of a mosaic picture.

    The position in the header is that of a single slice as large as the whole mosaic, centred where the slices are.
    """
    header = picture.file.elements
    csa = _csa(header)
    count = _tile_count(header, csa)
    if count is None:
        raise ReadError(
            f"{picture.file.path.name} is a mosaic, but its private header does not say of how many slices.",
            "Export the series again without removing private elements.",
        )
    side = isqrt(count - 1) + 1
    rows, columns = picture.rows // side, picture.columns // side
    if not rows or not columns:
        raise ReadError(f"{picture.file.path.name} is too small a mosaic for {count} slices.", "Export it again.")
    planes = _tile_planes(picture, csa, count, rows, columns)
    apart = (*picture.apart, float(count))
    return [
        replace(
            picture,
            rows=rows,
            columns=columns,
            plane=plane,
            apart=apart,
            tile=(number // side * rows, number % side * columns),
        )
        for number, plane in enumerate(planes)
    ]


def _tile_planes(
    picture: Frame, csa: dict[str, tuple[float, ...]], count: int, rows: int, columns: int
) -> list[Plane] | list[None]:
    plane, step = picture.plane, picture.step or picture.thickness
    if plane is None or not step:
        return [None] * count
    row, column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    to_row, to_column = plane.spacing
    corner = np.array(plane.position)
    corner = corner + row * to_column * (picture.columns - columns) / 2 + column * to_row * (picture.rows - rows) / 2
    normal = np.array(csa.get("SliceNormalVector") or plane.normal)
    return [
        Plane(tuple(map(float, corner + normal * step * k)), plane.orientation, plane.spacing) for k in range(count)
    ]


def _tile_count(header: Elements, csa: dict[str, tuple[float, ...]]) -> int | None:
    stated = header.private_numbers("SIEMENS MR HEADER", 0x19, 0x0A, "US") or csa.get("NumberOfImagesInMosaic")
    if not stated or not 1 <= stated[0] <= 4096:
        return None
    return ceil(stated[0])


def _csa(header: Elements) -> dict[str, tuple[float, ...]]:
    """Return the numbers that are needed from Siemens' CSA image header, version 1 or 2."""
    stored = header.private("SIEMENS CSA HEADER", 0x29, 0x10)
    if stored is None:
        return {}
    try:
        return _csa_numbers(stored.value)
    except (struct.error, ValueError):
        return {}


def _csa_numbers(data: bytes) -> dict[str, tuple[float, ...]]:
    second = data[:4] == b"SV10"
    at = 8 if second else 0
    (tags,) = struct.unpack_from("<I", data, at)
    at += 8
    found: dict[str, tuple[float, ...]] = {}
    for _ in range(min(tags, 1000)):
        name, _vm, _vr, _kind, items, _end = struct.unpack_from("<64si4siii", data, at)
        at += 84
        values = []
        for _ in range(min(items, 1000)):
            lengths = struct.unpack_from("<4i", data, at)
            length = lengths[1] if second else lengths[0]
            at += 16
            values.append(data[at : at + length].split(b"\0")[0].strip())
            at += ceil(max(0, length) / 4) * 4
        key = name.split(b"\0")[0].decode("latin-1")
        if key in CSA_NAMES:
            found[key] = tuple(float(value) for value in values if value)
    return {key: value for key, value in found.items() if key != "SliceNormalVector" or len(value) == 3}
