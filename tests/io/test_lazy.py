"""Volumes larger than memory: the same values, geometry and warnings as read whole, and clear errors."""

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless, RLELossless

from napari_medseg import read, write
from napari_medseg.errors import Cancelled, ReadError
from napari_medseg.io.lazy import Planes, chunks_of
from napari_medseg.progress import Control
from napari_medseg.volume import Geometry, Volume

GRID = np.array([[0, 0, -0.8, 100.0], [0, -0.8, 0, 90.0], [2.5, 0, 0, -300.0], [0, 0, 0, 1]])


def assert_same_volumes(path: Path) -> list[Volume]:
    """Assert that lazy reading gives what eager reading gives, and return the lazy volumes."""
    eager, lazy = read(path), read(path, memory_share=0)
    assert len(lazy) == len(eager)
    for one, other in zip(eager, lazy, strict=True):
        assert isinstance(one.data, np.ndarray)
        assert isinstance(other.data, da.Array)
        for field in fields(Volume):
            if field.name not in ("data", "axis_values", "source"):
                assert getattr(other, field.name) == getattr(one, field.name), field.name
        assert list(other.axis_values) == list(one.axis_values)
        for name, values in one.axis_values.items():
            np.testing.assert_array_equal(other.axis_values[name], values)
        assert other.data.shape == one.data.shape
        computed = other.data.compute()
        assert computed.dtype == other.data.dtype
        np.testing.assert_array_equal(computed, one.data)
        middle = tuple(n // 2 for n in one.data.shape[:-1])
        np.testing.assert_array_equal(np.asarray(other.data[middle]), one.data[middle])
    return lazy


@pytest.fixture
def noise() -> np.ndarray:
    """Return (z, y, x) with more than one chunk along an axis."""
    return np.random.default_rng(5).integers(-1000, 3000, (5, 70, 66)).astype(np.int16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_files_of_one_volume(tmp_path: Path, noise: np.ndarray, name: str) -> None:
    write(Volume(noise, Geometry(noise.shape, GRID), modality="CT", units="HU"), tmp_path / name)
    (volume,) = assert_same_volumes(tmp_path / name)
    assert max(volume.data.chunksize) <= 64


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [">i2", np.uint8, np.float32, np.complex64])
@pytest.mark.parametrize("slope", [None, 2.0, 0.5])
def test_nifti_of_any_type_and_scale(
    tmp_path: Path, noise: np.ndarray, suffix: str, dtype: Any, slope: float | None
) -> None:
    image = nib.Nifti1Image(np.stack([noise[:3].T, noise[1:4].T], axis=-1).astype(dtype), np.diag([1, 1, 2, 1]))
    if slope is not None and np.dtype(dtype).kind != "c":
        image.header.set_slope_inter(slope, -7)
    nib.save(image, tmp_path / f"a{suffix}")
    assert_same_volumes(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_a_classic_series(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, noise: np.ndarray, syntax: str | None
) -> None:
    folder = write_series(noise, phantoms.lps_affine((2.5, 0.8, 0.8), 12), RescaleIntercept=-1024, BitsStored=16)
    if syntax is not None:
        for path in folder.iterdir():
            ds = dcmread(path)
            ds.compress(syntax)
            ds.save_as(path)
    assert_same_volumes(folder)


def test_slices_that_are_mixed_to_an_even_grid(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, noise: np.ndarray
) -> None:
    folder = write_series(noise, phantoms.lps_affine((2, 1, 1)), places=(0, 1, 2.4, 3.1, 4))
    (volume,) = assert_same_volumes(folder)
    assert any("resampled" in warning for warning in volume.warnings)


def test_a_series_in_time(write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray) -> None:
    for step in range(3):
        number = {"InstanceNumber": lambda index, step=step: 6 * step + index + 1}
        given = {"TemporalPositionIdentifier": step + 1}
        folder = write_series(phantom + 100 * step, phantoms.lps_affine((2, 1, 1)), Modality="MR", **number, **given)
    (volume,) = assert_same_volumes(folder)
    assert volume.data.chunksize[0] == 1


@pytest.mark.parametrize(
    "name", ["rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm", "SC_rgb_rle_2frame.dcm", "examples_ybr_color.dcm"]
)
def test_files_of_many_frames(name: str) -> None:
    assert_same_volumes(Path(get_testdata_file(name)))


def test_only_what_is_looked_at_is_decoded() -> None:
    made: list[int] = []

    def make(numbers: list[int], into: np.ndarray) -> None:
        made.extend(numbers)
        into[...] = np.reshape(numbers, (-1, 1, 1))

    planes = Planes((6, 3, 4), np.dtype(np.int16), 1, make)
    assert planes[2].tolist() == np.full((3, 4), 2).tolist()
    assert planes[1:4, 1:, ::2].tolist() == np.broadcast_to(np.reshape([1, 2, 3], (3, 1, 1)), (3, 2, 2)).tolist()
    assert made == [2, 1, 3], "a plane is made once"


@pytest.mark.parametrize("change", ["cut", "deleted"])
def test_a_file_that_changed_meanwhile_is_a_clear_error(tmp_path: Path, noise: np.ndarray, change: str) -> None:
    path = tmp_path / "a.nii"
    write(Volume(noise, None), path)
    (volume,) = read(path, memory_share=0)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:400])
    else:
        path.unlink()
    with pytest.raises(ReadError, match="any more" if change == "deleted" else "was changed"):
        np.asarray(volume.data[0])


