"""Headers that are parsed once: read after scan opens no file for its header again, and sees every change."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan
from napari_medseg.io.dicom import files
from napari_medseg.io.dicom.memory import HEADERS, Header, Memory, Place
from napari_medseg.io.dicom.parser import parse

LONG_AGO_NS = 10**18


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of files whose headers are parsed from now on."""
    HEADERS.forget()
    names: list[str] = []

    def counted(path: Path) -> object:
        names.append(path.name)
        return parse(path)

    monkeypatch.setattr(files, "parse", counted)
    return names


@pytest.fixture
def folder(write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray) -> Path:
    written = write_series(phantom, phantoms.lps_affine((2, 1, 1)))
    for path in written.iterdir():
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return written


def test_reading_after_a_scan_parses_no_header(folder: Path, parsed: list[str]) -> None:
    scan(folder)
    assert len(parsed) == 6
    read(folder)
    assert len(parsed) == 6


def test_a_changed_file_is_parsed_again(folder: Path, parsed: list[str]) -> None:
    (volume,) = read(folder)
    changed = sorted(folder.iterdir())[2]
    os.utime(changed, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    del parsed[:]
    (again,) = read(folder)
    assert parsed == [changed.name]
    np.testing.assert_array_equal(again.data, volume.data)


def test_a_file_written_just_now_is_never_remembered(folder: Path, parsed: list[str]) -> None:
    fresh = sorted(folder.iterdir())[0]
    fresh.touch()
    scan(folder)
    del parsed[:]
    scan(folder)
    assert parsed == [fresh.name]


def test_damage_is_remembered_too(folder: Path, parsed: list[str]) -> None:
    victim = sorted(folder.iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:200])
    os.utime(victim, ns=(LONG_AGO_NS, LONG_AGO_NS))
    first = scan(folder)
    assert "1 damaged files were left out" in first[0].warnings[-1]
    assert scan(folder) == first
    assert len(parsed) == 6


def test_memory_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    memory = Memory(most=2)
    places = [Place(tmp_path / name, 1, LONG_AGO_NS) for name in "abc"]
    for place in places:
        memory.keep([place], [Header(ReadError(place.path.name))])
    assert [header is not None for header in memory.known(places)] == [False, True, True]


def test_headers_on_a_slow_disk_are_waited_for_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scan(folder)
    HEADERS.forget()
    waiting, most = [0], [0]
    lock = threading.Lock()

    def slow(path: Path) -> object:
        with lock:
            waiting[0] += 1
            most[0] = max(most[0], waiting[0])
        time.sleep(0.02)
        with lock:
            waiting[0] -= 1
        return parse(path)

    monkeypatch.setattr(files, "parse", slow)
    monkeypatch.setattr(files, "BATCH", 1)
    assert scan(folder) == expected
    assert most[0] > 1
