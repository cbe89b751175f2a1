"""Damaged and hostile files end in one clear error, quickly and in little memory; a small fuzz of our readers."""

import gzip
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from napari_medseg import read, write
from napari_medseg.errors import ReadError
from napari_medseg.io import scan
from napari_medseg.volume import Geometry, Volume

MUTATIONS = int(os.environ.get("MEDSEG_FUZZ", "60"))
"""Damaged copies per kind of file; set the variable for a longer hunt."""
SECONDS, MEBIBYTES = 10.0, 600
"""Of the processor, for one file: CharLS searches some damaged JPEG-LS streams for 3.5 s before it gives up."""


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


@pytest.fixture
def samples(
    tmp_path: Path, phantoms: SimpleNamespace, write_series: Callable[..., Path], phantom: np.ndarray
) -> dict[str, Path]:
    """Return one small good file of each kind."""
    folder = write_series(phantom[:1], phantoms.lps_affine((2, 1, 1)))
    found = {"dicom": next(folder.iterdir()), "nii": nifti(tmp_path, ".nii"), "nii_gz": nifti(tmp_path, ".nii.gz")}
    picture = (np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 3) % 500
    for name, syntax in (("rle", RLELossless), ("jpegls", JPEGLSLossless), ("jpeg2000", JPEG2000Lossless)):
        ds = phantoms.slice_dataset(picture, Modality="OT")
        ds.compress(syntax, generate_instance_uid=False)
        found[name] = phantoms.save(ds, tmp_path / f"{name}.dcm")
    ds = phantoms.slice_dataset(np.zeros((3, 4, 4), np.uint8), NumberOfFrames=3, Modality="MR")
    item = Dataset()
    item.PlanePositionSequence = Sequence([Dataset()])
    item.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 1]
    ds.PerFrameFunctionalGroupsSequence = Sequence([item, item, item])
    found["enhanced"] = phantoms.save(ds, tmp_path / "enhanced.dcm")
    return found


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes that were overwritten, cut, repeated or removed at random, mostly in the header."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, min(len(found), 1500)) if rng.random() < 0.8 else rng.integers(0, len(found)))
        match rng.integers(0, 5):
            case 0:
                found[at] = int(rng.integers(0, 256))
            case 1:
                found[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\1\0\0\0"])
            case 2:
                del found[at : at + int(rng.integers(1, 40))]
            case 3:
                found[at:at] = found[at : at + int(rng.integers(1, 200))]
            case _:
                del found[max(at, 8) :]
        if len(found) < 8:
            break
    return bytes(found)


@pytest.mark.parametrize("kind", ["dicom", "rle", "jpegls", "jpeg2000", "enhanced", "nii", "nii_gz"])
def test_random_damage_never_does_more_than_one_clear_error(
    samples: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    good = samples[kind].read_bytes()
    target = tmp_path / "fuzz" / f"damaged{''.join(samples[kind].suffixes)}"
    target.parent.mkdir()
    rng = np.random.default_rng(11)
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(MUTATIONS):
        target.write_bytes(damaged(good, rng))
        started = time.process_time()
        for action in (read, scan):
            try:
                action(target)
            except ReadError as error:
                problem = error.problem
            else:
                problem = "none: what was damaged did not matter"
            assert len(problem) > 10
        assert time.process_time() - started < SECONDS
        assert process.memory_info().rss - before < MEBIBYTES * 2**20
