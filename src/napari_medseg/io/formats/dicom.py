"""DICOM: folders, files, DICOMDIR and archives; every kind of image object."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_medseg.errors import ReadError
from napari_medseg.io.dicom.archive import is_archive_of_dicom, unpacked
from napari_medseg.io.dicom.convert import Conversion
from napari_medseg.io.dicom.decode import describe, volume_of
from napari_medseg.io.dicom.files import Found, found_in, is_dicom, places_at
from napari_medseg.io.dicom.out import write_dicom
from napari_medseg.io.dicom.out.identity import is_ours
from napari_medseg.io.dicom.parser import DicomFile
from napari_medseg.io.dicom.pixels import PixelFormat
from napari_medseg.io.dicom.scans import description_of, keep, recall
from napari_medseg.io.dicom.segmentation import describe_segmentation, is_segmentation, label_maps_of
from napari_medseg.io.dicom.series import Stack, stacks_of
from napari_medseg.io.dicom.structures import is_structure_set, label_maps_of_structures
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, info_of
from napari_medseg.volume import Volume


def can_read(path: Path) -> bool:
    """Return whether the path is a folder, a file that starts like DICOM, or an archive of such files."""
    if path.is_dir():
        return path.suffix.lower() != ".medvol"
    return is_dicom(path) or is_archive_of_dicom(path)


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return one volume per stack of slices, time series and the like as one volume with a leading axis.

    Segmentations and the contours of structure sets come as label maps, after the images.
    """
    if is_archive_of_dicom(path):
        with unpacked(path) as folder:
            # The folder is gone afterwards, so nothing can be left for later.
            volumes = read(folder, replace(options, memory_share=math.inf))
            return [replace(volume, source=(path,)) for volume in volumes]
    found = _of_wanted_series(path, options)
    segmentations = [file for file in found.files if is_segmentation(file)]
    stacks = _stacks(found, path, allow_none=bool(segmentations))
    volumes = [volume_of(stack, options) for stack in stacks if options.wants(stack.series_id)]
    for file in segmentations:
        volumes += [labels for labels in label_maps_of(file, options) if options.wants(labels.series_id or "")]
    volumes += [labels for labels in _structures(found, stacks) if options.wants(labels.series_id or "")]
    # Labels belong to an image that lies beside them.
    return [volume if volume.source else replace(volume, source=(path,)) for volume in volumes]


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return one entry per volume that `read` would return; of overlapping segments just one."""
    if is_archive_of_dicom(path):
        with unpacked(path) as folder:
            return [replace(info, path=path) for info in scan(folder, options)]
    places = places_at(path)
    record = recall(path, places) if path.is_dir() else None
    if record is not None:
        return record.infos(path, places)
    found = found_in(places, options)
    segmentations = [file for file in found.files if is_segmentation(file)]
    stacks = _stacks(found, path, allow_none=bool(segmentations))
    entries = [_info(stack, path) for stack in stacks]
    labels = [describe_segmentation(file) for file in segmentations] + _structures(found, stacks)
    if path.is_dir() and not found.damaged and all(map(_is_image, found.files)):
        files = [list(dict.fromkeys(frame.file for volume in stack.frames for frame in volume)) for stack in stacks]
        keep(path, places, list(zip(entries, files, strict=True)))
    return entries + [info_of(volume, path, FORMAT.name) for volume in labels]


def _of_wanted_series(path: Path, options: ReadOptions) -> Found:
    """Return the headers at a path, or only those of the series that is wanted if an earlier scan tells its files."""
    places = places_at(path)
    record = recall(path, places) if path.is_dir() and options.series is not None else None
    numbers = None if record is None else record.files_for(options)
    return found_in(places if numbers is None else [places[number] for number in numbers], options)


def _is_image(file: DicomFile) -> bool:
    return not is_segmentation(file) and not is_structure_set(file)


def _structures(found: Found, stacks: list[Stack]) -> list[Volume]:
    """Return the label maps of structure sets that were drawn on one of the images."""
    files = [file for file in found.files if is_structure_set(file)]
    return [labels for file in files for labels in label_maps_of_structures(file, stacks)]


def _stacks(found: Found, path: Path, *, allow_none: bool) -> list[Stack]:
    images = tuple(file for file in found.files if not is_segmentation(file))
    stacks = stacks_of(Found(images, () if allow_none else found.damaged))
    if stacks or allow_none:
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
        description=description_of(stack.first.file),
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
    write=write_dicom,
    written=("*.rtstruct.dcm", "*.seg.dcm", "*.dcm"),
    writes_folders=True,
    is_own_folder=is_ours,
)
