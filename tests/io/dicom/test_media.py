"""DICOMDIR, archives, and folders without images."""

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.fileset import FileSet

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan


@pytest.fixture
def series(write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray) -> Path:
    study = {
        "PatientBirthDate": "",
        "StudyID": "1",
        "StudyDate": "20200101",
        "StudyTime": "1200",
        "AccessionNumber": "",
    }
    return write_series(phantom, phantoms.lps_affine((2, 1, 1), 5), **study)


def write_media(files: list[Path], folder: Path) -> None:
    media = FileSet()
    for path in files:
        media.add(path)
    media.write(folder)
    media._stage["t"].cleanup()


def test_a_dicomdir_gives_the_files_that_it_lists(tmp_path: Path, series: Path, phantom: np.ndarray) -> None:
    write_media(list(series.iterdir()), tmp_path / "media")
    stray = tmp_path / "media" / "stray"
    shutil.copy(next(series.iterdir()), stray)
    for entry in (tmp_path / "media" / "DICOMDIR", tmp_path / "media"):
        volumes = read(entry)
        assert len(volumes) == 1
        np.testing.assert_array_equal(volumes[0].data, phantom)


def test_a_dicomdir_cannot_lead_out_of_its_folder(
    tmp_path: Path, series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    write_media([next(series.iterdir())], tmp_path / "media")
    directory = dcmread(tmp_path / "media" / "DICOMDIR")
    shutil.copy(next(series.iterdir()), tmp_path / "SECRET")
    for record in directory.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = ["..", "SECRET"]
            # A link to itself: a walk along the links would never end.
            record.OffsetOfTheNextDirectoryRecord = record.seq_item_tell or 400
    directory.save_as(tmp_path / "media" / "DICOMDIR")
    with pytest.raises(ReadError, match="no DICOM file"):
        read(tmp_path / "media" / "DICOMDIR")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_archives_are_read_without_unpacking_by_name(
    tmp_path: Path, series: Path, phantom: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"study{suffix}"
    names = {f"../../{number}/x": file for number, file in enumerate(series.iterdir())}
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, file in names.items():
                archive.write(file, name)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, file in names.items():
                tar.add(file, name)
    before = set(tmp_path.parent.rglob("*"))
    (volume,) = read(path)
    np.testing.assert_array_equal(volume.data, phantom)
    assert {entry.name for entry in set(tmp_path.parent.rglob("*")) - before} <= set()
    assert scan(path)[0].shape == phantom.shape


def test_files_that_are_no_images_are_named(tmp_path: Path, phantoms: SimpleNamespace) -> None:
    ds = phantoms.slice_dataset(np.zeros((2, 2), np.uint8), Modality="SR")
    del ds.PixelData
    phantoms.save(ds, tmp_path / "study" / "report")
    with pytest.raises(ReadError, match=r"1 DICOM files but no image \(modality SR\)"):
        read(tmp_path / "study")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match="no DICOM file"):
        read(tmp_path / "empty")
    with pytest.raises(ReadError, match="no file or folder"):
        read(tmp_path / "absent")
