"""Voxels in any packing arrive whole, or not at all."""

import bz2
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import Cancelled, ReadError
from napari_medseg.io import ReadOptions
from napari_medseg.io.stored import Packing, Source, Stored, load
from napari_medseg.progress import Control, Progress

VOXELS = np.random.default_rng(0).integers(-9, 9, (30, 40, 50)).astype(">i4")
PACKERS: dict[Packing, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
}


def stored(path: Path, packing: Packing, body: bytes, skip: int = 0) -> Stored:
    path.write_bytes(b"header" + body)
    return Stored((Source(path, 6, skip),), packing, VOXELS.shape, VOXELS.dtype)


@pytest.mark.parametrize("packing", PACKERS)
def test_voxels_come_in_native_order(tmp_path: Path, packing: Packing) -> None:
    body = PACKERS[packing](b"skip" + VOXELS.tobytes())
    found = load(stored(tmp_path / "a", packing, body, skip=4), ReadOptions())
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, VOXELS)


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_stream_is_refused(tmp_path: Path, packing: Packing, part: float) -> None:
    body = PACKERS[packing](VOXELS.tobytes())
    with pytest.raises(ReadError, match="truncated"):
        load(stored(tmp_path / "a", packing, body[: int(len(body) * part)]), ReadOptions())


def test_a_stream_of_two_gzip_members(tmp_path: Path) -> None:
    whole = VOXELS.tobytes()
    body = gzip.compress(whole[:1000]) + gzip.compress(whole[1000:])
    np.testing.assert_array_equal(load(stored(tmp_path / "a", "gzip", body), ReadOptions()), VOXELS)


def test_numbers_that_do_not_fit_their_type_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1, 2\n300 4")
    source = Stored((Source(tmp_path / "a"),), "text", (2, 2), np.dtype("u1"))
    with pytest.raises(ReadError, match="no uint8"):
        load(source, ReadOptions())


def test_words_on_the_border_of_two_blocks_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_medseg.io.text_numbers.TEXT_BLOCK_BYTES", 7)
    (tmp_path / "a").write_bytes(b" ".join(b"%d" % n for n in VOXELS[0, 0]))
    source = Stored((Source(tmp_path / "a"),), "text", (50,), np.dtype("<i2"))
    np.testing.assert_array_equal(load(source, ReadOptions()), VOXELS[0, 0])


def test_files_of_unequal_share_are_refused(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(4))
    source = Stored(tuple(Source(tmp_path / name) for name in "abc"), "raw", (2, 2), np.dtype("u1"))
    with pytest.raises(ReadError, match="equal parts"):
        load(source, ReadOptions())


def test_loading_tells_how_far_it_is_and_can_be_stopped(tmp_path: Path) -> None:
    control, seen = Control(), []

    def report(progress: Progress) -> None:
        seen.append((progress.done, progress.total))
        control.cancel()

    source = stored(tmp_path / "a", "raw", VOXELS.tobytes())
    load(source, ReadOptions(control=control, report=report))
    assert seen == [(0, VOXELS.nbytes)]
    with pytest.raises(Cancelled):
        load(source, ReadOptions(control=control))
