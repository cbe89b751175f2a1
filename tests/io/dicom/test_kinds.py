"""Enhanced multi-frame, mosaics, dose grids, PET, segmentations, DICOMDIR and archives."""

import shutil
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def item(**elements: Any) -> Sequence:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return Sequence([ds])


def enhanced(
    phantoms: SimpleNamespace, frames: np.ndarray, groups: list[dict[str, Any]], shared: dict[str, Any]
) -> Any:
    ds = phantoms.slice_dataset(frames, Modality="MR", NumberOfFrames=len(frames))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    ds.SharedFunctionalGroupsSequence = item(**shared)
    ds.PerFrameFunctionalGroupsSequence = Sequence([item(**group)[0] for group in groups])
    return ds


def test_enhanced_frames_are_sorted_into_steps_with_their_own_slopes(
    tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((3.0, 0.7, 0.9), 17)
    where = phantoms.plane_elements(affine, 0)
    shared = {
        "PlaneOrientationSequence": item(ImageOrientationPatient=where["ImageOrientationPatient"]),
        "PixelMeasuresSequence": item(PixelSpacing=where["PixelSpacing"], SliceThickness=3.0),
    }
    frames, groups = [], []
    for step in (1, 0):
        for k in np.random.default_rng(step).permutation(6):
            place = phantoms.plane_elements(affine, int(k))["ImagePositionPatient"]
            frames.append(phantom[k])
            groups.append(
                {
                    "PlanePositionSequence": item(ImagePositionPatient=place),
                    "FrameContentSequence": item(TemporalPositionIndex=step + 1),
                    "PixelValueTransformationSequence": item(
                        RescaleSlope=0.5 + step, RescaleIntercept=float(k), RescaleType="US"
                    ),
                }
            )
    path = phantoms.save(enhanced(phantoms, np.array(frames), groups, shared), tmp_path / "enhanced.dcm")
    (volume,) = read(path)
    assert volume.axes == ("time",)
    for step in range(2):
        np.testing.assert_allclose(volume.data[step], phantom * (0.5 + step) + np.arange(6)[:, None, None])
    np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ affine, atol=1e-6)
    assert scan(path)[0].shape == volume.data.shape


def test_enhanced_diffusion_keeps_its_gradients(tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray) -> None:
    affine = phantoms.lps_affine((3.0, 1.0, 1.0))
    where = phantoms.plane_elements(affine, 0)
    shared = {
        "PlaneOrientationSequence": item(ImageOrientationPatient=where["ImageOrientationPatient"]),
        "PixelMeasuresSequence": item(PixelSpacing=where["PixelSpacing"], SliceThickness=3.0),
    }
    gradients = [(0.0, None), (800.0, [0.0, 0.0, 1.0])]
    groups = []
    for b, direction in gradients:
        for k in range(6):
            diffusion: dict[str, Any] = {"DiffusionBValue": b}
            if direction:
                diffusion["DiffusionGradientDirectionSequence"] = item(DiffusionGradientOrientation=direction)
            place = phantoms.plane_elements(affine, k)["ImagePositionPatient"]
            groups.append(
                {
                    "PlanePositionSequence": item(ImagePositionPatient=place),
                    "MRDiffusionSequence": item(**diffusion),
                }
            )
    frames = np.concatenate([phantom, phantom + 1000])
    (volume,) = read(phantoms.save(enhanced(phantoms, frames, groups, shared), tmp_path / "diffusion.dcm"))
    np.testing.assert_array_equal(volume.data, [phantom, phantom + 1000])
    np.testing.assert_array_equal(volume.axis_values["b_value"], [0, 800])
    np.testing.assert_array_equal(volume.axis_values["b_vector"], [[0, 0, 0], [0, 0, 1]])


def csa(count: int, normal: np.ndarray) -> bytes:
    """Return a Siemens CSA header (version 2) with what a mosaic needs."""
    out = b"SV10\4\3\2\1" + struct.pack("<II", 2, 77)
    values = {"NumberOfImagesInMosaic": [str(count)], "SliceNormalVector": [f"{v:.8f}" for v in normal]}
    for name, texts in values.items():
        out += struct.pack("<64si4siii", name.encode(), len(texts), b"IS", 6, len(texts), 77)
        for text in texts:
            data = text.encode() + b"\0"
            out += struct.pack("<4i", len(data), len(data), 77, len(data)) + data + b"\0" * (-len(data) % 4)
    return out


def test_a_mosaic_is_cut_into_its_slices(tmp_path: Path, phantoms: SimpleNamespace) -> None:
    slices = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)
    picture = np.zeros((12, 18), np.uint16)
    for number, plane in enumerate(slices):
        row, column = number // 3 * 4, number % 3 * 6
        picture[row : row + 4, column : column + 6] = plane
    affine = phantoms.lps_affine((3.0, 2.0, 1.5), 20)
    elements = phantoms.plane_elements(affine, 0)
    # The header gives the corner of one slice as large as the whole picture, centred on the true first slice.
    corner = affine @ (0, -(12 - 4) / 2, -(18 - 6) / 2, 1)
    elements["ImagePositionPatient"] = [f"{v:.9g}" for v in corner[:3]]
    ds = phantoms.slice_dataset(
        picture, Modality="MR", Manufacturer="SIEMENS", SpacingBetweenSlices=3.0,
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], **elements,
    )  # fmt: skip
    block = ds.private_block(0x29, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa(5, affine[:3, 0] / 3.0))
    (volume,) = read(phantoms.save(ds, tmp_path / "mosaic.dcm"))
    np.testing.assert_array_equal(volume.data, slices)
    np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ affine, atol=1e-5)
    del ds[0x00291010]
    with pytest.raises(ReadError, match="how many slices"):
        read(phantoms.save(ds, tmp_path / "mosaic.dcm"))


