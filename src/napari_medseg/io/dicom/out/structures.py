"""A label map as an RT structure set: closed planar contours on the slices of the series that it refers to."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from scipy.ndimage import find_objects

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.out.contours import outlines
from napari_medseg.io.dicom.out.description import reference_to
from napari_medseg.io.dicom.out.identity import PATIENT, PLACE, STUDY, completed, copied, series_number, sign
from napari_medseg.io.dicom.out.segmentation import classes_in, placed_on_source
from napari_medseg.io.dicom.out.source import Source, source_of
from napari_medseg.io.dicom.parser import parse
from napari_medseg.io.dicom.structures import label_maps_of_structures
from napari_medseg.io.format import Written
from napari_medseg.io.grids import LPS_TO_RAS
from napari_medseg.volume import Geometry, LabelClass, Volume

STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, which the standard names here for want of a better one."""


def write_structures(volume: Volume, path: Path) -> Written:
    """Write a label map that lies on the grid of its DICOM series to a new file.

    Raises
    ------
    WriteError
        If the series is unknown, has another grid, or the map has several steps or no class.
    """
    with source_of(volume, same_grid=True) as source:
        placed, grid = placed_on_source(volume, source)
        if not np.any(placed.data):
            raise WriteError(f"{volume.name} has no labelled voxel, so there is nothing to outline.", "Paint first.")
        dataset = _structure_set(source, placed, grid)
        stack = source.stack
    # The elements of Implicit VR have room for contours of more than 64 KiB.
    dataset.save_as(path, enforce_file_format=True)

    def read(written: Path) -> list[Volume]:
        file = parse(written)
        return [] if file is None else label_maps_of_structures(file, [stack])

    return Written(placed, read=read)


def _structure_set(source: Source, placed: Volume, grid: Geometry) -> Dataset:
    header = completed(source.headers)
    dataset = copied(header, f"{PATIENT} {STUDY} {PLACE}")
    sign(dataset, RTStructureSetStorage, ImplicitVRLittleEndian)
    now = datetime.now()
    dataset.Modality, dataset.SeriesInstanceUID = "RTSTRUCT", generate_uid(None)
    dataset.SeriesNumber, dataset.InstanceNumber = series_number(header), 1
    dataset.SeriesDescription, dataset.OperatorsName = "Structure set", ""
    dataset.StructureSetLabel = "SEGMENTATION"
    dataset.StructureSetDate, dataset.StructureSetTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source, header)]
    classes = classes_in(placed)
    dataset.StructureSetROISequence = [_region(label, header, placed.derivation) for label in classes]
    labels = np.asarray(placed.data)
    boxes = dict(enumerate(find_objects(labels.astype(np.int32, copy=False)), start=1))
    dataset.ROIContourSequence = [
        _contours(label, list(_drawn(label.value, labels, boxes.get(label.value), grid, source))) for label in classes
    ]
    dataset.RTROIObservationsSequence = [_observation(label) for label in classes]
    return dataset


def _frame_of_reference(source: Source, header: Dataset) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = header.SeriesInstanceUID
    series.ContourImageSequence = [reference_to(one, None) for one in source.headers]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = STUDY_CLASS, header.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    item = Dataset()
    item.FrameOfReferenceUID = header.FrameOfReferenceUID
    item.RTReferencedStudySequence = [study]
    return item


def _region(label: LabelClass, header: Dataset, derivation: str) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = label.value, label.name
    item.ReferencedFrameOfReferenceUID = header.FrameOfReferenceUID
    item.ROIGenerationAlgorithm = "AUTOMATIC" if derivation else "SEMIAUTOMATIC"
    if derivation:
        item.ROIGenerationDescription = derivation[:64]
    return item


def _observation(label: LabelClass) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = label.value
    item.RTROIInterpretedType = item.ROIInterpreter = ""
    return item


def _contours(label: LabelClass, drawn: list[Dataset]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = [int(label.color[start : start + 2], 16) for start in (1, 3, 5)]
    item.ReferencedROINumber = label.value
    if drawn:
        item.ContourSequence = drawn
    return item


def _drawn(
    value: int, labels: NDArray[np.unsignedinteger], box: tuple[slice, ...] | None, grid: Geometry, source: Source
) -> Iterator[Dataset]:
    """Yield the contours of a class, slice by slice of the box that holds all its voxels."""
    if box is None:
        return
    first = np.array([side.start for side in box])
    for index, mask in enumerate(labels[box] == value, start=int(first[0])):
        frame = source.frames_near(LPS_TO_RAS @ (grid @ np.array((index, 0, 0))), 0.0)[0]
        for polygon in outlines(mask):
            points = grid @ np.column_stack([np.full(len(polygon), index), polygon + first[1:]])
            item = Dataset()
            item.ContourImageSequence = [reference_to(source.header_of[frame.file], frame.index)]
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(points)
            item.ContourData = _texts(points @ LPS_TO_RAS)
            yield item


def _texts(points: NDArray[np.float64]) -> Sequence[str]:
    # A hundred-thousandth of a mm is far below what a voxel is; more digits make files of twice the size.
    return [f"{value:.5f}".rstrip("0").rstrip(".") for value in (points + 0.0).ravel()]
