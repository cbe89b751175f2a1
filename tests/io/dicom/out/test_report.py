"""Measurement reports that are written: the boxes come back, and they are good DICOM by the word of others."""

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_medseg.errors import WriteError
from napari_medseg.io.dicom.out.report import Finder, write_report
from napari_medseg.io.dicom.report import boxes_of_report
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass, Volume

Make = Callable[..., Volume]
NODULE, CELL = LabelClass(value=4, name="nodule"), LabelClass(value=9, name="Odd cell")
FINDER = Finder("nodules", "0123abcd")


def boxes(*edges: object) -> Boxes:
    found = np.array(edges, float)
    return Boxes(found, np.array([4, 9])[: len(found)], np.array([0.75, 1.0])[: len(found)], (NODULE, CELL))


@pytest.mark.parametrize("degrees", [0.0, 12.0])
def test_boxes_of_a_volume_come_back(ct: Make, tmp_path: Path, degrees: float) -> None:
    image = ct(degrees)
    meant = boxes([[0, 1, 2], [2, 4.5, 6]], [[1.25, 0, 0], [3, 2, 3]])
    path = write_report(meant, image, tmp_path / "found.dcm", FINDER)
    found = boxes_of_report(path, image)
    np.testing.assert_allclose(found.edges, meant.edges, atol=1e-4)
    assert found.names == ("nodule", "Odd cell")
    assert found.scores.tolist() == [0.75, 1.0]


def test_what_another_reader_finds(ct: Make, tmp_path: Path, strictly: Callable[[Path], Dataset]) -> None:
    image = ct()
    path = write_report(boxes([[0, 1, 2], [2, 4.5, 6]], [[1, 0, 0], [3, 2, 3]]), image, tmp_path / "found.dcm", FINDER)
    report = hd.sr.srread(path)
    assert (report.PatientID, report.StudyInstanceUID) == ("SECRET-77", "1.2.3")
    assert (report.CompletionFlag, report.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    first, second = report.content.get_volumetric_roi_measurement_groups()
    sizes = {m.name.meaning: (m.value, m.unit.value) for m in first.get_measurements()}
    spacing = image.geometry.spacing
    for name, voxels, edge in zip(("Depth", "Height", "Width"), (2, 3.5, 4), spacing, strict=True):
        assert sizes[name] == (pytest.approx(voxels * edge, abs=1e-3), "mm")
    assert sizes["Certainty of Finding"] == (75, "%")
    assert first.finding_type.scheme_designator == "SCT"
    assert (second.finding_type.scheme_designator, second.finding_type.meaning) == ("99MEDSEG", "Odd cell")
    assert first.tracking_uid != second.tracking_uid
    assert first.tracking_identifier == "nodule 1"
    texts = {str(item.TextValue) for item in first[0].ContentSequence if item.ValueType == "TEXT"}
    assert {"nodules", "0123abcd"} <= texts, "it says what found the box"
    drawn = {str(item.TextValue) for item in second[0].ContentSequence if item.ValueType == "TEXT"}
    assert "nodules" not in drawn, "a person drew it"
    named = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in first[0].ContentSequence
             if item.ValueType == "IMAGE"}  # fmt: skip
    assert len(named) == 2
    surfaces = [item for item in first[0].ContentSequence if item.ValueType == "SCOORD3D"]
    assert len(surfaces) == 6
    assert {str(item.ReferencedFrameOfReferenceUID) for item in surfaces} == {"1.2.3.8"}
    strictly(path)


def test_there_is_no_error_for_dciodvfy(ct: Make, tmp_path: Path, errors_of: Callable[[Path], list[str]]) -> None:
    image = ct(SliceThickness="2")
    path = write_report(boxes([[0, 1, 2], [2, 4, 6]], [[1, 0, 0], [3, 2, 3]]), image, tmp_path / "found.dcm", FINDER)
    assert errors_of(path) == []


def test_rectangles_on_a_plane_are_in_pixels(
    ct: Make, phantom: np.ndarray, tmp_path: Path, errors_of: Callable[[Path], list[str]]
) -> None:
    image = ct(0.0, phantom[:1], SliceThickness="2")
    assert image.spatial_shape[0] == 1
    meant = boxes([[1, 2.5], [4, 6]])
    path = write_report(meant, image, tmp_path / "found.dcm", FINDER)
    np.testing.assert_allclose(boxes_of_report(path, image).edges, meant.edges, atol=1e-4)
    (group,) = hd.sr.srread(path).content.get_planar_roi_measurement_groups()
    corners = np.array(next(i for i in group[0].ContentSequence if i.ValueType == "SCOORD").GraphicData)
    assert sorted(set(corners.reshape(-1, 2)[:, 0].tolist())) == [2.5, 6], "columns first"
    assert errors_of(path) == []


def test_what_is_not_from_dicom_is_refused(ct: Make, tmp_path: Path) -> None:
    plain = Volume(np.zeros((4, 8, 8), np.uint8), None, name="scan")
    with pytest.raises(WriteError, match="not read from DICOM"):
        write_report(boxes([[0, 1, 2], [2, 4, 6]]), plain, tmp_path / "found.dcm")
    with pytest.raises(WriteError, match="no box"):
        write_report(Boxes.none(3, (NODULE,)), ct(), tmp_path / "found.dcm")
    assert not list(tmp_path.glob("found*"))
