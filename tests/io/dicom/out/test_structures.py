"""Structure sets that are written: the same voxels, at the same place, good DICOM by the word of others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from skimage.draw import polygon2mask

from napari_medseg import read, write
from napari_medseg.errors import WriteError
from napari_medseg.volume import LabelClass, Volume

Make = Callable[..., Volume]
Draw = Callable[[Volume], Volume]
NAME = "labels.rtstruct.dcm"


def beside_its_image(image: Volume, path: Path) -> Volume:
    """Return the label map that a structure set becomes in the folder of its series."""
    path.rename(image.source[0].parent / path.name)
    _, labels = read(image.source[0].parent)
    return labels


@pytest.mark.parametrize("degrees", [0.0, 12.0, 40.0])
def test_voxels_names_colours_and_values_come_back(ct: Make, labels_of: Draw, tmp_path: Path, degrees: float) -> None:
    image = ct(degrees)
    labels = labels_of(image)
    found = beside_its_image(image, write(labels, tmp_path / NAME, reference=image))
    np.testing.assert_array_equal(found.data, labels.data)
    assert found.geometry.matches(image.geometry, 1e-4)
    assert found.classes == labels.classes


def test_noise_with_holes_comes_back(ct: Make, tmp_path: Path) -> None:
    array = np.zeros((4, 30, 40), np.int16)
    image = ct(array=array)
    noise = np.random.default_rng(0).integers(0, 4, array.shape, np.uint8)
    found = beside_its_image(
        image, write(Volume(noise, image.geometry, kind="labels"), tmp_path / NAME, reference=image)
    )
    np.testing.assert_array_equal(found.data, noise)


def test_another_rasteriser_finds_the_voxels_on_the_slice_that_is_named(
    ct: Make, labels_of: Draw, tmp_path: Path
) -> None:
    image = ct(25.0)
    labels = labels_of(image)
    ds = dcmread(write(labels, tmp_path / NAME, reference=image))
    headers = {header.SOPInstanceUID: header for header in map(dcmread, image.source)}
    found = np.zeros(labels.data.shape, np.uint8)
    for region in ds.ROIContourSequence:
        for contour in region.get("ContourSequence", []):
            header = headers[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            right, down = np.reshape(header.ImageOrientationPatient, (2, 3))
            points = np.reshape(contour.ContourData, (-1, 3)) - np.array(header.ImagePositionPatient, float)
            np.testing.assert_allclose(points @ np.cross(right, down), 0, atol=1e-4)
            index = np.column_stack([points @ down, points @ right]) / np.array(header.PixelSpacing, float)
            mask = polygon2mask(labels.data.shape[1:], index)
            found[header.InstanceNumber - 1][mask] = region.ReferencedROINumber
    np.testing.assert_array_equal(found, labels.data)


def test_a_hole_is_part_of_its_contour(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct()
    ds = dcmread(write(labels_of(image), tmp_path / NAME, reference=image))
    ring = ds.ROIContourSequence[0].ContourSequence
    assert [contour.ContourGeometricType for contour in ring] == ["CLOSED_PLANAR"] * 2


def test_patient_study_and_references_are_those_of_the_series(
    ct: Make, labels_of: Draw, tmp_path: Path, strictly: Callable[[Path], Dataset]
) -> None:
    image = ct()
    ds = strictly(write(labels_of(image), tmp_path / NAME, reference=image))
    assert (ds.PatientName, ds.PatientID, ds.StudyInstanceUID) == ("Müller^Jörg", "SECRET-77", "1.2.3")
    assert [item.ROIName for item in ds.StructureSetROISequence] == ["liver", "Tumör, links", "right kidney"]
    assert [list(item.ROIDisplayColor) for item in ds.ROIContourSequence[:2]] == [[18, 52, 86], [254, 1, 169]]
    frame = ds.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == "1.2.3.8"
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == "1.2.3.4"
    assert len(series.ContourImageSequence) == 6


def test_contours_of_many_points_are_kept(ct: Make, tmp_path: Path) -> None:
    array = np.zeros((1, 120, 120), np.int16)
    image = ct(array=array)
    comb = np.zeros(array.shape, np.uint8)
    comb[0, 1:-1, 1:-1:2] = comb[0, 60] = 1
    found = beside_its_image(
        image, write(Volume(comb, image.geometry, kind="labels"), tmp_path / NAME, reference=image)
    )
    np.testing.assert_array_equal(found.data, comb)


def test_there_is_no_error_for_dciodvfy(
    ct: Make, labels_of: Draw, tmp_path: Path, errors_of: Callable[[Path], list[str]]
) -> None:
    image = ct()
    assert errors_of(write(labels_of(image), tmp_path / NAME, reference=image)) == []


def test_a_series_without_frame_of_reference_still_gets_its_contours_back(
    ct: Make, labels_of: Draw, tmp_path: Path
) -> None:
    image = ct(FrameOfReferenceUID=None)
    labels = labels_of(image)
    found = beside_its_image(image, write(labels, tmp_path / NAME, reference=image))
    np.testing.assert_array_equal(found.data, labels.data)


def test_refusals_say_what_to_do(ct: Make, labels_of: Draw, tmp_path: Path) -> None:
    image = ct()
    labels = labels_of(image)
    for volume, reference, words in (
        (labels, None, "not known to belong"),
        (replace(labels, data=np.zeros_like(labels.data)), image, "nothing to outline"),
        (replace(labels, classes=(LabelClass(value=3, name="a\\b"),)), image, "no backslash"),
    ):
        with pytest.raises(WriteError, match=words):
            write(volume, tmp_path / NAME, reference=reference)
    assert not (tmp_path / NAME).exists()
