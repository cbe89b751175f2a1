"""DICOM: folders, files, DICOMDIR and archives; every kind of image object."""

from pathlib import Path

import numpy as np

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.archive import is_archive_of_dicom, unpacked
from napari_medseg.io.dicom.convert import Conversion
from napari_medseg.io.dicom.decode import describe, volume_of
from napari_medseg.io.dicom.files import Found, find, is_dicom
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.dicom.series import Stack, stacks_of
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo
from napari_medseg.volume import Volume


def can_read(path: Path) -> bool:
    """Return whether the path is a folder, a file that starts like DICOM, or an archive of such files."""
    if path.is_dir():
        return path.suffix.lower() != ".medvol"
    return is_dicom(path) or is_archive_of_dicom(path)


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return one volume per stack of slices, time series and the like as one volume with a leading axis."""
    if is_archive_of_dicom(path):
        with unpacked(path) as folder:
            return read(folder, options)
    found = find(path, options)
    stacks = [stack for stack in _stacks(found, path) if options.wants(stack.series_id)]
    return [volume_of(stack, options) for stack in stacks]


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return one entry per volume that `read` would return."""
    if is_archive_of_dicom(path):
        with unpacked(path) as folder:
            return scan(folder, options)
    return [_info(stack, path) for stack in _stacks(find(path, options), path)]


def _stacks(found: Found, path: Path) -> list[Stack]:
    stacks = stacks_of(found)
    if stacks:
        return stacks
    kinds = sorted({file.elements.text("Modality") or "unknown" for file in found.files})
    if kinds:
        raise ReadError(
            f"{path.name} holds {len(found.files)} DICOM files but no image (modality {', '.join(kinds)}).",
            "Choose the folder of the images.",
        )
    raise ReadError(f"{path.name} holds no DICOM file.", "Choose a folder with DICOM files, or a single image file.")


def _info(stack: Stack, path: Path) -> SeriesInfo:
    conversion = Conversion(PixelFormat(stack.first.file))
    # One element stretched over the shape: no pixel is decoded and no memory taken.
    volume = describe(stack, np.broadcast_to(np.zeros((), np.uint8), stack.shape(rgb=conversion.rgb)))
    grid = volume.geometry
    return SeriesInfo(
        series_id=stack.series_id,
        format=FORMAT.name,
        name=stack.name,
        path=path,
        files=len({frame.file for frames in stack.frames for frame in frames}),
        shape=volume.data.shape,
        spacing=None if grid is None else grid.spacing,
        axcodes=None if grid is None else grid.axcodes,
        axes=volume.axes,
        modality=volume.modality,
        description=stack.first.file.elements.text("SeriesDescription") or "",
        rgb=volume.rgb,
        warnings=volume.warnings,
    )


FORMAT = Format(
    name="dicom",
    title="DICOM (folder, *.dcm, DICOMDIR, *.zip, *.tar.gz)",
    patterns=("*.dcm", "*.dicom", "*.ima", "dicomdir", "*.zip", "*.tar", "*.tar.gz", "*.tgz"),
    can_read=can_read,
    read=read,
    scan=scan,
)
