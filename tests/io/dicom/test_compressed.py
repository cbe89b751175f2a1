"""Which compressed bytes belong to which frame, whether a file is read whole or only where it must be."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from napari_medseg import read
from napari_medseg.io.dicom import compressed
from napari_medseg.io.dicom.parser import parse
from napari_medseg.io.dicom.pixels import PixelFormat

FRAMES = 6


@pytest.fixture
def numbers() -> np.ndarray:
    """Return (frames, rows, columns) of noise."""
    return np.random.default_rng(3).integers(0, 4000, (FRAMES, 9, 8)).astype(np.uint16)


def multiframe(path: Path, numbers: np.ndarray, fragments: int, *, has_table: bool) -> None:
    """Write a grey run-length file whose frames lie in several fragments each."""
    ds = dcmread(get_testdata_file("CT_small.dcm"))
    ds.Rows, ds.Columns, ds.NumberOfFrames = *numbers.shape[1:], len(numbers)
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 15, 0
    del ds.RescaleIntercept
    streams = []
    for plane in numbers:
        one = dcmread(get_testdata_file("CT_small.dcm"))
        one.Rows, one.Columns, one.PixelRepresentation = *plane.shape, 0
        one.PixelData = plane.tobytes()
        one.compress(RLELossless)
        streams.append(next(compressed.generate_fragmented_frames(one.PixelData, number_of_frames=1))[0])
    ds.PixelData = encapsulate(streams, fragments_per_frame=fragments, has_bot=has_table)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = RLELossless
    ds.save_as(path)


@pytest.mark.parametrize("read_whole", [compressed.READ_WHOLE, 0])
@pytest.mark.parametrize(("fragments", "has_table"), [(1, False), (1, True), (3, True)])
def test_every_frame_has_its_own_fragments(
    tmp_path: Path,
    numbers: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    read_whole: int,
    fragments: int,
    has_table: bool,
) -> None:
    monkeypatch.setattr(compressed, "READ_WHOLE", read_whole)
    multiframe(tmp_path / "a.dcm", numbers, fragments, has_table=has_table)
    (volume,) = read(tmp_path / "a.dcm")
    np.testing.assert_array_equal(np.asarray(volume.data), numbers)


def test_one_frame_of_a_long_file_is_read_without_the_others(
    tmp_path: Path, numbers: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "READ_WHOLE", 0)
    multiframe(tmp_path / "a.dcm", numbers, 2, has_table=True)
    form = PixelFormat(parse(tmp_path / "a.dcm"))
    asked: list[int] = []
    plain = compressed.value_bytes

    def counted(form: PixelFormat, start: int, length: int) -> bytes:
        asked.append(length)
        return plain(form, start, length)

    monkeypatch.setattr(compressed, "value_bytes", counted)
    assert compressed.can_seek(form)
    (frame,) = compressed.stored_frames(form, [4])
    np.testing.assert_array_equal(frame, numbers[4])
    assert sum(asked) < form.bytes_there / 2


def test_an_offset_table_that_runs_backwards_is_not_trusted(tmp_path: Path, numbers: np.ndarray) -> None:
    path = tmp_path / "a.dcm"
    multiframe(path, numbers, 2, has_table=True)
    form = PixelFormat(parse(path))
    data = bytearray(path.read_bytes())
    table = form.element.offset + 8
    data[table : table + 4 * FRAMES] = data[table : table + 4 * FRAMES][::-1]
    path.write_bytes(bytes(data))
    assert not compressed.can_seek(PixelFormat(parse(path)))
