"""Boxes as a DICOM structured report: measurements of regions after TID 1500, in the study of the image they are on."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import highdicom as hd
import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, Comprehensive3DSRStorage, generate_uid

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.decode import MAKER
from napari_medseg.io.dicom.out.description import has_frames
from napari_medseg.io.dicom.out.identity import cleaned, completed, series_number, sign, software_version
from napari_medseg.io.dicom.out.source import Source, source_of
from napari_medseg.io.dicom.out.terms import Term, term_of
from napari_medseg.io.dicom.report import OWN_SCHEME, boxes_of_report
from napari_medseg.io.grids import LPS_TO_RAS
from napari_medseg.io.writing import replacing
from napari_medseg.prediction import Boxes
from napari_medseg.volume import Volume

if TYPE_CHECKING:
    from napari_medseg.io.dicom.frame import Frame

LONGEST = 64
"""Characters of a code's meaning and of a name."""
FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
"""Corners of a box, numbered by (slice, row, column) at their start or stop, around each of its six faces."""
EDGES = ((0, codes.SCT.Depth), (1, codes.cid7470.Height), (2, codes.SCT.Width))
"""Across slices, along columns, along rows."""
PIXELS = Code("{pixels}", "UCUM", "pixels")
PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
NETWORK = Code("123110", "DCM", "Artificial Intelligence")
TOLERANCE = 1e-3
"""Of an edge that is read again, in voxels: coordinates are 32-bit floats of mm."""


@dataclass(frozen=True)
class Finder:
    """The model that found boxes."""

    name: str
    version: str
    """What tells its weights from others, such as the beginning of their hash."""


def write_report(boxes: Boxes, volume: Volume, path: Path, finder: Finder | None = None) -> Path:
    """Write boxes on a DICOM image as a measurement report (TID 1500), read it again, and compare.

    In a volume each box is a group of volumetric measurements (TID 1411) with the six faces of the box in mm of the
    patient, on a plane one of planar measurements (TID 1410) with the rectangle in pixels. Each has a tracking
    identifier, its class as finding, its edges in mm, and references to the images that it is on. Boxes with a score
    below 1 are marked as found by an algorithm, with the score as certainty; others are a person's.

    Parameters
    ----------
    boxes : Boxes
        In voxels of the image; one at least.
    volume : Volume
        The image, as it was read from DICOM files that are still there.
    path : Path
        ``.dcm``.
    finder : Finder, optional
        What found the boxes with a score below 1.

    Raises
    ------
    WriteError
        If the image is not from DICOM, there is no box, or what was written reads otherwise.
    """
    check_source(volume)
    if not len(boxes):
        raise WriteError("There is no box to report.", "Lower the threshold, or accept or draw boxes.")
    if volume.axes:
        raise WriteError(f"{volume.name} has the axes {volume.axes}; a report is of one step.", "Open one step.")
    # Of values in the source that break the rules of DICOM: they are the source's, and references must name them.
    with disable_value_validation(), source_of(volume, same_grid=False) as source:
        dataset = _report(boxes, volume, source, finder)
        with replacing(path) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
            _check(boxes, boxes_of_report(temporary, volume), path)
    return path


def check_source(volume: Volume) -> None:
    """Raise unless an image was read from DICOM files.

    Raises
    ------
    WriteError
        If it was not.
    """
    if not volume.source:
        raise WriteError(
            f"{volume.name} was not read from DICOM files, and a DICOM report belongs to a DICOM study.",
            "Open the DICOM series itself, or write .csv or .json.",
        )


def _check(meant: Boxes, found: Boxes, path: Path) -> None:
    names = [_meaning(name) for name in meant.names]
    if found.edges.shape != meant.edges.shape or [*found.names] != names:
        raise WriteError(f"What was written to {path.name} has other boxes when it is read again.", "Write .csv.")
    off = max(np.abs(found.edges - meant.edges).max(), np.abs(found.scores - meant.scores).max())
    if off > TOLERANCE:
        raise WriteError(f"What was written to {path.name} is off by {off:.3g} voxels.", "Write .csv.")


def _report(boxes: Boxes, volume: Volume, source: Source, finder: Finder | None) -> Dataset:
    header = completed(source.headers)
    device = sr.DeviceObserverIdentifyingAttributes(generate_uid(None), MAKER, MAKER, MAKER)
    observer = sr.ObserverContext(codes.DCM.Device, device)
    groups = [_group(boxes, number, volume, source, finder) for number in range(len(boxes))]
    with warnings.catch_warnings():
        # Of values in the source that break the rules of DICOM: they are the source's, and stay.
        warnings.simplefilter("ignore")
        content = sr.MeasurementReport(sr.ObservationContext(observer), PROCEDURE, groups)
        dataset = sr.Comprehensive3DSR(
            source.headers, content, generate_uid(None), series_number(header), generate_uid(None), 1, MAKER,
            series_description="Detections",
        )  # fmt: skip
    return sign(cleaned(dataset), UID(Comprehensive3DSRStorage))


