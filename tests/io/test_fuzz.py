"""Files of every format, damaged at random: one clear error or a result, in bounded time and memory.

Set MEDSEG_FUZZ to the number of damaged copies per kind of file for a longer hunt; each run is then another one.
"""

import io
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import nibabel as nib
import numpy as np
import psutil
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from napari_medseg import read, write
from napari_medseg.errors import ReadError
from napari_medseg.io import scan
from napari_medseg.volume import Geometry, LabelClass, Volume

LONG = os.environ.get("MEDSEG_FUZZ")
EXAMPLES = int(LONG or "25")
SECONDS, MEBIBYTES = 20.0, 600
"""Of the processor, for one file: CharLS searches some damaged JPEG-LS streams for 5 s before it gives up."""
PICTURE = (np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 3) % 500
GRID = Geometry((4, 5, 6), np.diag([3.0, 1.0, 1.0, 1.0]))
VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)

Edit = tuple[int, float, int]
EDITS = st.lists(
    st.tuples(st.integers(0, 6), st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5
)
"""What is done, where as a share of the region, and a number for it."""
WORDS = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\x7f",
    b"\1\0\0\0",
    b"\xff\xff\0\0",
    b"\0\0\0\x80",
    b"999999999",
)


def damaged(data: bytes, edits: list[Edit]) -> bytes:
    """Return bytes that were overwritten, cut, repeated, swapped or removed, mostly near the start."""
    found = bytearray(data)
    for kind, share, number in edits:
        region = min(len(found), 2048) if number % 4 else len(found)
        _damage(found, kind, int(share * region), number)
        if len(found) < 8:
            break
    return bytes(found)


def _damage(found: bytearray, kind: int, at: int, number: int) -> None:
    word, other = WORDS[number % len(WORDS)], (at * 31 + number) % len(found)
    match kind:
        case 0:
            found[at] = number
        case 1:
            found[at : at + len(word)] = word
        case 2:
            del found[at : at + 1 + number % 40]
        case 3:
            found[at:at] = found[at : at + 1 + number]
        case 4:
            found[at] ^= 1 << number % 8
        case 5:
            found[at : at + 8] = found[other : other + 8]
        case _:
            del found[max(at, 8) :]


def dicom(phantoms: SimpleNamespace, path: Path, **elements: Any) -> Path:
    return phantoms.save(phantoms.slice_dataset(PICTURE, Modality="OT", **elements), path)


def compressed(phantoms: SimpleNamespace, path: Path, syntax: str, data: bytes, **elements: Any) -> Path:
    """Write a file around a codestream that pydicom cannot make."""
    ds = phantoms.slice_dataset(PICTURE, Modality="OT", **elements)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([data])
    ds["PixelData"].is_undefined_length = True
    return phantoms.save(ds, path)


def dicom_files(folder: Path, phantoms: SimpleNamespace) -> Iterator[tuple[str, Path]]:
    yield "plain", dicom(phantoms, folder / "plain.dcm", **phantoms.plane_elements(phantoms.lps_affine((2, 1, 1)), 0))
    for name, syntax in (("implicit", ImplicitVRLittleEndian), ("deflated", DeflatedExplicitVRLittleEndian)):
        ds = phantoms.slice_dataset(PICTURE, Modality="OT")
        ds.file_meta.TransferSyntaxUID = syntax
        yield name, phantoms.save(ds, folder / f"{name}.dcm")
    ds = phantoms.slice_dataset(PICTURE, Modality="OT")
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.PixelData = PICTURE.astype(">u2").tobytes()
    yield "big_endian", phantoms.save(ds, folder / "big_endian.dcm")
    for name, syntax in (("rle", RLELossless), ("jpegls", JPEGLSLossless), ("jpeg2000", JPEG2000Lossless)):
        ds = phantoms.slice_dataset(PICTURE, Modality="OT")
        ds.compress(syntax, generate_instance_uid=False)
        yield name, phantoms.save(ds, folder / f"{name}.dcm")
    eight = imagecodecs.jpeg8_encode((PICTURE >> 1).astype(np.uint8))
    eight_bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    yield "jpeg", compressed(phantoms, folder / "jpeg.dcm", JPEGBaseline8Bit, eight, **eight_bits)
    lossless = imagecodecs.ljpeg_encode(PICTURE, bitspersample=16)
    yield "jpeg_lossless", compressed(phantoms, folder / "jpeg_lossless.dcm", JPEGLosslessSV1, lossless)
    yield from dicom_objects(folder, phantoms)


def dicom_objects(folder: Path, phantoms: SimpleNamespace) -> Iterator[tuple[str, Path]]:
    affine = phantoms.lps_affine((2, 1, 1))
    elements = phantoms.plane_elements(affine, 0)
    shared = phantoms.item(
        PlaneOrientationSequence=phantoms.item(ImageOrientationPatient=elements["ImageOrientationPatient"]),
        PixelMeasuresSequence=phantoms.item(PixelSpacing=[1, 1], SliceThickness=2),
    )
    places = [phantoms.plane_elements(affine, k)["ImagePositionPatient"] for k in range(3)]
    frames = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4)
    groups = [phantoms.item(PlanePositionSequence=phantoms.item(ImagePositionPatient=place))[0] for place in places]
    described = {"NumberOfFrames": 3, "SharedFunctionalGroupsSequence": shared}
    described["PerFrameFunctionalGroupsSequence"] = Sequence(groups)
    ds = phantoms.slice_dataset(frames, Modality="MR", **described)
    yield "enhanced", phantoms.save(ds, folder / "enhanced.dcm")
    for group in groups:
        group.SegmentIdentificationSequence = phantoms.item(ReferencedSegmentNumber=1)
    ds = phantoms.slice_dataset(
        frames & 1, Modality="SEG", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", SegmentationType="BINARY",
        SegmentSequence=phantoms.item(SegmentNumber=1, SegmentLabel="liver"), **described,
    )  # fmt: skip
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit, ds.PixelData = 0, np.packbits(frames & 1, bitorder="little").tobytes()
    yield "segmentation", phantoms.save(ds, folder / "segmentation.dcm")
    ds = phantoms.slice_dataset(
        PICTURE, Modality="MR", Manufacturer="SIEMENS", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"],
        SliceThickness=2, **elements,
    )  # fmt: skip
    ds.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 13)
    yield "mosaic", phantoms.save(ds, folder / "mosaic.dcm")


