"""How a series is listed: the same words in the series browser and on the command line."""

from dataclasses import dataclass

from napari_medseg.io.format import SeriesInfo

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """One listed volume, as text; empty where there is nothing to say."""

    series: str
    """Name, as in the layer list."""
    description: str
    modality: str
    size: str
    """Voxels along the spatial axes, the slices first."""
    spacing: str
    """mm between voxels, in the same order."""
    time_points: str
    warnings: str


HEADINGS = Row("Series", "Description", "Modality", "Size (z × y × x)", "Spacing (mm)", "Time points", "Warnings")


def row_of(info: SeriesInfo) -> Row:
    """Return how a volume is listed.

    Examples
    --------
    >>> from pathlib import Path
    >>> info = SeriesInfo("f9a1", "dicom", "MR 4", Path("study"), 600, (20, 30, 64, 64), (4, 3.5, 3.5), axes=("time",))
    >>> row = row_of(info)
    >>> row.series, row.size, row.spacing, row.time_points
    ('MR 4', '30 × 64 × 64', '4 × 3.5 × 3.5', '20')
    """
    spatial = info.shape[len(info.axes) : len(info.shape) - info.rgb]
    return Row(
        series=info.name,
        description=info.description,
        modality=info.modality or info.kind,
        size=_product(spatial),
        spacing=UNKNOWN if info.spacing is None else _product(info.spacing),
        time_points=", ".join(_steps(axis, n) for axis, n in zip(info.axes, info.shape, strict=False)),
        warnings=" ".join(info.warnings),
    )


def _product(numbers: tuple[float, ...]) -> str:
    return " × ".join(f"{number:.4g}" if isinstance(number, float) else str(number) for number in numbers)


def _steps(axis: str, count: int) -> str:
    """Return the length of a leading axis; of time, its number alone."""
    return str(count) if axis == "time" else f"{count} ({axis.replace('_', ' ')})"
