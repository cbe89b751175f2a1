"""What a codestream claims is checked before a decoder takes memory for it."""

import struct

import imagecodecs
import numpy as np
import pytest

from napari_medseg.io.dicom.codec import stated_size

PICTURE = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)


@pytest.mark.parametrize(
    "data",
    [
        imagecodecs.jpegls_encode(PICTURE),
        imagecodecs.jpeg8_encode(PICTURE),
        imagecodecs.jpeg2k_encode(PICTURE, codecformat="j2k"),
        imagecodecs.jpeg2k_encode(PICTURE, codecformat="jp2"),
    ],
    ids=["JPEG-LS", "JPEG", "JPEG 2000", "JPEG 2000 file"],
)
def test_the_size_of_a_picture_is_read_from_its_codestream(data: bytes) -> None:
    assert stated_size(data) == (20, 30)
    assert stated_size(data[:8]) is None


def test_a_marker_inside_other_data_is_not_a_codestream() -> None:
    assert stated_size(struct.pack("<16I", 2, *[64] * 15) + b"\xff\x4f\xff\x51" * 20) is None
    assert stated_size(b"") is None