def _group(
    boxes: Boxes, number: int, volume: Volume, source: Source, finder: Finder | None
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations | sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    term, name = _term(boxes.names[number]), boxes.names[number]
    score = float(boxes.scores[number])
    who = finder or Finder("unnamed model", "unknown")
    told: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(generate_uid(None), f"{name[:LONGEST]} {number + 1}"),
        "finding_category": term.category,
        "finding_type": term.kind,
        "algorithm_id": None
        if score == 1
        else sr.AlgorithmIdentification(who.name[:LONGEST], who.version, [f"{MAKER} {software_version()}"], NETWORK),
        "measurements": [*_sizes(boxes, number, volume), *_certainty(score)],
    }
    if boxes.axes == 2:
        region = _rectangle(boxes.edges[number], volume, source)
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **told)
    surface = _surface(boxes.edges[number], volume, source)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_volume_surface=surface, **told)


def _term(name: str) -> Term:
    """Return the code of a class: of SNOMED CT where the name spells one, else one of our own scheme."""
    term = term_of(name)
    if term.kind != term.category:
        return Term(term.category, Code(term.kind.value, term.kind.scheme_designator, _meaning(name)), term.side)
    value = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:16] or "CLASS"
    return Term(codes.SCT.MorphologicallyAbnormalStructure, Code(value, OWN_SCHEME, _meaning(name)))


def _meaning(name: str) -> str:
    return name.replace("\\", "/")[:LONGEST]


def _sizes(boxes: Boxes, number: int, volume: Volume) -> Iterator[sr.Measurement]:
    known = volume.geometry is not None
    scale = np.array(volume.geometry.spacing)[-boxes.axes :] if volume.geometry is not None else 1.0
    lengths = boxes.sizes[number] * scale
    for (_axis, what), length in zip(EDGES[-boxes.axes :], lengths.tolist(), strict=True):
        yield sr.Measurement(what, round(length, 4), codes.UCUM.Millimeter if known else PIXELS)


def _certainty(score: float) -> Iterator[sr.Measurement]:
    if score < 1:
        yield sr.Measurement(codes.DCM.CertaintyOfFinding, round(100 * score, 6), codes.UCUM.Percent)


def _surface(edges: NDArray[np.float64], volume: Volume, source: Source) -> sr.VolumeSurface:
    """Return the six faces of a box in the patient, with the images between its first and its last slice."""
    if volume.geometry is None:
        raise WriteError(f"{volume.name} has no place in the patient.", "Write .csv or .json.")
    corners = np.array([[edges[k >> 2 & 1, 0], edges[k >> 1 & 1, 1], edges[k & 1, 2]] for k in range(8)])
    points = (volume.geometry @ (corners - 0.5)) @ LPS_TO_RAS
    faces = [points[[*face, face[0]]] for face in FACES]
    images = [
        sr.SourceImageForSegmentation(header.SOPClassUID, header.SOPInstanceUID, numbers)
        for header, numbers in _images(source, points)
    ]
    uid = str(source.headers[0].FrameOfReferenceUID)
    return sr.VolumeSurface(hd.sr.GraphicTypeValues3D.POLYGON, faces, uid, images)


def _images(source: Source, points_lps_mm: NDArray[np.float64]) -> list[tuple[Dataset, list[int] | None]]:
    """Return the files whose planes cross a box, or the nearest one, each with the numbers of its frames."""
    planes = [(frame, frame.plane) for frame in source.frames if frame.plane is not None]
    inside: list[Frame] = []
    for frame, plane in planes:
        away = (points_lps_mm - np.array(plane.position)) @ plane.normal
        if away.min() <= 0 <= away.max():
            inside.append(frame)
    frames = inside or source.frames_near(points_lps_mm.mean(axis=0), 0.0)
    found: dict[str, tuple[Dataset, list[int] | None]] = {}
    for frame in frames:
        header = source.header_of[frame.file]
        several = has_frames(header)
        known = found.setdefault(str(header.SOPInstanceUID), (header, [] if several else None))
        if known[1] is not None:
            known[1].append(frame.index + 1)
    return list(found.values())


def _rectangle(edges: NDArray[np.float64], volume: Volume, source: Source) -> sr.ImageRegion:
    """Return a rectangle on its image; DICOM counts (column, row) from the corner of the first pixel, as boxes do."""
    frame = source.frames[0]
    header = source.header_of[frame.file]
    numbers = [frame.index + 1] if has_frames(header) else None
    rows, columns = edges.T
    corners = np.array([[rows[a], columns[b]] for a, b in ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0))])
    if volume.geometry is not None and source.grid is not None:
        index = np.column_stack([np.zeros((5, volume.geometry.ndim - 2)), corners - 0.5])
        corners = source.grid.to_index(volume.geometry @ index)[:, -2:] + 0.5
    image = sr.SourceImageForRegion(header.SOPClassUID, header.SOPInstanceUID, numbers)
    return sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, corners[:, ::-1], image)
