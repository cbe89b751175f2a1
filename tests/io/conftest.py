"""Phantoms whose every voxel and place is known, written as files."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"


def slice_dataset(pixels: np.ndarray, **elements: Any) -> Dataset:
    """Return an ordinary image of one plane, with keywords as given; None leaves one out."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CT
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Modality = "CT"
    ds.PatientName, ds.PatientID = "Doe^Jane", "SECRET-77"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber = "1.2.3", "1.2.3.4", 5
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    colours = pixels.ndim == 3 and pixels.shape[-1] == 3
    ds.SamplesPerPixel = 3 if colours else 1
    ds.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = pixels.shape[-3:-1] if colours else pixels.shape[-2:]
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = np.ascontiguousarray(pixels).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    for keyword, value in elements.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    return ds


def save(ds: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def rotation(degrees: float) -> np.ndarray:
    """Return a rotation about all three axes."""
    a = np.radians(degrees)
    c, s = np.cos(a), np.sin(a)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def lps_affine(slices: tuple[float, float, float], degrees: float = 0.0) -> np.ndarray:
    """Return (slice, row, column) to LPS mm: axial slices `slices[0]` mm apart, rows and columns as given, rotated."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ np.eye(3)[:, ::-1] * slices
    affine[:3, 3] = (-100.0, -120.0, 50.0)
    return affine


def plane_elements(affine: np.ndarray, k: float) -> dict[str, Any]:
    """Return the position, orientation and spacing of slice `k` of a (slice, row, column) to LPS affine."""
    row_mm, column_mm = (float(np.linalg.norm(affine[:3, axis])) for axis in (1, 2))
    orientation = [*(affine[:3, 2] / column_mm), *(affine[:3, 1] / row_mm)]
    return {
        "ImagePositionPatient": [f"{v:.10g}" for v in affine[:3, 3] + affine[:3, 0] * k],
        "ImageOrientationPatient": [f"{v:.10g}" for v in orientation],
        "PixelSpacing": [row_mm, column_mm],
    }


def item(**elements: Any) -> Sequence:
    """Return a sequence of one item."""
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return Sequence([ds])


@pytest.fixture(scope="session")
def phantoms() -> SimpleNamespace:
    """Return the functions of this file; test modules cannot import one another."""
    return SimpleNamespace(
        slice_dataset=slice_dataset,
        save=save,
        item=item,
        rotation=rotation,
        lps_affine=lps_affine,
        plane_elements=plane_elements,
    )


@pytest.fixture
def write_series(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the planes of an array as a shuffled series and gives its folder."""

    def write(
        array: np.ndarray, affine: np.ndarray, folder: str = "series", places: Any = None, **elements: Any
    ) -> Path:
        places = range(len(array)) if places is None else places
        numbers = np.random.default_rng(3).permutation(1000)[: len(array)]
        first = len(list((tmp_path / folder).glob("*")))
        for index, (plane, k) in enumerate(zip(array, places, strict=True)):
            given = {key: value(index) if callable(value) else value for key, value in elements.items()}
            ds = slice_dataset(plane, **{**plane_elements(affine, k), "InstanceNumber": index + 1, **given})
            save(ds, tmp_path / folder / f"{first:03d}{numbers[index]:03d}")
        return tmp_path / folder

    return write


@pytest.fixture
def phantom() -> np.ndarray:
    """Return a (6, 7, 8) volume in which every voxel has its own value."""
    return np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8) - 100
