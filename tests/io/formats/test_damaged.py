"""Damaged files: whatever is done to the bytes, a reader returns volumes or raises one clear `ReadError`."""

import gzip
import logging
import os
import re
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_medseg import read, write
from napari_medseg.errors import ReadError
from napari_medseg.io import limits, scan
from napari_medseg.volume import Geometry, LabelClass, Volume

ROUNDS = int(os.environ.get("MEDSEG_FUZZ_ROUNDS", "40"))
"""Damaged copies per format; set the variable for a longer search."""
MEMORY = 1 << 26
VOXELS = np.random.default_rng(0).integers(0, 5, (6, 7, 8)).astype(np.uint8)
VOLUME = Volume(
    VOXELS,
    Geometry(VOXELS.shape, np.diag([3.0, 2.0, 1.0, 1.0])[:, [2, 1, 0, 3]]),
    kind="labels",
    classes=(LabelClass(value=1, name="liver"), LabelClass(value=2, name="spleen")),
)
NUMBERS = (b"0", b"-1", b"1e999", b"nan", b"99999999999999999999", b"65536", b"", b"x", b"%d%d%s", b"../../etc/passwd")


def ours(path: Path) -> None:
    write(VOLUME, path)


def raw_nrrd(path: Path) -> None:
    head = "NRRD0005\ntype: uchar\ndimension: 3\nsizes: 8 7 6\nencoding: raw\nspacings: 1 2 3\n"
    path.write_bytes(head.encode() + b"\n" + VOXELS.tobytes())


def raw_mha(path: Path) -> None:
    head = "ObjectType = Image\nNDims = 3\nDimSize = 8 7 6\nElementSpacing = 1 2 3\nElementType = MET_UCHAR\n"
    path.write_bytes(head.encode() + b"ElementDataFile = LOCAL\n" + VOXELS.tobytes())


def mgh(path: Path) -> None:
    nib.save(nib.MGHImage(VOXELS, np.eye(4)), path)


def stack(path: Path) -> None:
    tifffile.imwrite(path, VOXELS, imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "spacing": 2, "unit": "mm"})


def tiles(path: Path) -> None:
    tifffile.imwrite(path, np.tile(VOXELS[0], (8, 8)), tile=(16, 16), compression="lzw", predictor=True)


def picture(path: Path) -> None:
    Image.fromarray(np.tile(VOXELS[0], (4, 4))).save(path)


MAKERS: dict[str, Callable[[Path], None]] = {
    "a.nrrd": ours,
    "a.seg.nrrd": ours,
    "raw.nrrd": raw_nrrd,
    "a.mha": ours,
    "raw.mha": raw_mha,
    "a.mgh": mgh,
    "a.mgz": mgh,
    "a.ome.tif": ours,
    "stack.tif": stack,
    "tiles.tif": tiles,
    "a.png": picture,
    "a.jpg": picture,
    "a.bmp": picture,
    "a.nii.gz": ours,
}


def damaged(whole: bytes, random: np.random.Generator) -> bytes:
    """Return the file cut, with bytes changed, with a part repeated, or with a number of its text replaced."""
    kind = random.integers(5)
    if kind == 0:
        return whole[: random.integers(len(whole))]
    start = int(random.integers(len(whole)))
    if kind == 1:
        return whole[:start] + whole[max(0, start - 40) :]
    if kind == 2 and (found := list(re.finditer(rb"[0-9.]+", whole[:2000]))):
        chosen = found[random.integers(len(found))]
        return whole[: chosen.start()] + NUMBERS[random.integers(len(NUMBERS))] + whole[chosen.end() :]
    changed = bytearray(whole)
    # Headers are where lies matter most.
    reach = min(len(whole), 400) if kind == 3 else len(whole)
    for at in random.integers(reach, size=random.integers(1, 6)):
        changed[at] = random.integers(256)
    return bytes(changed)


@pytest.mark.parametrize("name", MAKERS)
def test_a_damaged_file_is_read_or_refused_within_memory(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MAKERS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    if name.endswith((".gz", ".mgz")):
        whole = gzip.decompress(whole)
    random = np.random.default_rng(sum(name.encode()))
    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: SimpleNamespace(available=MEMORY))
    logging.disable(logging.CRITICAL)
    tracemalloc.start()
    try:
        for _ in range(ROUNDS):
            body = damaged(whole, random)
            (tmp_path / name).write_bytes(gzip.compress(body) if name.endswith((".gz", ".mgz")) else body)
            read_or_refused(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 4 * MEMORY
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)


def read_or_refused(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for look in (read, scan):
            found: list[Any] = []
            with suppress(ReadError):
                found = look(path)
            for entry in found:
                assert all(size > 0 for size in (entry.data if isinstance(entry, Volume) else entry).shape)
