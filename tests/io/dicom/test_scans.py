"""Scans that are remembered from one session to the next."""

import os
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread

from napari_medseg import read
from napari_medseg.io import scan
from napari_medseg.io.dicom import files, scans
from napari_medseg.io.dicom.memory import HEADERS
from napari_medseg.io.dicom.parser import parse

LONG_AGO_NS = 10**18
SECRETS = {
    "PatientName": "Secret^Sam",
    "PatientID": "ID-4711",
    "PatientBirthDate": "19501122",
    "StudyDate": "20200315",
    "StudyDescription": "confidential study",
    "SeriesDescription": "knee of Mr Secret",
    "InstitutionName": "Hospital X",
}


@pytest.fixture
def folder(
    write_series: Callable[..., Path],
    phantoms: SimpleNamespace,
    phantom: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Return a folder of two series that was written long ago."""
    monkeypatch.setattr(scans, "FEWEST_FILES", 2)
    for number in (1, 2):
        given = {**SECRETS, "SeriesNumber": number, "SeriesInstanceUID": f"1.2.3.{number}"}
        found = write_series(phantom * number, phantoms.lps_affine((2, 1, 1)), "Secret_Sam", **given)
    for path in found.iterdir():
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    HEADERS.forget()
    return found


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of files whose headers are parsed from now on, but for descriptions."""
    names: list[str] = []

    def counted(path: Path) -> object:
        names.append(path.name)
        return parse(path)

    monkeypatch.setattr(files, "parse", counted)
    return names


def next_session() -> None:
    HEADERS.forget()


def test_a_second_scan_opens_one_file_per_volume(folder: Path, parsed: list[str]) -> None:
    first = scan(folder)
    assert len(parsed) == 12
    next_session()
    assert scan(folder) == first
    assert len(parsed) == 12
    assert [info.description for info in first] == ["knee of Mr Secret"] * 2


def test_reading_one_series_after_a_scan_opens_its_files_alone(folder: Path, parsed: list[str]) -> None:
    info = scan(folder)[1]
    expected = read(folder)[1]
    next_session()
    del parsed[:]
    (volume,) = read(folder, series=info.series_id)
    assert len(parsed) == 6
    np.testing.assert_array_equal(volume.data, expected.data)
    assert volume.warnings == expected.warnings
    assert volume.geometry == expected.geometry


def test_one_volume_of_a_series_is_told_from_the_others_of_it(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray, folder: Path
) -> None:
    given = {"SeriesInstanceUID": "1.2.3.1", "SeriesNumber": 1, "InstanceNumber": lambda index: index + 50}
    write_series(phantom + 7, phantoms.lps_affine((2, 1, 1), 30), "Secret_Sam", **given)
    for path in folder.iterdir():
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    infos = scan(folder)
    assert len({info.series_id for info in infos}) == 3
    for info in infos:
        HEADERS.forget()
        (volume,) = read(folder, series=info.series_id)
        assert volume.series_id == info.series_id
        assert (volume.data.shape, volume.geometry.spacing) == (info.shape, info.spacing)


@pytest.mark.parametrize("change", ["touched", "longer", "removed", "added", "renamed"])
def test_every_change_is_seen(folder: Path, parsed: list[str], change: str) -> None:
    scan(folder)
    next_session()
    del parsed[:]
    path = sorted(folder.iterdir())[0]
    if change == "touched":
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    elif change == "longer":
        path.write_bytes(path.read_bytes() + b"\0\0")
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    elif change == "removed":
        path.unlink()
    elif change == "added":
        ds = dcmread(path)
        ds.SOPInstanceUID = "1.2.3.4"
        ds.save_as(folder / "zz")
    else:
        path.rename(folder / "zz")
    found = scan(folder)
    assert len(parsed) == len(list(folder.iterdir()))
    assert found == [*scan(folder)]


def test_records_name_nobody_and_are_for_the_user_alone(folder: Path, medseg_home: Path) -> None:
    infos = scan(folder)
    (record,) = (medseg_home / "cache" / "scans").iterdir()
    content = record.read_text()
    ds = dcmread(next(folder.iterdir()))
    hidden = [*SECRETS.values(), "Secret_Sam", ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID]
    for secret in hidden:
        assert secret not in content
    assert all(path.name not in content for path in folder.iterdir())
    assert infos[0].series_id in content
    if os.name == "posix":
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700


def test_a_folder_that_is_being_written_leaves_no_record(folder: Path, medseg_home: Path) -> None:
    next(folder.iterdir()).touch()
    scan(folder)
    assert not list(medseg_home.rglob("*.json"))


def test_damage_leaves_no_record_and_is_told_every_time(folder: Path, medseg_home: Path) -> None:
    path = sorted(folder.iterdir())[0]
    path.write_bytes(path.read_bytes()[:300])
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    first = scan(folder)
    next_session()
    assert "damaged" in first[0].warnings[-1]
    assert scan(folder) == first
    assert not list(medseg_home.rglob("*.json"))


def test_a_record_that_is_damaged_is_made_again(folder: Path, medseg_home: Path) -> None:
    first = scan(folder)
    (record,) = (medseg_home / "cache" / "scans").iterdir()
    record.write_text('{"version": 1}')
    next_session()
    assert scan(folder) == first
    assert '"entries"' in record.read_text()


def test_few_records_are_kept(folder: Path, medseg_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "MOST_RECORDS", 1)
    scan(folder)
    other = folder.with_name("other")
    folder.rename(other)
    found = scan(other)
    assert len(list((medseg_home / "cache" / "scans").iterdir())) == 1
    next_session()
    assert [asdict(info) for info in scan(other)] == [asdict(info) for info in found]


def test_one_volume_of_a_series_of_several_is_read_from_a_remembered_scan(
    write_series: Callable[..., Path],
    phantoms: SimpleNamespace,
    phantom: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scans, "FEWEST_FILES", 2)
    for echo in (1, 2):
        given = {"SeriesInstanceUID": "1.2.3.7", "EchoNumbers": echo, "EchoTime": 5.0 * echo}
        folder = write_series(phantom * echo, phantoms.lps_affine((2, 1, 1)), "echoes", **given)
    for path in folder.iterdir():
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    HEADERS.forget()
    infos = scan(folder)
    assert len(infos) == 2
    for info, whole in zip(infos, read(folder), strict=True):
        HEADERS.forget()
        (volume,) = read(folder, series=info.series_id)
        assert (volume.series_id, volume.name, volume.warnings) == (info.series_id, info.name, whole.warnings)
        np.testing.assert_array_equal(volume.data, whole.data)
