"""Derived series that are written: voxels and geometry as others read them, and who they belong to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everybody calls it
from pydicom import dcmread
from pydicom.dataset import Dataset

from napari_medseg import read, write
from napari_medseg.errors import WriteError
from napari_medseg.io.orientation import onto_grid
from napari_medseg.volume import Geometry, Volume

Make = Callable[..., Volume]
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def by_simpleitk(folder: Path) -> Volume:
    """Return a series as SimpleITK reads it."""
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    data = sitk.GetArrayFromImage(image)
    return Volume(data, Geometry(data.shape, FLIP @ affine))


def by_highdicom(folder: Path) -> Volume:
    """Return a series as highdicom reads it."""
    volume = hd.get_volume_from_series([dcmread(path) for path in sorted(folder.iterdir())])
    return Volume(volume.array, Geometry(volume.array.shape, FLIP @ volume.affine))


def assert_same(found: Volume, meant: Volume, tolerance: float = 0.0) -> None:
    placed = onto_grid(found, meant.geometry, 1e-3)
    assert placed is not None, (found.geometry.affine, meant.geometry.affine)
    assert np.abs(np.subtract(placed.data, meant.data, dtype=np.float64)).max() <= tolerance


@pytest.fixture
def mr() -> Volume:
    """Return an oblique sagittal volume of a file format that knows no patient."""
    affine = np.array([[0.1, 0.05, 1.2, 5], [0.02, 0.9, -0.1, 6], [0.8, -0.03, 0.06, 7], [0, 0, 0, 1]])
    left, _, right = np.linalg.svd(affine[:3, :3])
    affine[:3, :3] = left @ right * (0.8, 0.9, 1.2)
    data = np.random.default_rng(0).normal(100, 30, (7, 6, 5)).astype(np.float32)
    return Volume(data, Geometry(data.shape, affine, (1, 0, 2)), name="mr", modality="MR", window=(20.0, 180.0))


@pytest.mark.parametrize("degrees", [0.0, 15.0])
@pytest.mark.parametrize("reader", [by_simpleitk, by_highdicom, lambda folder: read(folder)[0]])
def test_every_reader_finds_the_voxels_at_their_place(
    ct: Make, tmp_path: Path, degrees: float, reader: Callable[[Path], Volume]
) -> None:
    image = ct(degrees)
    folder = write(replace(image, data=image.data + 5, derivation="Enhanced by a test"), tmp_path / "out")
    assert_same(reader(folder), replace(image, data=image.data + 5))


@pytest.mark.parametrize("reader", [by_simpleitk, by_highdicom, lambda folder: read(folder)[0]])
def test_an_image_without_a_source_is_stored_upright_and_rounded_as_it_says(
    mr: Volume, tmp_path: Path, reader: Callable[[Path], Volume]
) -> None:
    notes: list[str] = []
    folder = write(mr, tmp_path / "out", report=notes.append)
    step = float(np.ptp(mr.data)) / 65535
    assert_same(reader(folder), mr, step)
    first = dcmread(next(folder.iterdir()))
    assert abs(np.array(first.ImageOrientationPatient) - (0, 1, 0, 0, 0, -1)).max() < 0.2
    assert any("anonymous" in note for note in notes)
    assert any("off by at most" in note for note in notes)
    assert "off by at most" in first.DerivationDescription
    assert (first.Modality, first.ScanningSequence, str(first.PatientName)) == ("MR", "RM", "ANONYMOUS^")


def test_patient_study_and_sources_are_those_of_the_series(
    ct: Make, tmp_path: Path, strictly: Callable[[Path], Dataset]
) -> None:
    image = ct()
    folder = write(replace(image, derivation="Denoised by the model X"), tmp_path / "out")
    headers = {ds.SOPInstanceUID: ds for ds in map(dcmread, image.source)}
    files = [strictly(path) for path in sorted(folder.iterdir())]
    assert len({ds.SOPInstanceUID for ds in files} | set(headers)) == 12
    assert {ds.SeriesInstanceUID for ds in files} != {"1.2.3.4"}
    for ds in files:
        assert (ds.PatientName, ds.PatientID, ds.StudyInstanceUID) == ("Müller^Jörg", "SECRET-77", "1.2.3")
        assert (ds.FrameOfReferenceUID, ds.StudyDescription, ds.KVP) == ("1.2.3.8", "Thorax", 120)
        assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert ds.DerivationDescription == "Denoised by the model X"
        assert (ds.Manufacturer, ds.ContributingEquipmentSequence[0].Manufacturer) == ("napari-medseg", "Acme")
        (source,) = ds.SourceImageSequence
        place = headers[source.ReferencedSOPInstanceUID].ImagePositionPatient
        np.testing.assert_allclose(ds.ImagePositionPatient, place, atol=1e-6)
        assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4"
    (again,) = read(folder)
    assert (again.derivation, again.window, again.units) == ("Denoised by the model X", image.window, "HU")


def test_a_finer_grid_refers_to_the_slices_beside_each_of_its_own(ct: Make, tmp_path: Path) -> None:
    image = ct(12.0)
    fine = np.repeat(image.data, 2, axis=0)
    affine = image.geometry.affine.copy()
    affine[:3, 0] /= 2
    affine[:3, 3] -= affine[:3, 0] / 2
    made = replace(image, data=fine, geometry=Geometry(fine.shape, affine), derivation="2 times finer")
    folder = write(made, tmp_path / "out")
    assert_same(by_simpleitk(folder), made)
    places = {ds.SOPInstanceUID: np.array(ds.ImagePositionPatient, float) for ds in map(dcmread, image.source)}
    for ds in map(dcmread, folder.iterdir()):
        assert len(ds.SourceImageSequence) in (1, 2)
        for item in ds.SourceImageSequence:
            away = places[item.ReferencedSOPInstanceUID] - np.array(ds.ImagePositionPatient, float)
            normal = np.cross(ds.ImageOrientationPatient[:3], ds.ImageOrientationPatient[3:])
            assert abs(away @ normal) <= 1.25 + 1e-6


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("bool", 0, 1),
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("int16", -32768, 32767),
        ("uint16", 0, 65535),
        ("int32", 100_000, 165_535),
        ("uint64", 2**30, 2**30 + 65535),
        ("float64", -5, 60_000),
    ],
)
def test_whole_numbers_in_reach_of_16_bits_are_exact(ct: Make, tmp_path: Path, dtype: str, low: int, high: int) -> None:
    image = ct()
    data = np.linspace(low, high, image.data.size).round().astype(dtype).reshape(image.data.shape)
    notes: list[str] = []
    folder = write(replace(image, data=data), tmp_path / "out", report=notes.append)
    assert notes == []
    assert_same(read(folder)[0], replace(image, data=data.astype(np.float64)))
    assert_same(by_simpleitk(folder), replace(image, data=data.astype(np.float64)))


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-1e-3, 1e-3), (-1024.5, 3071.25), (0, 2**31 - 1), (1e6, 1e6 + 0.5), (2.5, 2.5)]
)
def test_the_stated_error_holds(ct: Make, tmp_path: Path, low: float, high: float) -> None:
    image = ct()
    data = np.linspace(low, high, image.data.size).reshape(image.data.shape)
    notes: list[str] = []
    folder = write(replace(image, data=data, window=(low, high)), tmp_path / "out", report=notes.append)
    stated = float(notes[0].split("at most ")[1].split(" ")[0]) if notes else 0.0
    assert stated <= max((high - low) / 65535, high * 1e-6)
    (found,) = read(folder)
    assert_same(found, replace(image, data=data), stated * 1.01)
    assert found.window is None or np.allclose(found.window, (low, high))


def test_a_narrow_window_is_kept(ct: Make, tmp_path: Path) -> None:
    image = ct()
    share = image.data / 1000
    (found,) = read(write(replace(image, data=share, window=(0.05, 0.15)), tmp_path / "out"))
    assert found.window == pytest.approx((0.05, 0.15))


def test_time_and_its_seconds_are_kept(mr: Volume, tmp_path: Path) -> None:
    moving = replace(
        mr,
        data=np.stack([mr.data.round().astype(np.int16) + 100 * step for step in range(3)]),
        axes=("time",),
        axis_values={"time": np.array([0.0, 2.5, 5.0])},
    )
    (found,) = read(write(moving, tmp_path / "out"))
    assert found.axes == ("time",)
    np.testing.assert_allclose(found.axis_values["time"], [0.0, 2.5, 5.0])
    np.testing.assert_array_equal(onto_grid(found, mr.geometry).data, moving.data)


def test_b_values_and_directions_are_kept(mr: Volume, tmp_path: Path) -> None:
    values = {"b_value": np.array([0.0, 1000, 1000]), "b_vector": np.array([[0, 0, 0], [1, 0, 0], [0, 0.6, 0.8]])}
    data = np.stack([mr.data.round().astype(np.int16) + step for step in range(3)])
    (found,) = read(write(replace(mr, data=data, axes=("b_value",), axis_values=values), tmp_path / "out"))
    np.testing.assert_array_equal(onto_grid(found, mr.geometry).data, data)
    for name, expected in values.items():
        np.testing.assert_allclose(found.axis_values[name], expected, atol=1e-12)


def test_pet_stays_pet_with_what_its_suv_needs(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray, tmp_path: Path
) -> None:
    drug = phantoms.item(
        RadionuclideTotalDose=3.7e8, RadionuclideHalfLife=6586.2, RadiopharmaceuticalStartTime="090000"
    )
    given = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT", "Units": "BQML", "SeriesType": ["WHOLE BODY",
        "IMAGE"], "DecayCorrection": "START", "CorrectedImage": ["ATTN", "DECY"], "CountsSource": "EMISSION",
        "SeriesDate": "20200102", "SeriesTime": "100000", "AcquisitionTime": "100000", "FrameReferenceTime": 0,
        "RadiopharmaceuticalInformationSequence": drug, "PatientWeight": 70, "SliceThickness": 2,
        "FrameOfReferenceUID": "1.2.3.8", "RescaleSlope": 0.5, "RescaleIntercept": 0,
    }  # fmt: skip
    affine = phantoms.lps_affine((2, 1, 1))
    (pet,) = read(write_series(phantom - phantom.min(), affine, **given))
    (found,) = read(write(replace(pet, data=pet.data * 0.3, derivation="Denoised"), tmp_path / "out"))
    assert (found.modality, found.units) == ("PT", "Bq/ml")
    assert found.suv_factor == pytest.approx(pet.suv_factor)
    assert_same(found, replace(pet, data=pet.data * 0.3), 0.01)
    assert dcmread(next((tmp_path / "out").iterdir())).RescaleIntercept == 0


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
def test_a_picture_without_a_place_is_a_secondary_capture(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = write(Volume(data, None, rgb=len(shape) == 3), tmp_path / "picture.dcm")
    (found,) = read(path)
    np.testing.assert_array_equal(found.data, data)
    assert found.geometry is None
    ds = dcmread(path)
    assert (ds.SOPClassUID, ds.Modality, ds.ConversionType) == ("1.2.840.10008.5.1.4.1.1.7", "OT", "WSD")
    np.testing.assert_array_equal(np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(path))), data)


def test_there_is_no_error_for_dciodvfy(
    ct: Make, mr: Volume, tmp_path: Path, errors_of: Callable[[Path], list[str]]
) -> None:
    image = ct()
    made = [
        replace(image, derivation="Denoised"),
        replace(image, data=image.data * 0.37, window=(-50.0, 50.0)),
        replace(image, source=()),
        mr,
        replace(mr, modality=None),
        Volume(np.zeros((7, 9, 3), np.uint8), None, rgb=True),
        Volume(np.eye(9, dtype=np.float32) / 3, None),
    ]
    for number, volume in enumerate(made):
        folder = write(volume, tmp_path / str(number))
        assert {str(path): errors_of(path) for path in folder.iterdir()} == {str(path): [] for path in folder.iterdir()}


def test_the_kind_of_series_is_the_modality_or_said_to_be_assumed(mr: Volume, tmp_path: Path) -> None:
    notes: list[str] = []
    unknown = replace(mr, modality=None)
    assert dcmread(next(write(unknown, tmp_path / "a", report=notes.append).iterdir())).Modality == "MR"
    assert any("does not say how it was acquired" in note for note in notes)
    assert dcmread(next(write(replace(unknown, units="HU"), tmp_path / "b").iterdir())).RescaleType == "HU"
    with pytest.raises(WriteError, match="is of modality PT"):
        write(replace(mr, modality="PT"), tmp_path / "c")


def test_an_image_of_one_slice_may_be_a_file(ct: Make, phantom: np.ndarray, tmp_path: Path) -> None:
    image = ct(array=phantom[:1])
    assert_same(read(write(image, tmp_path / "slice.dcm"))[0], image)
    plane = Volume(np.asarray(image.data[0]), Geometry((7, 8), image.geometry.affine[:, [1, 2, 0, 3]]), modality="CT")
    assert_same(read(write(plane, tmp_path / "plane.dcm"))[0], image)


def test_refusals_say_what_to_do(ct: Make, mr: Volume, tmp_path: Path) -> None:
    image = ct()
    skewed = mr.geometry.affine.copy()
    skewed[:3, 0] += 0.1 * skewed[:3, 1]
    holes = np.where(mr.data > 100, np.nan, mr.data)
    colours = np.zeros((*image.data.shape, 3), np.uint8)
    channels = replace(mr, data=np.stack([mr.data] * 2), axes=("channel",))
    for volume, name, words in (
        (image, "a.dcm", "6 slices.*without a suffix"),
        (replace(mr, geometry=Geometry(mr.data.shape, skewed, (1, 0, 2))), "a", "right angles"),
        (replace(mr, data=holes), "a", "not a finite number"),
        (replace(image, data=colours, rgb=True), "a", "one number per voxel.*colours"),
        (channels, "a", "channel"),
        (replace(mr, data=mr.data.astype(np.complex64)), "a", "holds no complex"),
        (replace(mr, geometry=None), "a", "no place in the patient"),
        (replace(image, modality="NM"), "a", "modality NM"),
        (replace(channels, axes=("b_value",)), "a", "b-values"),
    ):
        with pytest.raises(WriteError, match=words):
            write(volume, tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["series"]


def test_only_folders_of_ours_are_replaced(ct: Make, tmp_path: Path) -> None:
    image = ct()
    folder = write(image, tmp_path / "out")
    write(replace(image, data=image.data[:-1], geometry=image.geometry.cropped((0, 0, 0), (5, 7, 8))), folder)
    assert len(list(folder.iterdir())) == 5
    with pytest.raises(WriteError, match="exists"):
        write(image, folder, overwrite=False)
    for stranger in (lambda: (folder / "notes.txt").write_text("mine"), lambda: (folder / "sub").mkdir()):
        stranger()
        with pytest.raises(WriteError, match="holds other files"):
            write(image, folder)
        (folder / "notes.txt").unlink(missing_ok=True)
    for name in ("out.nii", "out.medvol"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
        with pytest.raises(WriteError, match="holds other files"):
            write(image, tmp_path / name)
    with pytest.raises(WriteError, match="holds other files"):
        write(image, image.source[0].parent)


def test_a_series_that_fails_half_way_leaves_the_old_one(
    ct: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ct()
    folder = write(image, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    saved = Dataset.save_as

    def fail(self: Dataset, path: Path, **options: object) -> None:
        if Path(path).name == "00004.dcm":
            raise OSError("No space left on device")
        saved(self, path, **options)

    monkeypatch.setattr("pydicom.dataset.Dataset.save_as", fail)
    with pytest.raises(WriteError, match="No space left"):
        write(replace(image, data=image.data * 2), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "series"]
