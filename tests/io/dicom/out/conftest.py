"""A series whose patient and grid are known, and what others say about the files written for it."""

import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset

from napari_medseg import read
from napari_medseg.volume import LabelClass, Volume

PATIENT = {
    "PatientName": "Müller^Jörg",
    "PatientID": "SECRET-77",
    "PatientBirthDate": "19600102",
    "PatientSex": "M",
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.4",
    "FrameOfReferenceUID": "1.2.3.8",
    "StudyDate": "20200102",
    "StudyTime": "101112",
    "StudyID": "5",
    "AccessionNumber": "77",
    "StudyDescription": "Thorax",
    "SpecificCharacterSet": "ISO_IR 192",
    "Manufacturer": "Acme",
    "SliceThickness": 2,
    "PatientPosition": "HFS",
    "KVP": 120,
    "BodyPartExamined": "CHEST",
}
CLASSES = (
    LabelClass(value=3, name="liver", color="#123456"),
    LabelClass(value=7, name="Tumör, links", color="#fe01a9"),
    LabelClass(value=200, name="right kidney"),
)


@pytest.fixture
def ct(write_series: Callable[..., Path], phantom: np.ndarray, phantoms: SimpleNamespace) -> Callable[..., Volume]:
    """Return a function that writes an oblique CT series and reads it; keywords are those of `write_series`."""

    def make(degrees: float = 12.0, array: np.ndarray = phantom, **elements: object) -> Volume:
        affine = phantoms.lps_affine((2.5, 0.9, 1.1), degrees)
        (volume,) = read(write_series(array, affine, **{**PATIENT, **elements}))
        return volume

    return make


@pytest.fixture
def labels_of() -> Callable[[Volume], Volume]:
    """Return a function that draws labels on an image: a ring in two slices, a voxel at the edge, one unused class."""

    def draw(image: Volume) -> Volume:
        labels = np.zeros(image.spatial_shape, np.uint8)
        labels[1:3, 1:5, 1:6] = 3
        labels[1, 2:4, 2:5] = 0
        labels[3, 0, 0] = 7
        return Volume(labels, image.geometry, name="labels", kind="labels", classes=CLASSES)

    return draw


@pytest.fixture
def strictly() -> Callable[[Path], Dataset]:
    """Return a function that has pydicom raise on every value that breaks its rules."""

    def read_all(path: Path) -> Dataset:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            old = config.settings.reading_validation_mode
            config.settings.reading_validation_mode = config.RAISE
            try:
                ds = dcmread(path)
                ds.decode()
                for _ in ds.iterall():
                    pass
            finally:
                config.settings.reading_validation_mode = old
        return ds

    return read_all


@pytest.fixture
def errors_of() -> Callable[[Path], list[str]]:
    """Return a function that gives the errors which dciodvfy (of dicom3tools) finds in a file, or skips."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed; on Debian it is in the package dicom3tools")

    def check(path: Path) -> list[str]:
        done = subprocess.run([program, str(path)], capture_output=True, text=True, errors="replace", check=False)
        lines = (done.stdout + done.stderr).splitlines()
        assert len(lines) > 0
        return [line for line in lines if re.search(r"\bError\b", line)]

    return check
