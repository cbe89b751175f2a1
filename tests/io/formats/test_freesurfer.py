"""MGH and MGZ files written by nibabel, and headers changed by hand."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan
from napari_medseg.volume import Volume


def saved(path: Path, shape: tuple[int, ...] = (4, 5, 6), dtype: str = "i2") -> tuple[np.ndarray, np.ndarray]:
    """Write an oblique, nearly sagittal image and return its voxels (x, y, z[, frame]) and affine."""
    angle = np.radians(14)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, -2.5], [-0.5, 0, 0], [0, 0.75, 0]])
    affine[:3, 3] = (30, -20, 10)
    data = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    nib.save(nib.MGHImage(data, affine), path)
    return data, affine


def one(path: Path) -> Volume:
    (volume,) = read(path)
    (info,) = scan(path)
    assert (info.shape, info.spacing) == (volume.data.shape, volume.geometry.spacing)
    assert (info.axes, info.warnings) == (volume.axes, volume.warnings)
    return volume


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz", "A.MGZ"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "u2"])
def test_each_voxel_is_where_nibabel_has_it(tmp_path: Path, name: str, dtype: str) -> None:
    data, affine = saved(tmp_path / name.lower(), dtype=dtype)
    (tmp_path / name.lower()).rename(tmp_path / name)
    volume = one(tmp_path / name)
    assert volume.data.dtype == dtype
    assert volume.data.shape == (5, 4, 6)
    for i, j, k in np.ndindex(4, 5, 6):
        assert volume.data[j, i, k] == data[i, j, k]
        np.testing.assert_allclose(volume.geometry @ (j, i, k), (affine @ (i, j, k, 1))[:3], atol=1e-5)
    assert (volume.name, volume.warnings) == (name[:1], ())


def test_frames_are_a_leading_axis(tmp_path: Path) -> None:
    data, _ = saved(tmp_path / "a.mgz", (4, 5, 6, 3), "f4")
    volume = one(tmp_path / "a.mgz")
    assert volume.axes == ("frame",)
    np.testing.assert_array_equal(volume.data, data.transpose(3, 1, 0, 2))


def patched(path: Path, at: int, content: bytes) -> Path:
    body = bytearray(path.read_bytes())
    body[at : at + len(content)] = content
    path.write_bytes(body)
    return path


def test_a_header_without_orientation_says_so(tmp_path: Path) -> None:
    saved(tmp_path / "a.mgh")
    volume = one(patched(tmp_path / "a.mgh", 28, b"\0\0"))
    assert any("not valid" in warning for warning in volume.warnings)
    # Stored to left, inferior, anterior: the axes of the array are y, z, x of the file.
    assert (volume.geometry.axcodes, volume.data.shape) == ("IAL", (5, 6, 4))
    assert volume.geometry.spacing == (1, 1, 1)


@pytest.mark.parametrize(
    ("at", "content", "words"),
    [
        (4, struct.pack(">4i", 20000, 20000, 20000, 1), "claims|truncated"),
        (4, struct.pack(">4i", 4, 5, -6, 1), "no image"),
        (4, struct.pack(">4i", 120, 1, 1, 1), "surface"),
        (4, struct.pack(">4i", 4, 5, 7, 1), "truncated"),
        (20, struct.pack(">i", 77), "type 77"),
        (30, struct.pack(">f", float("nan")), "not finite"),
        (30, struct.pack(">f", 0.0), "singular"),
        (0, struct.pack(">i", 2), "whole FreeSurfer header"),
    ],
)
def test_a_damaged_header_is_one_clear_error(tmp_path: Path, at: int, content: bytes, words: str) -> None:
    saved(tmp_path / "a.mgh")
    path = patched(tmp_path / "a.mgh", at, content)
    # The footer after the voxels could pass for voxels.
    path.write_bytes(path.read_bytes()[: 284 + 4 * 5 * 6 * 2])
    with pytest.raises(ReadError, match=words):
        read(path)


def test_cut_files(tmp_path: Path) -> None:
    saved(tmp_path / "a.mgz")
    body = gzip.decompress((tmp_path / "a.mgz").read_bytes())
    for name, content in (
        ("b.mgh", body[:100]),
        ("c.mgz", gzip.compress(body[:400])),
        ("d.mgz", b""),
        ("e.mgz", b"\x1f\x8b"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReadError):
            read(tmp_path / name)
