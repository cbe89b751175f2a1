"""How an image is cut into the slices of a series, and where each of them lies."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.out.source import Source
from napari_medseg.io.grids import LPS_TO_RAS
from napari_medseg.io.orientation import as_block, onto_grid
from napari_medseg.volume import Geometry, Volume

UPRIGHT = {"S": "SPL", "I": "SPL", "A": "PIL", "P": "PIL", "R": "LIP", "L": "LIP"}
"""Directions of slices, rows and columns that a radiologist expects, by the direction of the slices."""
SKEW_MM = 1e-3
"""DICOM knows rows and columns at right angles only; a corner may be off by this much."""
CLOCK = "%H%M%S.%f"


def sliced(volume: Volume, source: Source | None) -> tuple[Volume, Geometry]:
    """Return an image as ([step,] slice, row, column) with its grid.

    Slices run as those of the source; without one they are the planes that the file held, stored upright.

    Raises
    ------
    WriteError
        If a series has no place for its axes, or rows and columns are not at right angles.
    """
    block = as_block(volume)
    if block.axes and block.data.shape[0] == 1 and len(block.axes) == 1:
        block = replace(block, data=block.data[0], axes=(), axis_values={})
    grid = block.geometry
    if grid is None or block.rgb or block.axes not in ((), ("time",), ("b_value",), ("repeat",)):
        raise WriteError(
            f"{volume.name}: a DICOM series holds one number per voxel, and times, b-values or repeats as one axis; "
            f"this image has {'colours' if block.rgb else f'the axes {block.axes}'}.",
            "Write its volumes one by one, or as .nrrd.",
        )
    same = None if source is None or source.grid is None else onto_grid(block, source.grid)
    if same is None:
        codes = None if source is None or source.grid is None else source.grid.axcodes
        target, _ = grid.reoriented(codes or UPRIGHT[grid.axcodes[grid.file_order[-1]]])
        same = onto_grid(block, target)
    if same is None or same.geometry is None:
        raise WriteError(f"{volume.name} cannot be cut into slices.", "Write it as .nii.gz.")
    _check_right_angles(volume.name, same.geometry)
    return same, same.geometry


def _check_right_angles(name: str, grid: Geometry) -> None:
    rows, columns = grid.direction[:, 1], grid.direction[:, 2]
    off = abs(float(rows @ columns)) * max(n * s for n, s in zip(grid.shape[1:], grid.spacing[1:], strict=True))
    if off > SKEW_MM:
        angle = float(np.degrees(np.arccos(np.clip(rows @ columns, -1, 1))))
        raise WriteError(
            f"{name}: its rows and columns meet at {angle:.2f} degrees, and DICOM knows right angles only.",
            "Resample it to a grid with right angles first, or write .nii.gz.",
        )


def plane_elements(grid: Geometry) -> Dataset:
    """Return what all slices of a grid share."""
    lps = LPS_TO_RAS @ grid.direction
    apart = abs(float(np.cross(lps[:, 2], lps[:, 1]) @ lps[:, 0])) * grid.spacing[0]
    dataset = Dataset()
    dataset.PixelSpacing = _texts(grid.spacing[1:])
    dataset.ImageOrientationPatient = _texts((*lps[:, 2], *lps[:, 1]))
    dataset.SliceThickness = dataset.SpacingBetweenSlices = format_number_as_ds(apart)
    dataset.Rows, dataset.Columns = grid.shape[1:]
    return dataset


def position_of(grid: Geometry, index: int) -> list[str]:
    """Return the position of the first pixel of a slice."""
    return _texts(LPS_TO_RAS @ (grid @ (index, 0, 0)))


def _texts(values: Any) -> list[str]:  # noqa: ANN401 - any numbers
    return [format_number_as_ds(float(value) + 0.0) for value in values]


def step_elements(volume: Volume, step: int, begin: str) -> Dataset:
    """Return what tells one step of a series from the others.

    Parameters
    ----------
    volume : Volume
        Its first axis is the time or the b-value, if it has an axis.
    step : int
        Number of the step, from 0.
    begin : str
        Time of day of the first step, as DICOM writes it; midnight if it is empty.
    """
    dataset = Dataset()
    if volume.axes == ("time",):
        dataset.TemporalPositionIdentifier, dataset.NumberOfTemporalPositions = step + 1, volume.data.shape[0]
        seconds = volume.axis_values.get("time")
        if seconds is not None:
            start = datetime.strptime(f"{begin or '000000'}{'' if '.' in begin else '.0'}", CLOCK)
            dataset.AcquisitionTime = f"{start + timedelta(seconds=float(seconds[step] - seconds[0])):{CLOCK}}"
    if volume.axes == ("repeat",):
        dataset.AcquisitionNumber = step + 1
    if volume.axes == ("b_value",):
        known = volume.axis_values
        if "b_value" not in known or "b_vector" not in known:
            raise WriteError(f"{volume.name} does not know its b-values and directions.", "Write it as .nrrd.")
        dataset.DiffusionBValue = float(known["b_value"][step])
        dataset.DiffusionGradientOrientation = [float(v) + 0.0 for v in LPS_TO_RAS @ known["b_vector"][step]]
    return dataset
