"""Diffusion weighting: b-value and gradient direction, where each maker keeps them."""

import re

import numpy as np

from napari_medseg.io.dicom.csa import csa_of
from napari_medseg.io.dicom.elements import Elements
from napari_medseg.io.dicom.frame import Vector

COMMENT = re.compile(r"b=\s*([\d.]+)(?:\(([-+\d.]+),([-+\d.]+),([-+\d.]+)\))?")
"""Canon's note of the weighting, such as ``b=1500(0.445,0.000,0.895)``."""
NOWHERE = (0.0, 0.0, 0.0)


def diffusion_of(header: Elements) -> Vector | None:
    """Return (b-value, x, y, z) in s/mm² and LPS, the direction zero if there is none; None without a b-value."""
    if header.text("Modality") != "MR":
        return None
    maker = (header.text("Manufacturer") or "").upper()
    own = next((way(header) for name, way in WAYS.items() if maker.startswith(name)), None)
    b, direction = header.number("DiffusionBValue"), header.vector("DiffusionGradientOrientation", 3)
    if b is None:
        return own
    # UIH's own element is the one that its scanners keep right.
    if direction is None or (maker.startswith("UIH") and own is not None):
        direction = NOWHERE if own is None else own[1:]
    return (b, *direction)


def _siemens(header: Elements) -> Vector | None:
    b = header.private_numbers("SIEMENS MR HEADER", 0x19, 0x0C, "IS")
    direction = header.private_numbers("SIEMENS MR HEADER", 0x19, 0x0E, "FD")
    if not b and "DIFFUSION" in header.texts("ImageType"):
        csa = csa_of(header)
        b, direction = csa.get("B_value", ()), csa.get("DiffusionGradientDirection", ())
    return (max(0.0, b[0]), *(direction if len(direction) == 3 else NOWHERE)) if b else None


def _philips(header: Elements) -> Vector | None:
    b = header.private_numbers("Philips Imaging DD 001", 0x2001, 0x03, "FL")
    parts = [header.private_numbers("Philips MR Imaging DD 001", 0x2005, low, "FL")[:1] for low in (0xB0, 0xB1, 0xB2)]
    return (b[0], *(tuple(part[0] for part in parts) if all(parts) else NOWHERE)) if b else None


def _ge(header: Elements) -> Vector | None:
    """Return what GE states: the direction along frequency, phase and slice, shortened where b is below the largest."""
    b = header.private_numbers("GEMS_PARM_01", 0x43, 0x39, "IS")
    parts = [header.private_numbers("GEMS_ACQU_01", 0x19, low, "DS")[:1] for low in (0xBB, 0xBC, 0xBD)]
    if not b or not all(parts):
        return None
    frequency, phase, across = (part[0] for part in parts)
    by_rows = header.text("InPlanePhaseEncodingDirection") == "ROW"
    along = (phase, -frequency, -across) if by_rows else (frequency, phase, -across)
    # GE adds 10^9 to the b-value of some protocols.
    largest, length = b[0] % 1e6, float(np.linalg.norm(along))
    if length <= 0.03:
        return (largest, *NOWHERE)
    weight = largest if length > 0.97 else round(largest * length**2 / 5) * 5.0
    return (weight, *_in_patient(header, along))


def _uih(header: Elements) -> Vector | None:
    b = header.private_numbers("Image Private Header", 0x65, 0x09, "FD")
    direction = header.private_numbers("Image Private Header", 0x65, 0x37, "FD")
    if not b:
        return None
    return (b[0], *(_in_patient(header, direction) if len(direction) == 3 else NOWHERE))


def _canon(header: Elements) -> Vector | None:
    found = COMMENT.match(header.text("ImageComments") or "")
    if found is None:
        return None
    try:
        b, *direction = (float(part) for part in found.groups() if part is not None)
    except ValueError:
        return None
    return (b, *(_in_patient(header, tuple(direction)) if len(direction) == 3 else NOWHERE))


def _in_patient(header: Elements, along: Vector) -> Vector:
    """Return a unit direction in LPS of one along columns, rows and slices of the image; zero stays zero."""
    orientation = header.vector("ImageOrientationPatient", 6)
    length = float(np.linalg.norm(along))
    if orientation is None or length == 0:
        return NOWHERE
    right, down = np.array(orientation[:3]), np.array(orientation[3:])
    turned = along[0] * right + along[1] * down + along[2] * np.cross(right, down)
    return tuple(float(part) for part in turned / length)


WAYS = {"SIEMENS": _siemens, "PHILIPS": _philips, "GE": _ge, "UIH": _uih, "CANON": _canon, "TOSHIBA": _canon}
"""How to read the elements of each maker, by the start of its name."""
