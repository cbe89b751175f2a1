"""One plane of pixels with everything that decides where it goes: the common ground of all DICOM kinds."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.dicom.parser import DicomFile

Vector = tuple[float, ...]
Value = float | str | Vector | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a frame lies in the patient, in DICOM's LPS millimetres."""

    position: Vector
    """(3,) centre of the first pixel."""
    orientation: Vector
    """(6,) direction of increasing column index, then of increasing row index."""
    spacing: Vector
    """(2,) distance between rows, then between columns."""

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector from slice to slice, right-handed with columns and rows."""
        across = np.cross(self.orientation[:3], self.orientation[3:])
        return np.asarray(across / np.linalg.norm(across))


@dataclass(frozen=True, slots=True)
class Scale:
    """From stored numbers to values: ``stored * slope + intercept``."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def pair(self) -> tuple[float, float]:
        """Slope and intercept."""
        return self.slope, self.intercept


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One plane of pixels in a file."""

    file: DicomFile
    index: int
    """Number of the frame in its file, from 0."""
    rows: int
    columns: int
    plane: Plane | None
    """None if the file does not say where the frame lies."""
    apart: tuple[Value, ...]
    """Frames that differ in this never share a volume: series, size, echo, image type, ..."""
    scale: Scale = Scale()
    echo: float = 0.0
    """Echo time in ms; frames of other echoes never share a volume."""
    window: tuple[float, float] | None = None
    label: str = ""
    """What tells this volume from others of its series, for its name, such as ``"echo 2"``."""
    thickness: float | None = None
    """Slice thickness in mm."""
    step: float | None = None
    """Distance between slices in mm that the header claims."""
    steps: dict[str, Value] = field(default_factory=dict)
    """What may tell frames at one position apart: time, b-value, ..., by name."""
    tile: tuple[int, int] | None = None
    """First row and column in the stored frame, for one tile of a mosaic."""

    @property
    def order(self) -> tuple[float, int]:
        """Position in the order of acquisition, as far as it is known."""
        return self.file.elements.number("InstanceNumber") or 0.0, self.index


def plane_of(position: Vector | None, orientation: Vector | None, spacing: Vector | None) -> Plane | None:
    """Return the plane, or None unless all three are there and usable.

    Directions are scaled to unit length and the second one made perpendicular to the first: headers round.
    """
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        return None
    directions = _directions(orientation)
    return None if directions is None else Plane(position, directions, spacing)


@lru_cache(1 << 10)
def _directions(orientation: Vector) -> Vector | None:
    """Return unit directions at right angles; None if those of the header are no directions."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.5 or max(lengths) > 2:
        return None
    row = row / lengths[0]
    column = column / lengths[1]
    if abs(float(row @ column)) > 0.1:
        return None
    column = column - row * (row @ column)
    column = column / np.linalg.norm(column)
    return (*map(float, row), *map(float, column))
