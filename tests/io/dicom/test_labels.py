"""Segmentations and structure sets become label maps on the grid of their image."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan


def segmentation_of(folder: Path, masks: list[np.ndarray], kind: str = "BINARY") -> Dataset:
    """Return a segmentation made by highdicom, an implementation of its own."""
    highdicom = pytest.importorskip("highdicom")
    code = highdicom.sr.CodedConcept("91723000", "SCT", "Anatomical structure")
    descriptions = [
        highdicom.seg.SegmentDescription(
            number + 1, f"organ {number + 1}", code, code, "MANUAL",
            display_color=highdicom.color.CIELabColor.from_rgb(255, 128 * number, 0),
        )
        for number in range(len(masks))
    ]  # fmt: skip
    sources = [dcmread(path) for path in folder.iterdir()]
    sources.sort(key=lambda ds: ds.InstanceNumber)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return highdicom.seg.Segmentation(
            sources, np.stack(masks, axis=-1).astype(np.uint8), kind, descriptions, "1.2.3.9", 9, "1.2.3.9.1", 1,
            "maker", "model", "1", "device",
        )  # fmt: skip


def with_patient(folder: Path) -> Path:
    for path in folder.iterdir():
        ds = dcmread(path)
        ds.FrameOfReferenceUID, ds.SliceThickness, ds.PatientSex, ds.PatientBirthDate = "1.2.3.8", 2.0, "", ""
        ds.StudyID = ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ""
        ds.save_as(path)
    return folder


def test_a_segmentation_is_a_label_map_on_the_grid_of_its_image(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = with_patient(write_series(phantom, phantoms.lps_affine((2, 1, 1), 12)))
    first, second = phantom > 150, (phantom > 0) & (phantom < 60)
    segmentation_of(folder, [first, second]).save_as(folder / "labels")
    image, labels = read(folder)
    assert labels.kind == "labels"
    assert [(label.value, label.name) for label in labels.classes] == [(1, "organ 1"), (2, "organ 2")]
    assert [label.color for label in labels.classes] == ["#ff0000", "#ff8000"]
    whole = np.zeros(phantom.shape, np.uint8)
    for k, j, i in np.argwhere(np.ones(labels.data.shape)):
        index = np.rint(image.geometry.to_index(labels.geometry @ (k, j, i))).astype(int)
        whole[tuple(index)] = labels.data[k, j, i]
    np.testing.assert_array_equal(whole, np.where(first, 1, np.where(second, 2, 0)))
    assert [entry.kind for entry in scan(folder)] == ["image", "labels"]


def test_overlapping_segments_come_apart(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = with_patient(write_series(phantom, phantoms.lps_affine((2, 1, 1))))
    outer, inner = phantom > -1000, phantom > 100
    path = folder.parent / "labels.dcm"
    segmentation_of(folder, [outer, inner]).save_as(path)
    first, second = read(path)
    assert (first.data == 1).sum() == outer.sum()
    assert (second.data == 2).sum() == inner.sum()
    assert "overlap" in first.warnings[0]


def test_a_fractional_segmentation_is_an_image_of_fractions(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = with_patient(write_series(phantom, phantoms.lps_affine((2, 1, 1))))
    path = folder.parent / "labels.dcm"
    segmentation_of(folder, [phantom > 100], "FRACTIONAL").save_as(path)
    (volume,) = read(path)
    assert volume.kind == "image"
    assert set(np.unique(volume.data)) <= {0.0, 1.0}
    assert (volume.data == 1).sum() == (phantom > 100).sum()


def square(affine: np.ndarray, k: int, low: float, high: float) -> list[float]:
    """Return the LPS points of a square in slice `k`, its corners at the row and column `low` and `high`."""
    corners = [(low, low), (low, high), (high, high), (high, low)]
    return [float(v) for row, column in corners for v in (affine @ (k, row, column, 1))[:3]]


def structure_set(phantoms: SimpleNamespace, regions: dict[str, list[list[float]]]) -> Dataset:
    ds = phantoms.slice_dataset(np.zeros((2, 2), np.uint8), Modality="RTSTRUCT", SeriesInstanceUID="1.2.3.7")
    del ds.PixelData
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    names, contours = [], []
    for number, (name, polygons) in enumerate(regions.items()):
        names.append(phantoms.item(ROINumber=number + 1, ROIName=name)[0])
        drawn = [
            phantoms.item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(p) // 3, ContourData=p)[0]
            for p in polygons
        ]
        given = {"ROIDisplayColor": [255, 0, 16], "ContourSequence": Sequence(drawn)}
        contours.append(phantoms.item(ReferencedROINumber=number + 1, **given)[0])
    ds.StructureSetROISequence, ds.ROIContourSequence = Sequence(names), Sequence(contours)
    return ds


def test_contours_become_labels_on_the_grid_of_their_image(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((2, 1, 1), 14)
    folder = write_series(phantom, affine)
    ring = [square(affine, 2, 0.5, 5.5), square(affine, 2, 1.5, 3.5)]
    regions = {"ring": ring, "dot": [square(affine, 4, 1.6, 2.4), square(affine, 9, 0, 3)]}
    phantoms.save(structure_set(phantoms, regions), folder / "structures")
    image, labels = read(folder)
    expected = np.zeros(phantom.shape, np.uint8)
    expected[2, 1:6, 1:6] = 1
    expected[2, 2:4, 2:4] = 0
    expected[4, 2, 2] = 2
    np.testing.assert_array_equal(labels.data, expected)
    assert labels.geometry == image.geometry
    assert [(label.name, label.color) for label in labels.classes] == [("ring", "#ff0010"), ("dot", "#ff0010")]
    assert "1 contours do not lie on a slice" in labels.warnings[0]
    assert [entry.kind for entry in scan(folder)] == ["image", "labels"]


def test_overlapping_regions_come_apart(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((2, 1, 1))
    folder = write_series(phantom, affine)
    regions = {"body": [square(affine, 1, 0.5, 5.5)], "organ": [square(affine, 1, 1.5, 3.5)]}
    phantoms.save(structure_set(phantoms, regions), folder / "structures")
    _, body, organ = read(folder)
    assert ((body.data == 1).sum(), (organ.data == 2).sum()) == (25, 4)


def test_contours_without_their_image_are_refused(phantoms: SimpleNamespace, tmp_path: Path) -> None:
    ds = structure_set(phantoms, {"a": [square(np.eye(4), 0, 0, 3)]})
    with pytest.raises(ReadError, match="RTSTRUCT"):
        read(phantoms.save(ds, tmp_path / "structures.dcm"))
