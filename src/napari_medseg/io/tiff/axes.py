"""Which axis of a TIFF series is space, colour or something else."""

from dataclasses import dataclass

from tifffile import PHOTOMETRIC, TiffPageSeries

from napari_medseg.errors import ReadError

NAMES = {"T": "time", "C": "channel", "S": "component"}
"""Names of leading axes by tifffile's letter."""
PAGES = "IQ"
"""Letters of an axis of which the file says nothing but that pages follow one another: they are taken as slices."""


@dataclass(frozen=True)
class Layout:
    """How the array of a series becomes ours."""

    order: tuple[int, ...]
    """Axes of the series in our order: leading, spatial, colour."""
    shape: tuple[int, ...]
    """After transposing, axes of length one that are neither y nor x left out."""
    names: tuple[str, ...]
    """Of the leading axes."""
    samples: bool
    """Whether the last axis is colour."""
    palette: bool
    """Whether values are numbers of colours."""
    calibrated_z: bool
    """Whether the first spatial axis is one that the file calls z."""

    @property
    def rgb(self) -> bool:
        """Whether the volume has a colour axis."""
        return self.samples or self.palette

    @property
    def spatial(self) -> int:
        """Number of spatial axes."""
        return len(self.shape) - len(self.names) - self.samples


def layout_of(series: TiffPageSeries, name: str) -> Layout:
    """Return the meaning of the axes of a series.

    Raises
    ------
    ReadError
        If it is no image: no rows and columns, or colours for printing.
    """
    axes, shape = series.axes, tuple(int(n) for n in series.shape)
    if "Y" not in axes or "X" not in axes or min(shape) < 1:
        raise ReadError(f"{name} has the axes {axes} {shape}: no image.", "Check the file.")
    page = series.keyframe
    if page.photometric in (PHOTOMETRIC.SEPARATED, PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB, PHOTOMETRIC.ITULAB):
        raise ReadError(f"{name} holds {PHOTOMETRIC(page.photometric).name} colours, for printing.", "Save it as RGB.")
    samples = (
        "S" in axes and shape[axes.index("S")] in (3, 4) and page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
    )
    palette = page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None and not page.is_imagej
    depth = _depth_axis(axes, shape)
    spatial = [*([] if depth is None else [depth]), axes.index("Y"), axes.index("X")]
    colour = [axes.index("S")] if samples else []
    # A vector's components come last of the leading axes, as in every format here.
    lead = sorted(
        (axis for axis in range(len(axes)) if axis not in (*spatial, *colour)), key=lambda axis: axes[axis] == "S"
    )
    kept = [axis for axis in lead if shape[axis] > 1]
    return Layout(
        (*lead, *spatial, *colour),
        tuple(shape[axis] for axis in (*kept, *spatial, *colour)),
        _names(axes, kept),
        samples,
        palette and not samples,
        depth is not None and axes[depth] == "Z",
    )


def _depth_axis(axes: str, shape: tuple[int, ...]) -> int | None:
    if "Z" in axes:
        axis = axes.index("Z")
    else:
        pages = [axis for axis, letter in enumerate(axes) if letter in PAGES]
        if not pages:
            return None
        axis = pages[-1]
    return axis if shape[axis] > 1 else None


def _names(axes: str, kept: list[int]) -> tuple[str, ...]:
    names: list[str] = []
    for axis in kept:
        name = NAMES.get(axes[axis], "frame")
        names.append(name if name not in names else f"{name}{len(names) + 1}")
    return tuple(names)
