"""An image that was computed or converted, as a derived DICOM series with identifiers of its own."""

from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.out.description import derived_elements, pixel_elements, references, set_pixels
from napari_medseg.io.dicom.out.identity import (
    PATIENT,
    PLACE,
    SERIES,
    STUDY,
    anonymous,
    completed,
    copied,
    series_number,
    sign,
)
from napari_medseg.io.dicom.out.kinds import PT_UNITS, Kind, kind_of, picture
from napari_medseg.io.dicom.out.pixels import Scale, scale_of
from napari_medseg.io.dicom.out.placement import plane_elements, position_of, sliced, step_elements
from napari_medseg.io.dicom.out.source import Source, source_of
from napari_medseg.io.format import Written
from napari_medseg.volume import Geometry, Volume

NOBODY = "The image is not known to belong to a DICOM series, so the files belong to an anonymous patient of their own."


@dataclass(frozen=True, eq=False)
class Plan:
    """All that is known before the first slice is written."""

    volume: Volume
    """([step,] slice, row, column)."""
    grid: Geometry
    kind: Kind
    scale: Scale
    header: Dataset
    """Of the source, or of nobody."""
    source: Source | None


def write_series(volume: Volume, path: Path) -> Written:
    """Write an image slice by slice into a new folder, or to a file if it has one slice.

    Raises
    ------
    WriteError
        If DICOM has no place for the image; each message says why.
    """
    with source_of(volume, same_grid=False) if volume.source else nullcontext() as source:
        header = completed(source.headers) if source else anonymous()
        notes = () if source else (NOBODY,)
        if volume.geometry is None:
            return _write_picture(volume, path, header, source, notes)
        kind, assumed = kind_of(volume, header if source else None)
        placed, grid = sliced(volume, source)
        scale = scale_of(placed, from_zero=kind.modality == "PT")
        plan = Plan(placed, grid, kind, scale, header, source)
        _save(list(_datasets(plan)) if path.suffix else _datasets(plan), path, volume.name)
    return Written(placed, scale.error, (*notes, *assumed, *_rounded(volume, scale)))


def _save(datasets: "Iterator[Dataset] | list[Dataset]", path: Path, name: str) -> None:
    if isinstance(datasets, list):
        if len(datasets) > 1:
            raise WriteError(
                f"{name} has {len(datasets)} slices, and a DICOM series is a folder of files.",
                "Give a name without a suffix.",
            )
        datasets[0].save_as(path, enforce_file_format=True)
        return
    path.mkdir(parents=True)
    for number, dataset in enumerate(datasets, start=1):
        dataset.save_as(path / f"{number:05d}.dcm", enforce_file_format=True)


def _datasets(plan: Plan) -> Iterator[Dataset]:
    """Yield the files of a series, slice after slice of each step."""
    volume, grid = plan.volume, plan.grid
    template = _template(plan)
    steps = volume.data if volume.axes else volume.data[np.newaxis]
    begin = str(template.get("AcquisitionTime") or "")
    for step, values in enumerate(steps):
        timed = step_elements(volume, step, begin)
        for index in range(grid.shape[0]):
            dataset = sign(deepcopy(template), plan.kind.sop_class)
            dataset.update(timed)
            dataset.InstanceNumber = step * grid.shape[0] + index + 1
            dataset.ImagePositionPatient = position_of(grid, index)
            if plan.kind.modality == "PT":
                dataset.ImageIndex, dataset.NumberOfSlices = dataset.InstanceNumber, grid.shape[0]
            if plan.source is not None:
                dataset.update(references(plan.source, grid, index))
            set_pixels(dataset, plan.scale.stored(np.asarray(values[index])))
            yield dataset


def _template(plan: Plan) -> Dataset:
    """Return what all files of a series share."""
    volume, kind = plan.volume, plan.kind
    dataset = copied(plan.header, f"{PATIENT} {STUDY} {PLACE} {SERIES} {kind.keep}")
    kind.fill(dataset)
    dataset.update(plane_elements(plan.grid))
    dataset.update(derived_elements(volume, kind, plan.scale, plan.header))
    if kind.modality == "PT" and volume.units in PT_UNITS:
        dataset.Units = PT_UNITS[volume.units]
    dataset.Modality, dataset.SeriesInstanceUID = kind.modality, generate_uid(None)
    dataset.SeriesNumber = series_number(plan.header)
    dataset.update(pixel_elements(plan.scale.dtype, samples=1))
    return dataset


def _rounded(volume: Volume, scale: Scale) -> tuple[str, ...]:
    if not scale.error:
        return ()
    unit = f" {volume.units}" if volume.units else ""
    return (f"Values were rounded to 16 bits: they are off by at most {scale.error:.3g}{unit}.",)


def _write_picture(
    volume: Volume, path: Path, header: Dataset, source: Source | None, notes: tuple[str, ...]
) -> Written:
    """Write a picture without a place in the patient as a secondary capture."""
    data = np.asarray(volume.data)
    if volume.axes or len(volume.spatial_axes) != 2 or (volume.rgb and data.dtype != np.uint8):
        raise WriteError(
            f"{volume.name} has no place in the patient, so it is no DICOM series; a single picture could be written, "
            "in colours of 8 bits or in grey.",
            "Write it as .nrrd or .ome.tif.",
        )
    if volume.rgb:
        data = data[..., :3]
    small = data.dtype in (np.uint8, np.bool_)
    scale = Scale(np.dtype(np.uint8)) if small else scale_of(volume)
    kind = picture(volume, header if source else None)
    dataset = copied(header, f"{PATIENT} {STUDY} {SERIES}")
    kind.fill(dataset)
    dataset.update(derived_elements(volume, kind, scale, header))
    dataset.Modality, dataset.SeriesInstanceUID = kind.modality, generate_uid(None)
    dataset.SeriesNumber, dataset.InstanceNumber = series_number(header), 1
    dataset.Rows, dataset.Columns = data.shape[:2]
    dataset.update(pixel_elements(scale.dtype, samples=3 if volume.rgb else 1))
    if source is not None:
        dataset.update(references(source, None, 0))
    set_pixels(sign(dataset, kind.sop_class), scale.stored(data))
    _save([dataset] if path.suffix else iter([dataset]), path, volume.name)
    return Written(replace(volume, data=data), scale.error, (*notes, *_rounded(volume, scale)))
