"""Enhanced multi-frame, mosaics, dose grids and PET."""

import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sequence import Sequence

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def enhanced(
    phantoms: SimpleNamespace, frames: np.ndarray, groups: list[dict[str, Any]], shared: dict[str, Any]
) -> Any:
    ds = phantoms.slice_dataset(frames, Modality="MR", NumberOfFrames=len(frames))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    ds.SharedFunctionalGroupsSequence = phantoms.item(**shared)
    ds.PerFrameFunctionalGroupsSequence = Sequence([phantoms.item(**group)[0] for group in groups])
    return ds


def test_enhanced_frames_are_sorted_into_steps_with_their_own_slopes(
    tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((3.0, 0.7, 0.9), 17)
    where = phantoms.plane_elements(affine, 0)
    shared = {
        "PlaneOrientationSequence": phantoms.item(ImageOrientationPatient=where["ImageOrientationPatient"]),
        "PixelMeasuresSequence": phantoms.item(PixelSpacing=where["PixelSpacing"], SliceThickness=3.0),
    }
    frames, groups = [], []
    for step in (1, 0):
        for k in np.random.default_rng(step).permutation(6):
            place = phantoms.plane_elements(affine, int(k))["ImagePositionPatient"]
            frames.append(phantom[k])
            groups.append(
                {
                    "PlanePositionSequence": phantoms.item(ImagePositionPatient=place),
                    "FrameContentSequence": phantoms.item(TemporalPositionIndex=step + 1),
                    "PixelValueTransformationSequence": phantoms.item(
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
        "PlaneOrientationSequence": phantoms.item(ImageOrientationPatient=where["ImageOrientationPatient"]),
        "PixelMeasuresSequence": phantoms.item(PixelSpacing=where["PixelSpacing"], SliceThickness=3.0),
    }
    gradients = [(0.0, None), (800.0, [0.0, 0.0, 1.0])]
    groups = []
    for b, direction in gradients:
        for k in range(6):
            diffusion: dict[str, Any] = {"DiffusionBValue": b}
            if direction:
                diffusion["DiffusionGradientDirectionSequence"] = phantoms.item(DiffusionGradientOrientation=direction)
            place = phantoms.plane_elements(affine, k)["ImagePositionPatient"]
            groups.append(
                {
                    "PlanePositionSequence": phantoms.item(ImagePositionPatient=place),
                    "MRDiffusionSequence": phantoms.item(**diffusion),
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
        "RadiopharmaceuticalInformationSequence": phantoms.item(**drug),
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


def test_pet_is_suv_where_that_is_asked_for(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray, tmp_path: Path
) -> None:
    activity = pet(write_series, phantoms, phantom, WindowCenter=100.5, WindowWidth=200)
    (suv,) = read(tmp_path / "series", suv=True)
    assert suv.units == "SUVbw"
    np.testing.assert_allclose(suv.data, phantom * activity.suv_factor, rtol=1e-6)
    assert suv.window == pytest.approx((0.5 * activity.suv_factor, 199.5 * activity.suv_factor))
    assert any("to SUVbw by the factor" in note for note in suv.warnings)


def test_a_series_made_anew_is_dated_by_its_first_image(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    half_life, seconds = 6586.2, 600.0
    rate = np.log(2) / half_life
    # The mean activity of a long image is that of a moment before its middle.
    mean = np.log(rate * seconds / (1 - np.exp(-rate * seconds))) / rate
    assert 290 < mean < 300
    volume = pet(
        write_series, phantoms, phantom, SeriesTime="150000", AcquisitionTime="121000",
        FrameReferenceTime=(600 + mean) * 1000, ActualFrameDuration=int(seconds * 1000),
    )  # fmt: skip
    # taken 10 min after the start of the scan, at noon: an hour after the injection
    assert volume.suv_factor == pytest.approx(70000 / (370e6 * 2 ** (-3600 / half_life)), rel=1e-6)


def test_ge_says_when_the_scan_began(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = write_series(
        phantom, phantoms.lps_affine((2, 1, 1)), Modality="PT", Units="BQML", CorrectedImage=["ATTN", "DECY"],
        DecayCorrection="START", PatientWeight=70.0, SeriesTime="150000", AcquisitionTime="121000",
        RadiopharmaceuticalInformationSequence=phantoms.item(
            RadionuclideTotalDose=370e6, RadionuclideHalfLife=6586.2, RadiopharmaceuticalStartTime="110000"
        ),
    )  # fmt: skip
    for path in folder.iterdir():
        ds = dcmread(path)
        ds.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20240229120000.00")
        ds.save_as(path)
    assert read(folder)[0].suv_factor == pytest.approx(70000 / (370e6 * 2 ** (-3600 / 6586.2)))


@pytest.mark.parametrize(
    ("suv", "activity", "expected"),
    [(0.0005, 3.0, 0.0005), (0.0, 3.0, 3 * 70000 / (370e6 * 2 ** (-3600 / 6586.2))), (0.0, 0.0, None)],
)
def test_philips_has_factors_of_its_own(
    write_series: Callable[..., Path],
    phantoms: SimpleNamespace,
    phantom: np.ndarray,
    suv: float,
    activity: float,
    expected: float | None,
) -> None:
    pet(write_series, phantoms, phantom, Units="CNTS")
    folder = write_series(phantom[:0], phantoms.lps_affine((2, 1, 1)))
    for path in folder.iterdir():
        ds = dcmread(path)
        block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x00, "DS", str(suv))
        block.add_new(0x09, "DS", str(activity))
        ds.save_as(path)
    found = read(folder)[0].suv_factor
    assert found is None if expected is None else found == pytest.approx(expected)


def test_suv_by_weight_needs_no_factor(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    assert pet(write_series, phantoms, phantom, Units="GML").suv_factor == 1.0


def test_lean_body_mass_is_named(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    volume = pet(write_series, phantoms, phantom, Units="GML", SUVType="LBM")
    assert volume.suv_factor is None
    assert any("kind LBM" in note for note in volume.warnings)
