"""Every way in which pixels are stored gives the values that the standard says."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from napari_medseg import read
from napari_medseg.errors import ReadError


@pytest.fixture
def one_image(tmp_path: Path, phantoms: SimpleNamespace) -> Callable[..., Any]:
    """Return a function that writes one picture, changed as wanted, and reads it."""

    def write_and_read(pixels: np.ndarray, change: Callable[[Dataset], None] | None = None, **elements: Any) -> Any:
        ds = phantoms.slice_dataset(pixels, **{"Modality": "OT", **elements})
        if change is not None:
            change(ds)
        (volume,) = read(phantoms.save(ds, tmp_path / "image.dcm"))
        return volume

    return write_and_read


def ramp(dtype: str, shape: tuple[int, ...] = (6, 7)) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) * 5 - (50 if np.dtype(dtype).kind == "i" else 0)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_stored_types_stay_as_they_are(one_image: Callable[..., Any], dtype: str) -> None:
    pixels = ramp(dtype)
    volume = one_image(pixels)
    assert volume.data.dtype == dtype
    assert volume.geometry is None
    np.testing.assert_array_equal(volume.data, pixels)


@pytest.mark.parametrize("uid", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_plain_transfer_syntaxes(one_image: Callable[..., Any], uid: str, dtype: str) -> None:
    pixels = ramp(dtype, (6, 8))

    def change(ds: Dataset) -> None:
        if uid == ExplicitVRBigEndian and dtype == "int16":
            ds.PixelData = pixels.astype(">i2").tobytes()
        ds.file_meta.TransferSyntaxUID = uid

    np.testing.assert_array_equal(one_image(pixels, change).data, pixels)


@pytest.mark.parametrize("uid", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_lossless_compression_gives_the_same_values(one_image: Callable[..., Any], uid: str, dtype: str) -> None:
    pixels = ramp(dtype, (32, 33))
    volume = one_image(pixels, lambda ds: ds.compress(uid, generate_instance_uid=False))
    np.testing.assert_array_equal(volume.data, pixels)


@pytest.mark.parametrize("uid", [RLELossless, JPEG2000Lossless])
def test_compressed_frames_come_in_order(one_image: Callable[..., Any], uid: str) -> None:
    pixels = ramp("uint16", (5, 32, 32))

    def change(ds: Dataset) -> None:
        ds.NumberOfFrames = 5
        ds.compress(uid, generate_instance_uid=False)

    volume = one_image(pixels, change)
    assert volume.axes == ("frame",)
    np.testing.assert_array_equal(volume.data, pixels)


def test_unused_bits_are_ignored_and_signs_extended(one_image: Callable[..., Any]) -> None:
    values = np.array([[-2048, -1, 0, 1, 2047]], dtype=np.int16)
    for junk in (0, 0xF000):
        stored = (values.view(np.uint16) & 0x0FFF | junk).view(np.int16)
        np.testing.assert_array_equal(one_image(stored, BitsStored=12, HighBit=11).data, values)
    shifted = (values << 4).astype(np.int16)
    np.testing.assert_array_equal(one_image(shifted, BitsStored=12, HighBit=15).data, values)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, -1024, "int16"), (2, 0, "int16"), (0.5, 10.25, "float32"), (1, 40000, "int32")],
)
def test_rescale_keeps_integers_where_it_can(
    one_image: Callable[..., Any], slope: float, intercept: float, dtype: str
) -> None:
    pixels = ramp("int16")
    volume = one_image(pixels, Modality="CT", RescaleSlope=slope, RescaleIntercept=intercept)
    assert volume.data.dtype == dtype
    np.testing.assert_array_equal(volume.data, pixels.astype(float) * slope + intercept)


def test_each_slice_has_its_own_slope(
    write_series: Callable[..., Path], phantoms: SimpleNamespace, phantom: np.ndarray
) -> None:
    slopes = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    folder = write_series(
        phantom,
        phantoms.lps_affine((2, 1, 1)),
        Modality="PT",
        RescaleSlope=lambda index: slopes[index],
        RescaleIntercept=0,
    )
    (volume,) = read(folder)
    np.testing.assert_allclose(volume.data, phantom * np.array(slopes)[:, None, None])


def test_a_modality_table_replaces_the_slope(one_image: Callable[..., Any]) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4, 10, 16], "HU"
    table.LUTData = np.array([100, 200, 300, 400], np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    pixels = np.array([[9, 10, 11, 12, 13, 14]], np.uint8)
    volume = one_image(pixels, ModalityLUTSequence=Sequence([table]))
    np.testing.assert_array_equal(volume.data, [[100, 100, 200, 300, 400, 400]])


def test_monochrome1_is_turned_over_for_pictures_but_not_for_measurements(one_image: Callable[..., Any]) -> None:
    pixels = ramp("uint16")
    given = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 10, "HighBit": 9}
    picture = one_image(pixels, **given, Modality="CR", WindowCenter=100.5, WindowWidth=101)
    np.testing.assert_array_equal(picture.data, 1023 - pixels)
    assert picture.window == (1023 - 150, 1023 - 50)
    assert "MONOCHROME1" in picture.warnings[0]
    np.testing.assert_array_equal(one_image(pixels, **given, Modality="PT").data, pixels)


@pytest.mark.parametrize("planar", [0, 1])
def test_colours(one_image: Callable[..., Any], planar: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)

    def change(ds: Dataset) -> None:
        ds.PlanarConfiguration = planar
        data = (colours.transpose(2, 0, 1) if planar else colours).tobytes()
        ds.PixelData = data + b"\0"

    volume = one_image(colours, change)
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, colours)


def test_ybr_becomes_rgb(one_image: Callable[..., Any]) -> None:
    ybr = np.array([[[76, 85, 255], [150, 44, 21], [29, 255, 107], [255, 128, 128]]], np.uint8)
    volume = one_image(ybr, PhotometricInterpretation="YBR_FULL")
    expected = [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]
    np.testing.assert_allclose(volume.data, expected, atol=2)


def test_a_palette_becomes_rgb(one_image: Callable[..., Any]) -> None:
    def change(ds: Dataset) -> None:
        for number, colour in enumerate(("Red", "Green", "Blue")):
            setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
            table = np.array([number * 0x1000, 0x4000, 0x8000 + number, 0xFFFF], np.uint16)
            setattr(ds, f"{colour}PaletteColorLookupTableData", table.tobytes())

    volume = one_image(np.array([[0, 1], [2, 3]], np.uint8), change, PhotometricInterpretation="PALETTE COLOR")
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, [[[0, 16, 32], [64, 64, 64]], [[128, 128, 128], [255, 255, 255]]])


def test_float_pixels(one_image: Callable[..., Any]) -> None:
    pixels = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)

    def change(ds: Dataset) -> None:
        del ds.PixelData
        ds.FloatPixelData = pixels.tobytes()
        ds.BitsAllocated = 32

    np.testing.assert_array_equal(one_image(pixels.view(np.uint32), change).data, pixels)


def test_the_window_becomes_display_limits(one_image: Callable[..., Any]) -> None:
    volume = one_image(ramp("int16"), Modality="CT", WindowCenter=[40, 300], WindowWidth=[400, 1500])
    assert volume.window == (-160.0, 239.0)
    assert volume.units == "HU"


def test_cine_frames_have_their_times(one_image: Callable[..., Any]) -> None:
    pixels = ramp("uint8", (3, 6, 8))
    volume = one_image(pixels, Modality="US", NumberOfFrames=3, FrameTime=40.0)
    assert volume.axes == ("time",)
    np.testing.assert_array_equal(volume.data, pixels)
    np.testing.assert_allclose(volume.axis_values["time"], [0, 0.04, 0.08])


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Rows": 60000, "Columns": 60000}, "truncated"),
        ({"NumberOfFrames": 2_000_000_000}, "truncated"),
        ({"Rows": 0}, "0x7"),
        ({"BitsAllocated": 12}, "12 bits"),
        ({"BitsStored": 40}, "40 used"),
        ({"SamplesPerPixel": 900}, "900 samples"),
    ],
)
def test_headers_that_lie_are_refused(one_image: Callable[..., Any], elements: dict[str, Any], message: str) -> None:
    with pytest.raises(ReadError, match=message):
        one_image(ramp("int16"), **elements)


def test_compressed_files_that_lie_are_refused(one_image: Callable[..., Any]) -> None:
    def change(ds: Dataset) -> None:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.NumberOfFrames = 1_000_000

    with pytest.raises(ReadError, match="1000000 frames"):
        one_image(ramp("int16"), change)