def test_a_slice_that_is_gone_is_a_clear_error(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    folder = write_series(phantom, phantoms.lps_affine((2, 1, 1)))
    (volume,) = read(folder, memory_share=0)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ReadError, match="any more"):
        np.asarray(volume.data[3])


def test_unpacking_can_be_cancelled(tmp_path: Path, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_medseg.io.unpacking.BLOCK_BYTES", 1000)
    write(Volume(noise, None), tmp_path / "a.nii.gz")
    control = Control()
    with pytest.raises(Cancelled):
        read(tmp_path / "a.nii.gz", control, memory_share=0, report=lambda _progress: control.cancel())


def test_a_packed_file_that_is_cut_is_refused_at_once(tmp_path: Path, noise: np.ndarray) -> None:
    write(Volume(noise, None), tmp_path / "a.nii.gz")
    data = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ReadError, match="truncated"):
        read(tmp_path / "a.nii.gz", memory_share=0)


def test_chunks_grow_with_the_array() -> None:
    assert chunks_of((400, 512, 512)) == (64, 64, 64)
    assert chunks_of((30, 400, 512, 512)) == (1, 64, 64, 64)
    assert chunks_of((5000, 5000, 5000)) == (256, 256, 256)
    assert chunks_of((9, 100, 100, 3)) == (9, 64, 64, 3)


def test_an_archive_is_read_whole(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray, tmp_path: Path
) -> None:
    folder = write_series(phantom, phantoms.lps_affine((2, 1, 1)))
    archive = shutil.make_archive(str(tmp_path / "series"), "zip", folder)
    (volume,) = read(archive, memory_share=0)
    assert isinstance(volume.data, np.ndarray)
    np.testing.assert_array_equal(volume.data, phantom)


@pytest.mark.slow
def test_every_case_of_the_conformance_set_is_the_same_either_way(shared_data: Callable[[str], Path]) -> None:
    for case in sorted(shared_data("readers").iterdir()):
        for path in sorted(case.iterdir()):
            if path.name.endswith("expected.json"):
                continue
            try:
                eager = read(path)
            except ReadError:
                continue
            for one, other in zip(eager, read(path, memory_share=0), strict=True):
                np.testing.assert_array_equal(np.asarray(other.data), one.data, err_msg=str(path))
                assert (other.geometry, other.warnings, other.name) == (one.geometry, one.warnings, one.name)


@pytest.mark.parametrize("name", ["b.nii", "b.nrrd", "b.mha", "b.medvol"])
def test_a_lazy_volume_is_written_like_any_other(tmp_path: Path, noise: np.ndarray, name: str) -> None:
    write(Volume(noise, Geometry(noise.shape, GRID)), tmp_path / "a.nii.gz")
    (lazy,) = read(tmp_path / "a.nii.gz", memory_share=0)
    write(lazy, tmp_path / name)
    (found,) = read(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(found.data), noise)
    assert found.geometry.matches(lazy.geometry)
