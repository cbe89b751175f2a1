"""Boxes of measurement reports (TID 1500), on the grid of the image that they are about."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from napari_medseg.errors import ReadError
from napari_medseg.io.grids import LPS_TO_RAS
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass, Volume

OWN_SCHEME = "99MEDSEG"
"""Coding scheme of classes that SNOMED CT has no word for."""
GROUP, FINDING, CERTAINTY = ("125007", "DCM"), ("121071", "DCM"), ("111012", "DCM")
REPORT = ("126000", "DCM")


def boxes_of_report(path: Path, volume: Volume) -> Boxes:
    """Return the boxes around the regions of a measurement report.

    Parameters
    ----------
    path : Path
        A structured report with groups of measurements, ours or of others.
    volume : Volume
        The image; places in the patient become voxels of its grid, and rectangles in pixels are for planes.

    Returns
    -------
    Boxes
        Classes are numbered in the order of their names. The certainty of a finding is its score, or 1.

    Raises
    ------
    ReadError
        If it is no such report, or has no region that fits the image.
    """
    dataset = dcmread(path, force=True)
    title = _code(dataset.get("ConceptNameCodeSequence"))
    if title != REPORT and dataset.get("Modality") != "SR":
        raise ReadError(f"{path.name} is no DICOM structured report.", "Choose a measurement report.")
    found = []
    for group in _groups(dataset):
        edges = _edges(group, volume)
        if edges is not None:
            found.append((_finding(group), edges, _certainty(group)))
    if not found:
        raise ReadError(f"{path.name} has no region on this image.", "Open the image that it is about.")
    classes = tuple(LabelClass(value=k, name=name) for k, name in enumerate(sorted({n for n, _, _ in found}), start=1))
    value = {c.name: c.value for c in classes}
    return Boxes(
        np.array([edges for _n, edges, _s in found]),
        np.array([value[name] for name, _e, _s in found], np.int64),
        np.array([score for _n, _e, score in found]),
        classes,
    )


def _groups(item: Dataset) -> list[Dataset]:
    """Return the groups of measurements in the tree of a report."""
    found = []
    for child in item.get("ContentSequence", []):
        if _code(child.get("ConceptNameCodeSequence")) == GROUP:
            found.append(child)
        else:
            found += _groups(child)
    return found


def _edges(group: Dataset, volume: Volume) -> NDArray[np.float64] | None:
    """Return the (2, axes) edges of the smallest box around all that a group outlines."""
    points = [np.array(item.GraphicData, float) for item in group.ContentSequence if item.ValueType == "SCOORD3D"]
    if points and volume.geometry is not None:
        index = volume.geometry.to_index(np.concatenate([p.reshape(-1, 3) for p in points]) @ LPS_TO_RAS) + 0.5
        return np.stack([index.min(axis=0), index.max(axis=0)])
    flat = [np.array(item.GraphicData, float) for item in group.ContentSequence if item.ValueType == "SCOORD"]
    if not flat or (volume.geometry is not None and volume.geometry.shape[0] > 1 and volume.geometry.ndim == 3):
        return None
    corners = np.concatenate([p.reshape(-1, 2) for p in flat])[:, ::-1]
    # The array of a plane may be a transposed view of the rows and columns of the file.
    if volume.geometry is not None and volume.geometry.file_order[0] == volume.geometry.ndim - 2:
        corners = corners[:, ::-1]
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _finding(group: Dataset) -> str:
    for item in group.ContentSequence:
        if item.ValueType == "CODE" and _code(item.get("ConceptNameCodeSequence")) == FINDING:
            return str(item.ConceptCodeSequence[0].CodeMeaning)
    return "finding"


def _certainty(group: Dataset) -> float:
    for item in group.ContentSequence:
        if item.ValueType == "NUM" and _code(item.get("ConceptNameCodeSequence")) == CERTAINTY:
            return float(item.MeasuredValueSequence[0].NumericValue) / 100
    return 1.0


def _code(sequence: "list[Dataset] | None") -> tuple[str, str]:
    first = sequence[0] if sequence else Dataset()
    return str(first.get("CodeValue", "")), str(first.get("CodingSchemeDesignator", ""))
