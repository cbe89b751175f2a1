"""Damaged and hostile files end in one clear error."""

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from napari_medseg import read, write
from napari_medseg.errors import ReadError
from napari_medseg.volume import Geometry, Volume


def nifti(tmp_path: Path, suffix: str) -> Path:
    volume = Volume(np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6), Geometry((4, 5, 6), np.diag([3.0, 1, 1, 1])))
    return write(volume, tmp_path / f"image{suffix}")


def test_a_nifti_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    for suffix in (".nii", ".nii.gz"):
        path = nifti(tmp_path, suffix)
        data = bytearray(gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes())
        struct.pack_into("<4h", data, 40, 3, 32000, 32000, 32000)
        path.write_bytes(gzip.compress(bytes(data)) if suffix == ".nii.gz" else bytes(data))
        with pytest.raises(ReadError, match=r"truncated|GiB"):
            read(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_nifti_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = nifti(tmp_path, suffix)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ReadError):
        read(path)


def test_a_gzip_stream_with_a_wrong_sum_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path, ".nii.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError):
        read(path)


def test_an_affine_that_is_no_place_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path, ".nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<hh", data, 252, 0, 1)
    struct.pack_into("<4f", data, 280, float("nan"), 0, 0, 0)
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError, match=r"image\.nii.*singular or not finite"):
        read(path)


def test_sequences_nested_without_end_are_refused(tmp_path: Path, phantoms: SimpleNamespace) -> None:
    inner = Dataset()
    for _ in range(200):
        outer = Dataset()
        outer.SharedFunctionalGroupsSequence = Sequence([inner])
        inner = outer
    ds = phantoms.slice_dataset(np.zeros((4, 4), np.uint8))
    ds.SharedFunctionalGroupsSequence = Sequence([inner])
    with pytest.raises(ReadError, match="nests"):
        read(phantoms.save(ds, tmp_path / "deep.dcm"))