def test_a_dose_grid_is_scaled_and_placed(tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray) -> None:
    affine = phantoms.lps_affine((2.5, 1.0, 1.0))
    ds = phantoms.slice_dataset(
        phantom.astype(np.uint16) + 100, Modality="RTDOSE", NumberOfFrames=6, DoseGridScaling=0.01, DoseUnits="GY",
        GridFrameOffsetVector=[2.5 * k for k in range(6)], **phantoms.plane_elements(affine, 0),
    )  # fmt: skip
    (volume,) = read(phantoms.save(ds, tmp_path / "dose.dcm"))
    np.testing.assert_allclose(volume.data, (phantom.astype(np.uint16) + 100) * 0.01, rtol=1e-6)
    np.testing.assert_allclose(volume.geometry.affine, TO_RAS @ affine, atol=1e-6)
    assert volume.units == "Gy"


def pet(write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray, **changes: Any) -> Any:
    drug = {"RadionuclideTotalDose": 370e6, "RadionuclideHalfLife": 6586.2, "RadiopharmaceuticalStartTime": "110000"}
    elements = {
        "Modality": "PT", "Units": "BQML", "CorrectedImage": ["ATTN", "DECY"], "DecayCorrection": "START",
        "PatientWeight": 70.0, "SeriesTime": "120000", "AcquisitionTime": "120500",
        "RadiopharmaceuticalInformationSequence": item(**drug),
    }  # fmt: skip
    return read(write_series(phantom, phantoms.lps_affine((2, 1, 1)), **{**elements, **changes}))[0]


def test_pet_knows_its_factor_to_suv(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    volume = pet(write_series, phantoms, phantom)
    assert volume.units == "Bq/ml"
    assert volume.suv_factor == pytest.approx(70000 / (370e6 * 2 ** (-3600 / 6586.2)))
    np.testing.assert_array_equal(volume.data, phantom)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PatientWeight": None}, "weight, dose or half-life is missing"),
        ({"CorrectedImage": ["ATTN"]}, "decay is not corrected"),
        ({"Units": "PROPCPS"}, "unit is PROPCPS"),
        ({"SeriesTime": None, "AcquisitionTime": None}, "time of injection or scan is missing"),
    ],
)
def test_pet_without_what_suv_needs_says_so(
    write_series: Callable[..., Path],
    phantoms: SimpleNamespace,
    phantom: np.ndarray,
    changes: dict[str, Any],
    reason: str,
) -> None:
    volume = pet(write_series, phantoms, phantom, **changes)
    assert volume.suv_factor is None
    assert any(reason in note for note in volume.warnings)


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


@pytest.fixture
def series(write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray) -> Path:
    study = {
        "PatientBirthDate": "",
        "StudyID": "1",
        "StudyDate": "20200101",
        "StudyTime": "1200",
        "AccessionNumber": "",
    }
    return write_series(phantom, phantoms.lps_affine((2, 1, 1), 5), **study)


def write_media(files: list[Path], folder: Path) -> None:
    media = FileSet()
    for path in files:
        media.add(path)
    media.write(folder)
    media._stage["t"].cleanup()


def test_a_dicomdir_gives_the_files_that_it_lists(tmp_path: Path, series: Path, phantom: np.ndarray) -> None:
    write_media(list(series.iterdir()), tmp_path / "media")
    stray = tmp_path / "media" / "stray"
    shutil.copy(next(series.iterdir()), stray)
    for entry in (tmp_path / "media" / "DICOMDIR", tmp_path / "media"):
        volumes = read(entry)
        assert len(volumes) == 1
        np.testing.assert_array_equal(volumes[0].data, phantom)


def test_a_dicomdir_cannot_lead_out_of_its_folder(
    tmp_path: Path, series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    write_media([next(series.iterdir())], tmp_path / "media")
    directory = dcmread(tmp_path / "media" / "DICOMDIR")
    shutil.copy(next(series.iterdir()), tmp_path / "SECRET")
    for record in directory.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = ["..", "SECRET"]
            # A link to itself: a walk along the links would never end.
            record.OffsetOfTheNextDirectoryRecord = record.seq_item_tell or 400
    directory.save_as(tmp_path / "media" / "DICOMDIR")
    with pytest.raises(ReadError, match="no DICOM file"):
        read(tmp_path / "media" / "DICOMDIR")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_archives_are_read_without_unpacking_by_name(
    tmp_path: Path, series: Path, phantom: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"study{suffix}"
    names = {f"../../{number}/x": file for number, file in enumerate(series.iterdir())}
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, file in names.items():
                archive.write(file, name)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, file in names.items():
                tar.add(file, name)
    before = set(tmp_path.parent.rglob("*"))
    (volume,) = read(path)
    np.testing.assert_array_equal(volume.data, phantom)
    assert {entry.name for entry in set(tmp_path.parent.rglob("*")) - before} <= set()
    assert scan(path)[0].shape == phantom.shape


def test_files_that_are_no_images_are_named(tmp_path: Path, phantoms: SimpleNamespace) -> None:
    ds = phantoms.slice_dataset(np.zeros((2, 2), np.uint8), Modality="SR")
    del ds.PixelData
    phantoms.save(ds, tmp_path / "study" / "report")
    with pytest.raises(ReadError, match=r"1 DICOM files but no image \(modality SR\)"):
        read(tmp_path / "study")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match="no DICOM file"):
        read(tmp_path / "empty")
    with pytest.raises(ReadError, match="no file or folder"):
        read(tmp_path / "absent")
