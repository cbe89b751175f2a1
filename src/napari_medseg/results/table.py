"""Measures and scores as tables with units in their headings, for a layer's features and for CSV files."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from napari_medseg.errors import WriteError

Cell = str | int | float | None
Row = Mapping[str, Cell]


class Measures(BaseModel):
    """What was measured of one class. None is unknown, or undefined for a class that does not occur.

    Examples
    --------
    >>> Measures(value=1, name="liver", voxels=2000, size=1.5, components=1).row()["volume (ml)"]
    1.5
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    value: int
    """Number in the label map."""
    name: str
    planar: bool = False
    """Whether the label map is a plane, so that its size is an area."""
    unit: str | None = None
    """Unit of the intensities, empty if unknown; None if no image was measured."""
    voxels: int = 0
    components: int = 0
    """Connected parts; voxels that share a face, an edge or a corner are connected."""
    size: float | None = None
    """Volume in ml, or area in mm² for a plane; None without geometry."""
    mean: float | None = None
    sd: float | None = None
    """Standard deviation of a sample (divided by n - 1)."""
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    centroid_ras: tuple[float, ...] | None = None
    """Mean position in RAS+ mm."""
    low_ras: tuple[float, ...] | None = None
    """Least R, A and S in mm, to the edges of the voxels."""
    high_ras: tuple[float, ...] | None = None
    """Largest R, A and S in mm, to the edges of the voxels."""

    def row(self) -> dict[str, Cell]:
        """Return the measures by heading; headings name the unit."""
        size = "area (mm2)" if self.planar else "volume (ml)"
        row: dict[str, Cell] = {"value": self.value, "class": self.name, size: self.size}
        row["components"] = self.components
        if self.unit is not None:
            unit = f" ({self.unit})" if self.unit else ""
            numbers = {"mean": self.mean, "SD": self.sd, "min": self.minimum, "median": self.median}
            row |= {f"{name}{unit}": number for name, number in {**numbers, "max": self.maximum}.items()}
        row["voxels"] = self.voxels
        for words, place in (("centroid", self.centroid_ras), ("from", self.low_ras), ("to", self.high_ras)):
            values: Sequence[Cell] = place or (None, None, None)
            row |= {f"{words} {axis} (mm)": values[k] for k, axis in enumerate("RAS")}
        return row


def write_csv(rows: Sequence[Row], path: Path) -> Path:
    """Write rows of the same headings as a CSV file that spreadsheets open, and return its path.

    Parameters
    ----------
    rows : sequence of mapping
        Cells by heading; None is an empty cell, numbers keep nine digits.
    path : Path
        Overwritten; its folder is made.

    Raises
    ------
    WriteError
        If there is nothing to write, or the file cannot be written.
    """
    if not rows:
        raise WriteError("There is no class to write a table of.", "Choose labels that hold a class.")
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(headings)
            writer.writerows([_text(row.get(heading)) for heading in headings] for row in rows)
    except OSError as error:
        raise WriteError(f"{path} could not be written ({error.strerror}).", "Check the folder.") from error
    return path


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.9g}" if isinstance(cell, float) else str(cell)
