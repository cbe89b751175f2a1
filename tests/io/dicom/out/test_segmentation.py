"""Segmentations that are written: exact, at their place, and good DICOM by the word of others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from napari_medseg import read, write
from napari_medseg.errors import WriteError
from napari_medseg.io.orientation import onto_grid
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.volume import Geometry, LabelClass, Volume

Make = Callable[..., Volume]
Draw = Callable[[Volume], Volume]


@pytest.mark.parametrize("degrees", [0.0, 12.0, 40.0])
def test_values_names_colours_and_grid_come_back(ct: Make, labels_of: Draw, tmp_path: Path, degrees: float) -> None:
    image = ct(degrees)
    labels = labels_of(image)
    (found,) = read(write(labels, tmp_path / "labels.dcm", reference=image))
    np.testing.assert_array_equal(found.data, labels.data)
    assert found.geometry.matches(image.geometry, 1e-4)
    assert found.classes == labels.classes
    assert found.kind == "labels"


def test_highdicom_sees_the_same_masks_at_the_same_places(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct(12.0)
    labels = labels_of(image)
    seg = hd.seg.segread(write(labels, tmp_path / "labels.dcm", reference=image))
    assert seg.segment_numbers == [1, 2, 3] if isinstance(seg.segment_numbers, list) else True
    for number, label in enumerate(labels.classes, start=1):
        description = seg.get_segment_description(number)
        assert description.segment_label == label.name
        volume = seg.get_volume(segment_numbers=[number], combine_segments=True)
        to_ras = np.diag([-1, -1, 1, 1]) @ volume.affine
        theirs = Volume((volume.array > 0).astype(np.uint8), Geometry(volume.array.shape, to_ras))
        placed = onto_grid(theirs, image.geometry)
        assert placed is not None
        np.testing.assert_array_equal(placed.data, labels.data == label.value)


def test_the_colour_is_the_one_that_highdicom_computes(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct()
    seg = dcmread(write(labels_of(image), tmp_path / "labels.dcm", reference=image))
    shown = [item.RecommendedDisplayCIELabValue for item in seg.SegmentSequence]
    assert shown[0] == list(hd.color.CIELabColor.from_rgb(0x12, 0x34, 0x56).value)


def test_patient_study_and_references_are_those_of_the_series(
    ct: Make, labels_of: Draw, tmp_path: Path, strictly: Callable[[Path], Dataset]
) -> None:
    image = ct()
    seg = strictly(write(labels_of(image), tmp_path / "labels.dcm", reference=image))
    headers = [dcmread(path) for path in image.source]
    assert (seg.PatientName, seg.PatientID, seg.PatientBirthDate) == ("Müller^Jörg", "SECRET-77", "19600102")
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID, seg.AccessionNumber) == ("1.2.3", "1.2.3.8", "77")
    assert seg.SeriesInstanceUID not in ("1.2.3.4", "")
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.4"
    named = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert named == {ds.SOPInstanceUID for ds in headers}
    places = {ds.SOPInstanceUID: ds.ImagePositionPatient for ds in headers}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        np.testing.assert_allclose(frame.PlanePositionSequence[0].ImagePositionPatient, places[source], atol=1e-6)


def test_segments_say_in_snomed_what_they_are(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct()
    seg = dcmread(write(labels_of(image), tmp_path / "labels.dcm", reference=image))
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in seg.SegmentSequence]
    assert [kind.CodeMeaning for kind in kinds] == ["Liver", "Tissue", "Kidney"]
    assert kinds[2].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"SEMIAUTOMATIC"}


def test_a_prediction_says_which_model_made_it(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct()
    drawn = labels_of(image)
    prediction = Prediction((LabelMap(np.asarray(drawn.data), drawn.classes),), image.geometry, "liver-net", "0" * 64)
    seg = dcmread(write(prediction, tmp_path / "labels.dcm", reference=image))
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"AUTOMATIC"}
    assert {item.SegmentAlgorithmName for item in seg.SegmentSequence} == {"predicted by liver-net"}


def test_there_is_no_error_for_dciodvfy(
    ct: Make, labels_of: Draw, tmp_path: Path, errors_of: Callable[[Path], list[str]]
) -> None:
    image = ct()
    assert errors_of(write(labels_of(image), tmp_path / "labels.dcm", reference=image)) == []


@pytest.mark.parametrize("axcodes", ["RAS", "LPI", "PSR", "IAL"])
def test_labels_in_any_order_of_axes_land_on_the_series(
    ct: Make, labels_of: Draw, tmp_path: Path, axcodes: str
) -> None:
    image = ct(8.0)
    labels = labels_of(image)
    target, _ = labels.geometry.reoriented(axcodes)
    turned = onto_grid(labels, target)
    (found,) = read(write(turned, tmp_path / "labels.dcm", reference=image))
    np.testing.assert_array_equal(onto_grid(found, image.geometry).data, labels.data)


def test_a_sagittal_series_gets_sagittal_frames(
    write_series: Callable[..., Path], phantom: np.ndarray, labels_of: Draw, tmp_path: Path
) -> None:
    affine = np.array([[3.0, 0, 0, 5], [0, 0, 0.8, 6], [0, -0.9, 0, 7], [0, 0, 0, 1]])
    (image,) = read(write_series(phantom, affine, FrameOfReferenceUID="1.2.3.8", SliceThickness=3))
    path = write(labels_of(image), tmp_path / "labels.dcm", reference=image)
    assert (dcmread(path).Rows, dcmread(path).Columns) == phantom.shape[1:]
    np.testing.assert_array_equal(read(path)[0].data, labels_of(image).data)


def test_a_tilted_gantry_keeps_its_shear(
    write_series: Callable[..., Path], phantom: np.ndarray, phantoms: SimpleNamespace, labels_of: Draw, tmp_path: Path
) -> None:
    affine = phantoms.lps_affine((2, 1, 1))
    affine[1, 0] = 0.7
    (image,) = read(write_series(phantom, affine, FrameOfReferenceUID="1.2.3.8", SliceThickness=2))
    assert "tilted" in image.warnings[0]
    (found,) = read(write(labels_of(image), tmp_path / "labels.dcm", reference=image))
    assert found.geometry.matches(image.geometry, 1e-4)
    np.testing.assert_array_equal(found.data, labels_of(image).data)


def test_one_slice_and_one_class_and_no_voxel(ct: Make, phantom: np.ndarray, tmp_path: Path) -> None:
    image = ct(array=phantom[:1])
    classes = (LabelClass(value=5, name="nothing"),)
    empty = Volume(np.zeros(image.spatial_shape, np.uint8), image.geometry, kind="labels", classes=classes)
    (found,) = read(write(empty, tmp_path / "labels.dcm", reference=image))
    assert (found.data.any(), found.classes, found.data.shape) == (False, classes, (1, 7, 8))


def test_a_value_without_a_name_gets_a_number_for_a_name(ct: Make, tmp_path: Path) -> None:
    image = ct()
    labels = np.zeros(image.spatial_shape, np.uint16)
    labels[2, 3, 4] = 300
    (found,) = read(write(Volume(labels, image.geometry, kind="labels"), tmp_path / "a.dcm", reference=image))
    np.testing.assert_array_equal(found.data, labels)
    assert [(label.value, label.name) for label in found.classes] == [(300, "class 300")]


def test_the_reference_may_be_a_folder_an_archive_or_what_the_labels_were_read_beside(
    ct: Make, labels_of: Draw, tmp_path: Path
) -> None:
    import shutil

    image = ct()
    folder = image.source[0].parent
    labels = labels_of(image)
    archive = Path(shutil.make_archive(str(tmp_path / "series"), "zip", folder))
    for reference in (folder, archive, read(archive)[0]):
        (found,) = read(write(labels, tmp_path / "labels.dcm", reference=reference))
        np.testing.assert_array_equal(found.data, labels.data)
    (tmp_path / "labels.dcm").rename(folder / "labels.dcm")
    beside = next(volume for volume in read(folder) if volume.kind == "labels")
    write(beside, tmp_path / "again.dcm")


def test_of_several_series_with_one_grid_the_one_is_taken_that_the_labels_are_of(
    write_series: Callable[..., Path], phantom: np.ndarray, phantoms: SimpleNamespace, labels_of: Draw, tmp_path: Path
) -> None:
    affine = phantoms.lps_affine((2, 1, 1))
    for uid, number in (("1.2.3.4", 1), ("1.2.3.5", 2)):
        given = {"SeriesInstanceUID": uid, "SeriesNumber": number, "FrameOfReferenceUID": "1.2.3.8"}
        folder = write_series(phantom, affine, **given)
    _, second = read(folder)
    seg = dcmread(write(labels_of(second), tmp_path / "a.dcm", reference=second))
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.5"
    with pytest.raises(WriteError, match="2 DICOM series: CT 1, CT 2"):
        write(labels_of(second), tmp_path / "b.dcm", reference=folder)


def test_a_series_with_steps_is_named_by_its_first(
    write_series: Callable[..., Path], phantom: np.ndarray, phantoms: SimpleNamespace, labels_of: Draw, tmp_path: Path
) -> None:
    affine = phantoms.lps_affine((2, 1, 1))
    for step in (1, 2):
        given = {"TemporalPositionIdentifier": step, "FrameOfReferenceUID": "1.2.3.8", "SliceThickness": 2}
        folder = write_series(phantom, affine, **given)
    (moving,) = read(folder)
    assert moving.data.shape == (2, 6, 7, 8)
    path = write(labels_of(moving), tmp_path / "labels.dcm", reference=moving)
    assert len(dcmread(path).ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 6
    np.testing.assert_array_equal(read(path)[0].data, labels_of(moving).data)
    with pytest.raises(WriteError, match=r"has the axes \('time',\)"):
        write(replace(moving, kind="labels", data=abs(moving.data)), tmp_path / "b.dcm")


def test_refusals_say_what_to_do(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct()
    labels = labels_of(image)
    shifted = replace(labels, geometry=labels.geometry.cropped((1, 0, 0), (7, 7, 8)))
    long = replace(labels, classes=(LabelClass(value=3, name="x" * 65),))
    empty = tmp_path / "empty"
    empty.mkdir()
    no_class = replace(labels, data=np.zeros_like(labels.data), classes=())
    for volume, reference, words in (
        (labels, None, "not known to belong.*--reference"),
        (shifted, image, r"does not lie on the grid .*\(6 x 7 x 8\)"),
        (replace(labels, geometry=None), image, "no place in the patient"),
        (long, image, "at most 64 characters"),
        (no_class, image, "no class and no labelled voxel"),
        (labels, empty, "no DICOM image"),
        (labels, tmp_path / "gone", "no longer where"),
    ):
        with pytest.raises(WriteError, match=words):
            write(volume, tmp_path / "labels.dcm", reference=reference)
    with pytest.raises(WriteError, match="one file"):
        write(labels, tmp_path / "labels", reference=image)
    assert not list(tmp_path.glob("labels*"))


def test_no_path_of_the_source_is_written_anywhere(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct()
    labels = replace(labels_of(image), source=image.source)
    for name in (
        "labels.nii",
        "labels.nrrd",
        "labels.mha",
        "labels.ome.tif",
        "labels.dcm",
        "labels.medvol/volume.json",
    ):
        path = tmp_path / name
        write(labels, path.parent if path.suffix == ".json" else path)
        assert str(image.source[0].parent).encode() not in path.read_bytes()
    assert str(image.source[0]) not in repr(image)
