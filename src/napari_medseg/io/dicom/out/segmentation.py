"""A label map as a DICOM segmentation: one binary segment per class, on the grid of the series that it refers to."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, generate_uid

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.decode import MAKER
from napari_medseg.io.dicom.out.description import has_frames
from napari_medseg.io.dicom.out.identity import cleaned, completed, series_number, sign, software_version
from napari_medseg.io.dicom.out.source import Source, source_of
from napari_medseg.io.dicom.out.terms import term_of
from napari_medseg.io.dicom.segmentation import VALUE_ELEMENT, VALUE_GROUP, VALUE_OWNER
from napari_medseg.io.format import Written
from napari_medseg.io.grids import LPS_TO_RAS
from napari_medseg.io.orientation import as_block, onto_grid
from napari_medseg.volume import Geometry, LabelClass, Volume

LONGEST_NAME = 64
"""Characters of a DICOM label."""
NETWORK = Code("123110", "DCM", "Artificial Intelligence")


def write_segmentation(volume: Volume, path: Path) -> Written:
    """Write a label map that lies on the grid of its DICOM series to a new file.

    Raises
    ------
    WriteError
        If the series is unknown, has another grid, or the map has several steps or no class.
    """
    with source_of(volume, same_grid=True) as source:
        placed, grid = placed_on_source(volume, source)
        dataset = _segmentation(source, grid, placed)
    dataset.save_as(path, enforce_file_format=True)
    return Written(placed)


def placed_on_source(volume: Volume, source: Source) -> tuple[Volume, Geometry]:
    """Return a label map with the axes of its series, (slice, row, column), and the grid.

    Raises
    ------
    WriteError
        If the map has several steps, or no place in the patient.
    """
    if volume.axes:
        raise WriteError(f"{volume.name} has the axes {volume.axes}; DICOM labels have none.", "Write each step.")
    placed = None if source.grid is None else onto_grid(as_block(volume), source.grid)
    if placed is None or placed.geometry is None:
        raise WriteError(f"{volume.name} has no place in the patient.", "Write it as .nii.gz.")
    return placed, placed.geometry


def classes_in(volume: Volume) -> list[LabelClass]:
    """Return the named classes and those that occur without a name, in order of value, background left out.

    Raises
    ------
    WriteError
        If there is none, or a name does not fit into DICOM.
    """
    named = {label.value: label for label in volume.classes if label.value}
    present = set(np.unique(np.asarray(volume.data)).tolist()) - {0}
    if max(present, default=0) > 65535:
        raise WriteError(f"{volume.name} numbers {len(present)} objects, not classes.", "Write it as .nii.gz.")
    classes = named | {value: LabelClass(value=value, name=f"class {value}") for value in present - named.keys()}
    if not classes:
        raise WriteError(f"{volume.name} has no class and no labelled voxel.", "Name a class or paint first.")
    for label in classes.values():
        if len(label.name) > LONGEST_NAME or "\\" in label.name:
            raise WriteError(
                f"DICOM has no place for the class name {label.name!r}: at most {LONGEST_NAME} characters, no "
                "backslash.",
                "Rename the class.",
            )
    return [classes[value] for value in sorted(classes)]


def _segmentation(source: Source, grid: Geometry, placed: Volume) -> Dataset:
    labels, classes = np.asarray(placed.data), classes_in(placed)
    headers = source.headers
    completed(headers)
    if has_frames(headers[0]) and "SharedFunctionalGroupsSequence" not in headers[0]:
        raise WriteError(
            f"A segmentation cannot refer to the frames of this kind of {headers[0].get('Modality', 'image')} file.",
            "Write .rtstruct.dcm or .nii.gz.",
        )
    for header in headers:
        _please_highdicom(header, grid)
    numbers = np.zeros(max(int(labels.max()), classes[-1].value) + 1, np.uint16)
    for number, label in enumerate(classes, start=1):
        numbers[label.value] = number
    segments = numbers[labels]
    marked = _mark_ends(segments)
    # Many several-frame files cannot be named at once; those after the first are named beside it.
    first, rest = (headers[:1], headers[1:]) if has_frames(headers[0]) else (headers, [])
    with warnings.catch_warnings():
        # Of values in the source that break the rules of DICOM: they are the source's, and stay.
        warnings.simplefilter("ignore")
        dataset = hd.seg.Segmentation(
            first,
            segments,
            hd.seg.SegmentationTypeValues.BINARY,
            [_description(number, label, placed.derivation) for number, label in enumerate(classes, start=1)],
            generate_uid(None),
            series_number(headers[0]),
            generate_uid(None),
            1,
            MAKER,
            MAKER,
            software_version(),
            "1",
            content_label="SEGMENTATION",
            series_description="Segmentation",
            specific_character_set="ISO_IR 192",
            further_source_images=rest or None,
            **_place(grid),
        )
    _clear(dataset, [LPS_TO_RAS @ (grid @ (index, 0, 0)) for index in marked])
    return sign(cleaned(dataset), UID(dataset.SOPClassUID))


def _please_highdicom(header: Dataset, grid: Geometry) -> None:
    """Put into a header in memory what highdicom looks for there, although the planes are described to it."""
    shared = header.get("SharedFunctionalGroupsSequence")
    if not shared:
        header.SliceThickness = header.get("SliceThickness") or grid.spacing[0]
        return
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        own = header.PerFrameFunctionalGroupsSequence[0]
        if keyword not in shared[0] and keyword in own:
            shared[0].add(own[keyword])


def _place(grid: Geometry) -> dict[str, Any]:
    """Return where the planes lie, for highdicom."""
    lps = LPS_TO_RAS @ grid.affine[:3]
    rows, columns = lps[:, 1] / grid.spacing[1], lps[:, 2] / grid.spacing[2]
    patient = hd.CoordinateSystemNames.PATIENT
    apart = abs(float(np.cross(columns, rows) @ lps[:, 0]))
    return {
        "pixel_measures": hd.PixelMeasuresSequence(grid.spacing[1:], apart, apart),
        "plane_orientation": hd.PlaneOrientationSequence(patient, [*columns, *rows]),
        "plane_positions": [
            hd.PlanePositionSequence(patient, list(lps[:, 3] + lps[:, 0] * index)) for index in range(grid.shape[0])
        ],
    }


def _description(number: int, label: LabelClass, derivation: str) -> hd.seg.SegmentDescription:
    """Return the item of a segment: drawn with the help of this package, or made by what `derivation` tells."""
    term, kinds = term_of(label.name), hd.seg.SegmentAlgorithmTypeValues
    rgb = [int(label.color[start : start + 2], 16) for start in (1, 3, 5)]
    item = hd.seg.SegmentDescription(
        number,
        label.name,
        term.category,
        term.kind,
        kinds.AUTOMATIC if derivation else kinds.SEMIAUTOMATIC,
        hd.AlgorithmIdentificationSequence(derivation[:LONGEST_NAME] or MAKER, NETWORK, software_version()),
        display_color=hd.color.CIELabColor.from_rgb(*rgb),
    )
    if term.side is not None:
        side = hd.sr.CodedConcept.from_code(term.side)
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    if label.value != number:
        item.private_block(VALUE_GROUP, VALUE_OWNER, create=True).add_new(VALUE_ELEMENT, "US", label.value)
    return item


def _mark_ends(segments: NDArray[np.uint16]) -> list[int]:
    """Mark a voxel of segment 1 in the first and last slice where they are empty, and return these slices.

    Empty planes are left out of a file, and a reader would take the grid for smaller than it is.
    """
    empty = [index for index in dict.fromkeys((0, len(segments) - 1)) if not segments[index].any()]
    segments[empty, 0, 0] = 1
    return empty


def _clear(dataset: Dataset, positions: Sequence[NDArray[np.float64]]) -> None:
    """Take the marks in the planes at these positions out again, so that their frames stay, and are empty."""
    pixels = bytearray(dataset.PixelData)
    frames = dataset.PerFrameFunctionalGroupsSequence
    own = [index for index, frame in enumerate(frames) if _segment(frame, dataset) == 1]
    places = np.array([frames[index].PlanePositionSequence[0].ImagePositionPatient for index in own], dtype=float)
    for position in positions:
        nearest = int(np.linalg.norm(places - position, axis=1).argmin())
        bit = own[nearest] * dataset.Rows * dataset.Columns
        pixels[bit // 8] &= ~(1 << bit % 8) & 0xFF
    dataset.PixelData = bytes(pixels)


def _segment(frame: Dataset, dataset: Dataset) -> int:
    holder = frame if "SegmentIdentificationSequence" in frame else dataset.SharedFunctionalGroupsSequence[0]
    return int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
