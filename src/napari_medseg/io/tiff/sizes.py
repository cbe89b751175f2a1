"""Voxel sizes in a TIFF file: from OME, from ImageJ, or from resolution tags in centimetres.

A resolution per inch is what a printer or a camera left there, and so is one per centimetre that equals a usual number
of dots per inch: neither says how large the object is, and neither is used.
"""

from xml.etree import ElementTree

import numpy as np
from tifffile import RESUNIT, TiffFile, TiffPage

from napari_medseg.io.grids import MM_PER_UNIT

PRINTED_DPI = (72, 96, 100, 120, 144, 150, 200, 240, 300, 360, 400, 600, 720, 1200, 2400)

Sizes = dict[str, float]
"""mm along ``"x"``, ``"y"``, ``"z"``, as far as known."""


def sizes_of(tiff: TiffFile, ome: ElementTree.Element | None, number: int, series: int) -> Sizes:
    """Return the voxel sizes of one of the `series` images in a file."""
    if ome is not None:
        return _from_ome(ome, number, series)
    page = tiff.pages.first
    if tiff.imagej_metadata is not None:
        return _from_imagej(page, tiff.imagej_metadata)
    return _from_tags(page)


def _from_ome(ome: ElementTree.Element, number: int, series: int) -> Sizes:
    pixels = list(ome.iterfind(".//{*}Pixels"))
    if len(pixels) != series:
        return {}
    found = pixels[number].attrib
    sizes = {}
    for axis in "XYZ":
        unit = found.get(f"PhysicalSize{axis}Unit", "µm").lower()
        size = _positive(found.get(f"PhysicalSize{axis}"))
        if size is not None and unit in MM_PER_UNIT:
            sizes[axis.lower()] = size * MM_PER_UNIT[unit]
    return sizes


def _from_imagej(page: TiffPage, metadata: dict[str, object]) -> Sizes:
    mm = MM_PER_UNIT.get(str(metadata.get("unit", "")).lower())
    if mm is None:
        return {}
    sizes = {axis: 1 / density * mm for axis, density in _densities(page).items()}
    depth = _positive(metadata.get("spacing"))
    return sizes if depth is None else sizes | {"z": depth * mm}


def _from_tags(page: TiffPage) -> Sizes:
    unit = page.tags.valueof(296, default=RESUNIT.INCH)
    if unit != RESUNIT.CENTIMETER:
        return {}
    densities = _densities(page)
    printed = any(abs(density * 2.54 / dpi - 1) < 1e-3 for density in densities.values() for dpi in PRINTED_DPI)
    return {} if printed else {axis: 10 / density for axis, density in densities.items()}


def _densities(page: TiffPage) -> Sizes:
    """Return the pixels per unit along x and y."""
    found = {}
    for axis, tag in (("x", 282), ("y", 283)):
        numerator, denominator = page.tags.valueof(tag, default=(0, 1))
        if numerator > 0 and denominator > 0:
            found[axis] = numerator / denominator
    return found


def _positive(value: object) -> float | None:
    """Return a positive finite number; None for anything else."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if np.isfinite(number) and number > 0 else None
