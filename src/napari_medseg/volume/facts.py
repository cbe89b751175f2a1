"""The exact numbers of a volume, as text for a panel or a report."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_medseg.volume.geometry import Geometry
from napari_medseg.volume.volume import Volume

ALONG_THE_BODY_DEGREES = 0.01
"""Axes that are off the patient's by less are not called oblique."""


class Fact(NamedTuple):
    """One property of a volume."""

    name: str
    value: str


def facts_of(volume: Volume) -> tuple[Fact, ...]:
    """Return what is known about a volume, without its warnings; never anything that names a patient.

    Numbers are in the order of the array's axes, slices first, and have nine digits where they need them.

    Examples
    --------
    >>> grid = Geometry((2, 3, 4), np.diag([5, 0.5, 0.5, 1.0])[[2, 1, 0, 3]])
    >>> facts = dict(facts_of(Volume(np.zeros((2, 3, 4), np.int16), grid, modality="CT", units="HU")))
    >>> facts["Size"], facts["Spacing"], facts["Values"]
    ('2 × 3 × 4 voxels', '5 × 0.5 × 0.5 mm', 'int16, HU')
    """
    found = [Fact("Modality", volume.modality or "unknown")]
    if volume.kind == "labels":
        found.append(Fact("Kind", f"label map, classes named: {len(volume.classes)}"))
    found.append(Fact("Size", f"{_product(volume.spatial_shape)} {'pixels' if _is_plane(volume) else 'voxels'}"))
    found += _leading(volume)
    found += (
        [Fact("Spacing", "unknown: the file has no geometry")] if volume.geometry is None else _place(volume.geometry)
    )
    found.append(Fact("Values", ", ".join(filter(None, (_type(volume), volume.units)))))
    if volume.window is not None:
        low, high = volume.window
        found.append(Fact("Window in the file", f"{_number(low)} to {_number(high)}"))
    if volume.suv_factor is not None:
        found.append(Fact("SUVbw factor", _number(volume.suv_factor)))
    if volume.derivation:
        found.append(Fact("Derived", volume.derivation))
    return tuple(found)


def as_text(facts: Iterable[Fact]) -> str:
    """Return facts as lines of name, tab and value, which spreadsheets take as a table."""
    return "\n".join(f"{fact.name}\t{fact.value}" for fact in facts)


def _is_plane(volume: Volume) -> bool:
    return len(volume.spatial_shape) == 2


def _type(volume: Volume) -> str:
    return f"{volume.data.dtype}, colour" if volume.rgb else str(volume.data.dtype)


def _leading(volume: Volume) -> list[Fact]:
    """Return the length of each axis before the spatial ones, and the values along the first."""
    found = []
    for axis, count in zip(volume.axes, volume.data.shape, strict=False):
        found.append(Fact("Time points" if axis == "time" else axis.replace("_", " ").capitalize(), str(count)))
    times = volume.axis_values.get("time")
    if times is not None and len(times) > 1:
        steps = np.diff(times)
        even = np.allclose(steps, steps[0], rtol=1e-3)
        found.append(Fact("Time between", f"{_number(steps[0])} s" if even else "uneven"))
    shells = volume.axis_values.get("b_value")
    if shells is not None:
        found.append(Fact("b-values", ", ".join(_number(b) for b in np.unique(shells)) + " s/mm²"))
    return found


def _place(grid: Geometry) -> list[Fact]:
    """Return where and how a grid lies in the patient."""
    oblique = grid.obliquity_degrees
    tilt = "" if oblique < ALONG_THE_BODY_DEGREES else f", up to {oblique:.3g}° oblique"
    extent = [n * mm for n, mm in zip(grid.shape, grid.spacing, strict=True)]
    rows = "\n".join("  ".join(_number(value) for value in row) for row in grid.affine[:3])
    return [
        Fact("Spacing", f"{_product(grid.spacing)} mm"),
        Fact("Extent", f"{_product([round(mm, 3) for mm in extent])} mm"),
        Fact("Axes grow to", f"{', '.join(_WORDS[code] for code in grid.axcodes)} ({grid.axcodes}){tilt}"),
        Fact("First voxel (RAS mm)", _vector(grid.origin)),
        Fact("Affine (RAS mm)", rows),
    ]


_WORDS = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}


def _vector(values: NDArray[np.float64]) -> str:
    return ", ".join(_number(value) for value in values)


def _product(values: Iterable[float]) -> str:
    return " × ".join(_number(value) for value in values)


def _number(value: float) -> str:
    # Adding zero turns minus zero round.
    return f"{float(value) + 0.0:.9g}"