def containers(folder: Path, phantoms: SimpleNamespace) -> Iterator[tuple[str, Path]]:
    plain = dicom(phantoms, folder / "member.dcm")
    with zipfile.ZipFile(folder / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "a/b.dcm")
    yield "zip", folder / "scan.zip"
    with tarfile.open(folder / "scan.tar.gz", "w:gz") as tar:
        tar.add(plain, "a/b.dcm")
    yield "tar", folder / "scan.tar.gz"
    media = FileSet()
    ds = phantoms.slice_dataset(PICTURE, InstanceNumber=1, StudyID="1", StudyDate="20200101", StudyTime="101112")
    ds.AccessionNumber = ""
    media.add(ds)
    media.write(folder / "media")
    media._stage["t"].cleanup()
    yield "dicomdir", folder / "media" / "DICOMDIR"


def other_files(folder: Path) -> Iterator[tuple[str, Path]]:
    image = Volume(VOXELS, GRID)
    labels = Volume((VOXELS > 60).astype(np.uint8), GRID, kind="labels", classes=(LabelClass(value=1, name="liver"),))
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha", ".ome.tif", ".medvol"):
        yield suffix[1:], write(image, folder / f"image{suffix}")
    yield "seg.nrrd", write(labels, folder / "labels.seg.nrrd")
    nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), folder / "pair.hdr")
    yield "hdr", folder / "pair.hdr"
    nib.save(nib.MGHImage(VOXELS, np.eye(4)), folder / "image.mgz")
    yield "mgz", folder / "image.mgz"
    tifffile.imwrite(folder / "stack.tif", VOXELS.astype(np.uint16), compression="zlib", photometric="minisblack")
    yield "tif", folder / "stack.tif"
    for suffix in ("png", "jpg", "bmp"):
        Image.fromarray((PICTURE >> 1).astype(np.uint8)).save(folder / f"picture.{suffix}")
        yield suffix, folder / f"picture.{suffix}"


KINDS = (
    "plain", "implicit", "deflated", "big_endian", "rle", "jpegls", "jpeg2000", "jpeg", "jpeg_lossless", "enhanced",
    "segmentation", "mosaic", "zip", "tar", "dicomdir", "nii", "nii.gz", "nrrd", "mha", "ome.tif", "medvol", "seg.nrrd",
    "hdr", "mgz", "tif", "png", "jpg", "bmp",
)  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, phantoms: SimpleNamespace) -> dict[str, Path]:
    """Return one small good file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    found = dict(dicom_files(folder, phantoms)) | dict(containers(folder, phantoms)) | dict(other_files(folder))
    assert set(found) == set(KINDS)
    return found


def copy_of(good: Path, folder: Path) -> tuple[Path, Path]:
    """Return a copy of a file, with what lies beside it that it needs, and the file in it that is to be damaged."""
    folder.mkdir()
    if good.is_dir():
        shutil.copytree(good, folder / good.name)
        return folder / good.name, folder / good.name / "volume.json"
    beside = [good, good.with_suffix(".img")] if good.suffix == ".hdr" else [good]
    if good.name == "DICOMDIR":
        shutil.copytree(good.parent, folder, dirs_exist_ok=True)
    for path in beside:
        shutil.copy(path, folder / path.name)
    return folder / good.name, folder / good.name


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_file_is_read(samples: dict[str, Path], kind: str) -> None:
    assert read(samples[kind])
    assert scan(samples[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_never_does_more_than_one_clear_error(
    samples: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    path, target = copy_of(samples[kind], tmp_path / "fuzz")
    good = target.read_bytes()
    memory = psutil.Process().memory_info

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=LONG is None,
        suppress_health_check=list(HealthCheck),
    )
    @given(edits=EDITS)
    def hunt(edits: list[Edit]) -> None:
        target.write_bytes(damaged(good, edits))
        before, started = memory().rss, time.process_time()
        for action in (read, scan):
            assert len(problem_of(action, path)) > 10
        assert time.process_time() - started < SECONDS
        assert memory().rss - before < MEBIBYTES * 2**20

    hunt()


def problem_of(action: Callable[[Path], object], path: Path) -> str:
    try:
        action(path)
    except ReadError as error:
        return error.problem
    return "none: what was damaged did not matter"


def test_damage_is_what_it_says() -> None:
    data = bytes(range(100))
    assert damaged(data, [(0, 0.5, 8)])[50] == 8
    assert len(damaged(data, [(6, 0.5, 1)])) == 50
    assert io.BytesIO(damaged(data, [(1, 0.0, 1)])).read(4) == b"\0\0\0\0"
