"""NIfTI files made by nibabel: scaling, geometry, odd types and pairs."""

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0, 3, -120], [0, -2.5, 0, 70], [0, 0, 0, 1]])
"""Coronal: x to the left, y down, z to the front."""
DATA = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def saved(path: Path, data: np.ndarray = DATA, affine: np.ndarray | None = AFFINE, **fields: object) -> Path:
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img"])
def test_voxels_lie_where_nibabel_says(tmp_path: Path, suffix: str) -> None:
    if suffix == ".img":
        path = tmp_path / "image.img"
        nib.Nifti1Pair(DATA, AFFINE).to_filename(path)
    else:
        path = saved(tmp_path / f"image{suffix}")
    (volume,) = read(path)
    assert volume.data.dtype == np.int16
    for index in np.ndindex(DATA.shape):
        place = (AFFINE @ (*index, 1))[:3]
        at = np.rint(volume.geometry.to_index(place)).astype(int)
        assert volume.data[tuple(at)] == DATA[index]
    assert volume.geometry.axes_nearest_zyx() == (0, 1, 2)
    assert volume.geometry.axcodes == "IAL"
    assert scan(path)[0].shape == volume.data.shape


@pytest.mark.parametrize(
    ("slope", "inter", "dtype"), [(1, 0, "int16"), (0, 99, "int16"), (1, -1024, "int32"), (0.25, 3, "float32")]
)
def test_scaling_keeps_integers_where_it_can(tmp_path: Path, slope: float, inter: float, dtype: str) -> None:
    path = saved(tmp_path / "image.nii")
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(bytes(raw))
    (volume,) = read(path)
    assert volume.data.dtype == dtype
    expected = DATA * slope + inter if slope else DATA
    np.testing.assert_allclose(np.sort(volume.data, axis=None), np.sort(expected, axis=None))


def test_big_endian_values(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.Nifti1Image(DATA, AFFINE, header).to_filename(tmp_path / "image.nii.gz")
    (volume,) = read(tmp_path / "image.nii.gz")
    assert volume.data.dtype.isnative
    assert volume.data.sum() == DATA.sum()


def test_disagreeing_forms_are_mentioned_and_the_sform_wins(tmp_path: Path) -> None:
    image = nib.Nifti1Image(DATA, AFFINE)
    image.set_qform(np.diag([2, 2, 2, 1.0]), code=1)
    image.set_sform(AFFINE, code=2)
    image.to_filename(tmp_path / "image.nii")
    (volume,) = read(tmp_path / "image.nii")
    np.testing.assert_allclose(volume.geometry @ (0, 0, 0), AFFINE[:3, 3])
    assert "disagree by up to" in volume.warnings[0]


def test_a_singular_sform_gives_way_to_the_qform(tmp_path: Path) -> None:
    path = saved(tmp_path / "image.nii")
    raw = bytearray(path.read_bytes())
    raw[252:254] = np.array([1], "<i2").tobytes()
    raw[280:296] = bytes(16)
    path.write_bytes(bytes(raw))
    (volume,) = read(path)
    assert "sform is singular" in volume.warnings[0]
    np.testing.assert_allclose(np.sort(volume.geometry.spacing), [2, 2.5, 3], rtol=1e-6)


def test_no_orientation_is_mentioned(tmp_path: Path) -> None:
    path = saved(tmp_path / "image.nii", affine=None, pixdim=[1, 2, 3, 4, 1, 1, 1, 1])
    (volume,) = read(path)
    assert volume.geometry.spacing == (4, 3, 2)
    assert "left and right are a guess" in volume.warnings[0]


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    (volume,) = read(saved(tmp_path / "image.nii", xyzt_units=3))
    assert sorted(volume.geometry.spacing) == pytest.approx([0.002, 0.0025, 0.003])
    assert "micron" in volume.warnings[0]


def test_time_and_components_are_leading_axes(tmp_path: Path) -> None:
    data = np.arange(2 * 3 * 4 * 5 * 3, dtype=np.float32).reshape(2, 3, 4, 5, 3)
    path = saved(tmp_path / "image.nii", data, np.eye(4), xyzt_units=2 | 16, toffset=1000)
    raw = bytearray(path.read_bytes())
    raw[92:96] = np.array([2000], "<f4").tobytes()
    path.write_bytes(bytes(raw))
    (volume,) = read(path)
    assert volume.axes == ("component", "time")
    np.testing.assert_array_equal(volume.data, data.transpose(4, 3, 2, 1, 0))


def test_complex_values_become_their_magnitude(tmp_path: Path) -> None:
    (volume,) = read(saved(tmp_path / "image.nii", (3 * DATA + 4j * DATA).astype(np.complex64)))
    assert volume.data.max() == 5 * DATA.max()
    assert "magnitude" in volume.warnings[0]


def test_labels_are_known_by_their_intent(tmp_path: Path) -> None:
    assert read(saved(tmp_path / "labels.nii", intent_code=1002))[0].kind == "labels"
    assert read(saved(tmp_path / "floats.nii", DATA.astype(np.float32), intent_code=1002))[0].kind == "image"


def test_half_a_pair_and_other_files_are_refused(tmp_path: Path) -> None:
    nib.Nifti1Pair(DATA, AFFINE).to_filename(tmp_path / "image.img")
    (tmp_path / "image.img").unlink()
    with pytest.raises(ReadError, match=r"no \.img file"):
        read(tmp_path / "image.hdr")
    (tmp_path / "text.nii").write_text("not an image" * 100)
    with pytest.raises(ReadError, match="NIfTI header"):
        read(tmp_path / "text.nii")
    nib.Nifti1Image(np.zeros((1, 1, 1, 1, 5, 6), np.float32), np.eye(4)).to_filename(tmp_path / "cifti.nii")
    raw = bytearray((tmp_path / "cifti.nii").read_bytes())
    raw[68:70] = np.array([3001], "<i2").tobytes()
    (tmp_path / "cifti.nii").write_bytes(bytes(raw))
    with pytest.raises(ReadError, match="CIFTI"):
        read(tmp_path / "cifti.nii")


def patched(path: Path, offset: int, layout: str, *values: float) -> Path:
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, offset, *values)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("wrong", [-2.0, 0.0])
def test_impossible_voxel_sizes_are_mentioned(tmp_path: Path, wrong: float) -> None:
    path = saved(tmp_path / "a.nii", affine=np.diag([2.0, 3.0, 4.0, 1.0]))
    patched(patched(path, 80, "<f", wrong), 252, "<2h", 0, 0)
    (volume,) = read(path)
    assert volume.geometry.spacing == pytest.approx((4.0, 3.0, abs(wrong) or 1.0))
    assert any(f"voxel sizes are {wrong:g}, 3, 4" in warning for warning in volume.warnings)


def test_a_form_of_unknown_code_is_mentioned(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", affine=np.diag([2.0, 3.0, 4.0, 1.0]))
    (volume,) = read(patched(path, 254, "<h", 99))
    assert any("sform has the unknown code 99" in warning for warning in volume.warnings)


def test_voxels_of_no_stated_place_begin_after_the_header(tmp_path: Path) -> None:
    (volume,) = read(patched(saved(tmp_path / "a.nii"), 108, "<f", 0.0))
    np.testing.assert_array_equal(np.sort(volume.data, axis=None), np.sort(DATA, axis=None))
    assert any("where the voxels begin" in warning for warning in volume.warnings)
