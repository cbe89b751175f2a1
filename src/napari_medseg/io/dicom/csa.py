"""Siemens' private CSA image header, version 1 or 2: the few numbers of it that are needed."""

import struct
from math import ceil

from napari_medseg.io.dicom.elements import Elements

WANTED = {"NumberOfImagesInMosaic": 1, "SliceNormalVector": 3, "B_value": 1, "DiffusionGradientDirection": 3}
"""Names of values and how many numbers each has."""
MOST = 1000
"""Names, and items of one name, that are looked at."""


def csa_of(header: Elements) -> dict[str, tuple[float, ...]]:
    """Return the wanted numbers; empty without a readable header."""
    stored = header.private("SIEMENS CSA HEADER", 0x29, 0x10)
    if stored is None:
        return {}
    try:
        return _numbers(stored.value)
    except (struct.error, ValueError):
        return {}


def _numbers(data: bytes) -> dict[str, tuple[float, ...]]:
    second = data[:4] == b"SV10"
    at = 8 if second else 0
    (tags,) = struct.unpack_from("<I", data, at)
    at += 8
    found: dict[str, tuple[float, ...]] = {}
    for _ in range(min(tags, MOST)):
        name, _vm, _vr, _kind, items, _end = struct.unpack_from("<64si4siii", data, at)
        at += 84
        values = []
        for _ in range(min(items, MOST)):
            lengths = struct.unpack_from("<4i", data, at)
            length = lengths[1] if second else lengths[0]
            at += 16
            values.append(data[at : at + length].split(b"\0")[0].strip())
            at += ceil(max(0, length) / 4) * 4
        key = name.split(b"\0")[0].decode("latin-1")
        if key in WANTED:
            found[key] = tuple(float(value) for value in values if value)
    return {key: value for key, value in found.items() if len(value) == WANTED[key]}
