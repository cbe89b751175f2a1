"""Voxels and places of DICOM series: known arrays at known positions."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_medseg import read
from napari_medseg.errors import Cancelled, ReadError
from napari_medseg.io import scan
from napari_medseg.io.dicom import files, pictures
from napari_medseg.progress import Control, Progress

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def voxel_at(volume: object, place_ras: np.ndarray) -> float:
    """Return the value of the voxel whose centre lies at a place."""
    index = volume.geometry.to_index(place_ras)
    nearest = np.rint(index).astype(int)
    np.testing.assert_allclose(index, nearest, atol=1e-3)
    return volume.data[tuple(nearest)]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 12.0, 30.0])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1)], ids=["axial", "sagittal", "coronal"])
def test_every_voxel_is_where_the_header_says(
    write_series: Callable[..., Path],
    phantoms: SimpleNamespace,
    phantom: np.ndarray,
    axes: tuple[int, int, int],
    degrees: float,
    turned: bool,
) -> None:
    affine = phantoms.lps_affine((3.0, 0.7, 0.9), degrees)
    affine[:3, :3] = np.roll(affine[:3, :3], axes[0], axis=0) * (-1 if turned else 1, 1, 1)
    (volume,) = read(write_series(phantom, affine, RescaleSlope=1, RescaleIntercept=-1024))
    assert volume.data.dtype == np.int16
    assert not volume.warnings
    for k, j, i in np.ndindex(*phantom.shape):
        place = TO_RAS @ affine @ (k, j, i, 1)
        assert voxel_at(volume, place[:3]) == phantom[k, j, i] - 1024
    # The array is a view nearest to (z, y, x).
    assert volume.geometry.axes_nearest_zyx() == (0, 1, 2)


def test_order_and_names_of_files_do_not_matter(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray, tmp_path: Path
) -> None:
    folder = write_series(phantom, phantoms.lps_affine((2.0, 1.0, 1.0), 8))
    other = tmp_path / "other" / "deep" / "er"
    other.mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        shutil.copy(path, other / f"{number}.weird")
    (tmp_path / "other" / "notes.txt").write_text("not an image")
    (first,), (second,) = read(folder), read(tmp_path / "other")
    assert first.geometry == second.geometry
    np.testing.assert_array_equal(first.data, second.data)


def test_names_tell_nothing_about_the_patient(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = write_series(phantom, phantoms.lps_affine((2, 1, 1)), Modality="MR", SeriesDescription="Jane's head")
    (volume,) = read(folder)
    assert volume.name == "MR 5"
    assert "Doe" not in repr(volume)
    assert "SECRET" not in repr(volume)
    assert "1.2.3" not in (volume.series_id or "")


def test_series_sizes_orientations_and_echoes_come_apart(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    axial, tilted = phantoms.lps_affine((2, 1, 1)), phantoms.lps_affine((2, 1, 1), 25)
    write_series(phantom, axial)
    write_series(phantom + 1, axial, SeriesInstanceUID="1.2.3.5", SeriesNumber=6)
    write_series(phantom + 2, tilted)
    write_series(phantom[:, 1:] + 3, axial)
    write_series(phantom + 4, axial, EchoNumbers=2, EchoTime=30, Modality="MR")
    folder = write_series(phantom + 5, axial, ImageType=["ORIGINAL", "PRIMARY", "P", "ND"], Modality="MR")
    volumes = read(folder)
    assert len(volumes) == 6
    means = sorted(round(float(volume.data.mean() - phantom.mean()), 6) for volume in volumes)
    assert means == sorted([0, 1, 2, 3 + phantom[:, 1:].mean() - phantom.mean(), 4, 5])
    assert {volume.name for volume in volumes} == {"CT 5", "CT 6", "MR 5 echo 2", "MR 5 phase"}


def test_a_series_can_be_picked(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((2, 1, 1))
    write_series(phantom, affine)
    folder = write_series(phantom + 1, affine, SeriesInstanceUID="1.2.3.5", SeriesNumber=6)
    listed = scan(folder)
    assert [entry.name for entry in listed] == ["CT 5", "CT 6"]
    for series in (listed[1].series_id, "1.2.3.5"):
        (volume,) = read(folder, series=series)
        assert volume.name == "CT 6"
    with pytest.raises(ReadError, match=r"no series '9\.9'"):
        read(folder, series="9.9")


def test_scan_tells_what_read_returns(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = write_series(phantom, phantoms.lps_affine((2, 1, 1)), SeriesDescription="chest")
    (entry,), (volume,) = scan(folder), read(folder)
    assert entry.shape == volume.data.shape == (6, 7, 8)
    assert entry.spacing == volume.geometry.spacing
    assert entry.files == 6
    assert entry.description == "chest"
    assert entry.axcodes == "SPL"
    assert entry.series_id == volume.series_id


def test_reading_reports_progress_and_can_be_cancelled(
    write_series: Callable[..., Path],
    phantoms: SimpleNamespace,
    phantom: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "BATCH", 1)
    monkeypatch.setattr(pictures, "BATCH_BYTES", 1)
    folder = write_series(phantom, phantoms.lps_affine((2, 1, 1)))
    seen: list[Progress] = []
    read(folder, report=seen.append)
    assert [event.done for event in seen if event.stage == "Reading headers"] == list(range(6))
    assert [event.done for event in seen if event.stage == "Reading CT 5"] == list(range(6))
    control = Control()

    def stop(progress: Progress) -> None:
        if progress.done == 3:
            control.cancel()

    with pytest.raises(Cancelled):
        read(folder, control, report=stop)


@pytest.mark.parametrize("by", ["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", None])
def test_repeated_positions_are_steps_in_time(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray, by: str | None
) -> None:
    affine = phantoms.lps_affine((2, 1, 1), 10)
    for step in (2, 0, 1):
        given = {} if by is None else {by: 100 * (step + 1)}
        numbers = {"InstanceNumber": lambda index, step=step: 6 * step + index + 1}
        clock = {"AcquisitionTime": f"1200{step * 5:02d}.5"}
        folder = write_series(phantom + 1000 * step, affine, Modality="MR", **numbers, **given, **clock)
    (volume,) = read(folder)
    assert volume.axes == ("time",)
    for step in range(3):
        np.testing.assert_array_equal(volume.data[step], phantom + 1000 * step)
    expected = [0.0, 0.1, 0.2] if by == "TriggerTime" else [0.0, 5.0, 10.0]
    np.testing.assert_allclose(volume.axis_values["time"], expected)


def test_diffusion_steps_keep_b_values_and_directions(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    gradients = [(0, [0, 0, 0]), (1000, [1, 0, 0]), (1000, [0, 0.6, 0.8])]
    for step, (b, direction) in enumerate(gradients):
        folder = write_series(
            phantom + 1000 * step,
            phantoms.lps_affine((2, 1, 1)),
            Modality="MR",
            DiffusionBValue=float(b),
            DiffusionGradientOrientation=direction,
            InstanceNumber=lambda index, step=step: 3 * index + step,
        )
    (volume,) = read(folder)
    assert volume.axes == ("b_value",)
    np.testing.assert_array_equal(volume.data, np.stack([phantom + 1000 * step for step in range(3)]))
    np.testing.assert_array_equal(volume.axis_values["b_value"], [0, 1000, 1000])
    np.testing.assert_allclose(volume.axis_values["b_vector"], [[0, 0, 0], [-1, 0, 0], [0, -0.6, 0.8]])


def test_an_unfinished_time_step_is_kept_apart_and_named(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((2, 1, 1))
    for step, planes in enumerate((phantom, phantom + 1000, phantom[:2] + 2000)):
        folder = write_series(planes, affine, Modality="MR", TemporalPositionIdentifier=step + 1)
    whole, part = sorted(read(folder), key=lambda volume: -volume.data.size)
    assert whole.data.shape == (2, 6, 7, 8)
    np.testing.assert_array_equal(part.data, phantom[:2] + 2000)
    assert any("2 of 6 slice positions" in note for note in part.warnings)


def test_one_image_stored_twice_counts_once(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = write_series(phantom, phantoms.lps_affine((2, 1, 1)))
    shutil.copy(next(folder.iterdir()), folder / "again")
    (volume,) = read(folder)
    assert volume.data.shape == (6, 7, 8)


def test_slices_without_place_are_in_order_without_geometry(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    (volume,) = read(write_series(phantom, phantoms.lps_affine((2, 1, 1)), ImagePositionPatient=None))
    assert volume.geometry is None
    np.testing.assert_array_equal(volume.data, phantom)
    assert any("without geometry" in note for note in volume.warnings)


def test_radiographs_are_pictures_not_slices(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    volumes = read(write_series(phantom, phantoms.lps_affine((2, 1, 1)), Modality="DX", ImagePositionPatient=None))
    assert [volume.data.shape for volume in volumes] == [(7, 8)] * 6
    assert all(volume.geometry is None for volume in volumes)


def test_a_damaged_file_is_left_out_and_named(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = write_series(phantom, phantoms.lps_affine((2, 1, 1)))
    last = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    last.write_bytes(last.read_bytes()[:-20])
    (volume,) = read(folder)
    assert volume.data.shape == (5, 7, 8)
    assert any("1 damaged files" in note and "truncated" in note for note in volume.warnings)
    with pytest.raises(ReadError, match="truncated"):
        read(last)


def test_each_volume_of_a_series_can_be_named_by_itself(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    for echo in (1, 2):
        folder = write_series(
            phantom + 100 * echo, phantoms.lps_affine((2, 1, 1)), Modality="MR", EchoNumbers=echo, EchoTime=5.0 * echo
        )
    ids = [info.series_id for info in scan(folder)]
    assert [one.rpartition("-")[2] for one in ids] == ["1", "2"]
    for echo, one in enumerate(ids, start=1):
        (volume,) = read(folder, series=one)
        assert volume.series_id == one
        np.testing.assert_array_equal(volume.data, phantom + 100 * echo)
    whole = ids[0].partition("-")[0]
    assert len(read(folder, series=whole)) == len(read(folder, series="1.2.3.4")) == 2


def test_a_slope_of_zero_means_none(tmp_path: Path, phantoms: SimpleNamespace, phantom: np.ndarray) -> None:
    ds = phantoms.slice_dataset(phantom[0], RescaleSlope=0, RescaleIntercept=0)
    np.testing.assert_array_equal(read(phantoms.save(ds, tmp_path / "a.dcm"))[0].data, phantom[0])


def test_what_headers_round_does_not_tear_a_volume_apart(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = write_series(
        phantom, phantoms.lps_affine((2, 1, 1)), Modality="MR",
        EchoTime=lambda k: (8.004, 8.006)[k % 2], PixelSpacing=lambda k: ([0.48825, 0.5], [0.4882499, 0.5])[k % 2],
    )  # fmt: skip
    (volume,) = read(folder)
    np.testing.assert_array_equal(volume.data, phantom)


def test_a_computed_map_is_named(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    affine = phantoms.lps_affine((2, 1, 1))
    write_series(phantom, affine, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"])
    folder = write_series(phantom, affine, Modality="MR", ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])
    assert {volume.name for volume in read(folder)} == {"MR 5", "MR 5 ADC"}
