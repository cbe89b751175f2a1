"""Codestreams of the JPEG family: made by one library, read by another."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from napari_medseg import read
from napari_medseg.errors import ReadError

GREY = ((np.arange(40 * 30).reshape(40, 30) * 7) % 4000).astype(np.uint16)
COLOURS = np.random.default_rng(5).integers(0, 256, (12, 10, 3), dtype=np.uint8)


@pytest.fixture
def stored(tmp_path: Path, phantoms: SimpleNamespace) -> Callable[..., Path]:
    """Return a function that writes a codestream as the pixels of a picture like the given one."""

    def store(picture: np.ndarray, syntax: str, data: bytes, **elements: Any) -> Path:
        ds = phantoms.slice_dataset(picture, Modality="OT", **elements)
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = encapsulate([data])
        ds["PixelData"].is_undefined_length = True
        return phantoms.save(ds, tmp_path / "picture.dcm")

    return store


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1])
@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_jpeg_is_exact(stored: Callable[..., Path], syntax: str, bits: int) -> None:
    data = imagecodecs.ljpeg_encode(GREY, bitspersample=bits)
    (volume,) = read(stored(GREY, syntax, data, BitsStored=bits, HighBit=bits - 1))
    assert volume.data.dtype == np.uint16
    np.testing.assert_array_equal(volume.data, GREY)


def test_lossless_jpeg_keeps_signs(stored: Callable[..., Path]) -> None:
    signed = GREY.astype(np.int16) - 2000
    data = imagecodecs.ljpeg_encode((signed & 0xFFF).astype(np.uint16), bitspersample=12)
    (volume,) = read(stored(signed, JPEGLosslessSV1, data, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(volume.data, signed)


@pytest.mark.parametrize("interleave", [1, 2])
def test_jpeg_ls_colours_are_exact(stored: Callable[..., Path], interleave: int) -> None:
    data = bytes(jpeg_ls.encode_array(COLOURS, interleave_mode=interleave))
    (volume,) = read(stored(COLOURS, JPEGLSLossless, data))
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, COLOURS)


def test_near_lossless_jpeg_ls_is_within_its_bound(stored: Callable[..., Path]) -> None:
    data = imagecodecs.jpegls_encode(GREY, level=3)
    (volume,) = read(stored(GREY, JPEGLSNearLossless, data))
    difference = np.abs(volume.data.astype(int) - GREY).max()
    assert 0 < difference <= 3


@pytest.mark.parametrize(
    ("syntax", "data"),
    [
        (JPEG2000Lossless, imagecodecs.jpeg2k_encode(GREY, codecformat="j2k", reversible=True, level=0)),
        (JPEG2000Lossless, imagecodecs.jpeg2k_encode(GREY, codecformat="jp2", reversible=True, level=0)),
        (HTJ2KLossless, imagecodecs.htj2k_encode(GREY)),
    ],
    ids=["codestream", "file", "high throughput"],
)
def test_jpeg_2000_is_exact(stored: Callable[..., Path], syntax: str, data: bytes) -> None:
    np.testing.assert_array_equal(read(stored(GREY, syntax, data))[0].data, GREY)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGExtended12Bit])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_cut_picture_is_refused_not_filled_in(stored: Callable[..., Path], syntax: str, share: float) -> None:
    lossless = syntax == JPEGLosslessSV1
    data = imagecodecs.ljpeg_encode(GREY, bitspersample=12) if lossless else imagecodecs.jpeg8_encode(GREY)
    with pytest.raises(ReadError, match="has no end"):
        read(stored(GREY, syntax, data[: int(len(data) * share)], BitsStored=12, HighBit=11))


@pytest.mark.parametrize("last", [b"100", b"110"], ids=["MPEG-2", "JPEG XL"])
def test_what_has_no_decoder_is_refused_by_name(stored: Callable[..., Path], last: bytes) -> None:
    path = stored(GREY, MPEG2MPML, b"\0\0\1\xb3" + b"\0" * 60)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.100", b"1.2.840.10008.1.2.4." + last))
    with pytest.raises(ReadError, match="no decoder"):
        read(path)
