"""Pictures written by Pillow and imagecodecs: depth, palettes, transparency, EXIF."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from napari_medseg import read
from napari_medseg.errors import ReadError
from napari_medseg.io import scan
from napari_medseg.volume import Volume

GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
COLOUR = np.random.default_rng(0).integers(0, 255, (4, 6, 3)).astype(np.uint8)


def one(path: Path) -> Volume:
    (volume,) = read(path)
    (info,) = scan(path)
    assert (info.shape, info.rgb, info.spacing) == (volume.data.shape, volume.rgb, None)
    assert volume.geometry is None
    return volume


@pytest.mark.parametrize("suffix", ["png", "bmp", "PNG"])
def test_grey_and_colour(tmp_path: Path, suffix: str) -> None:
    for name, data in (("grey", GREY), ("colour", COLOUR)):
        Image.fromarray(data).save(tmp_path / f"{name}.{suffix}", dpi=(300, 300))
        volume = one(tmp_path / f"{name}.{suffix}")
        np.testing.assert_array_equal(volume.data, data)
        assert (volume.rgb, volume.name, volume.warnings) == (data.ndim == 3, name, ())


def test_jpeg(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    volume = one(tmp_path / "a.jpg")
    assert np.abs(volume.data.astype(int) - smooth).max() <= 3
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "b.jpeg")
    assert one(tmp_path / "b.jpeg").data.shape == (32, 40, 3)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 4)])
def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = np.random.default_rng(0).integers(0, 65535, shape).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    volume = one(tmp_path / "a.png")
    assert volume.data.dtype == np.uint16
    np.testing.assert_array_equal(volume.data, data)


def test_one_bit_is_zero_and_one(tmp_path: Path) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(one(tmp_path / "a.png").data, (GREY > 100).astype(np.uint8))


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    index = np.arange(24, dtype=np.uint8).reshape(4, 6) % 3
    table = [(10, 20, 30), (200, 0, 0), (0, 0, 250)]
    picture = Image.fromarray(index, "L")
    picture.putpalette([value for color in table for value in color])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(one(tmp_path / "a.png").data, np.array(table)[index])
    picture.save(tmp_path / "b.png", transparency=1)
    volume = one(tmp_path / "b.png")
    np.testing.assert_array_equal(volume.data[..., 3], np.where(index == 1, 0, 255))


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_grey_with_transparency(tmp_path: Path, dtype: str) -> None:
    grey = GREY.astype(dtype)
    alpha = np.full_like(grey, np.iinfo(dtype).max)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.stack([grey, alpha], -1)))
    np.testing.assert_array_equal(one(tmp_path / "a.png").data, grey)
    alpha[0, 0] = 7
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(np.stack([grey, alpha], -1)))
    np.testing.assert_array_equal(one(tmp_path / "b.png").data, np.stack([grey, grey, grey, alpha], -1))


@pytest.mark.parametrize("number", range(1, 9))
def test_the_turn_of_a_camera_is_applied_and_said(tmp_path: Path, number: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = number
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))
    volume = one(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.data, upright)
    assert bool(volume.warnings) == (number != 1)


def test_an_animation_gives_its_first_picture(tmp_path: Path) -> None:
    pictures = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:])
    volume = one(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.data, GREY)
    assert any("animation of 2" in warning for warning in volume.warnings)


def png(width: int, height: int, depth: int, kind: int) -> bytes:
    """Return a PNG of a few bytes that claims any size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("depth", "kind"), [(8, 0), (8, 2), (16, 0), (16, 2), (16, 6)])
@pytest.mark.parametrize("side", [0, 300, 13_000, 2_000_000_000])
def test_lying_sizes_are_refused(tmp_path: Path, side: int, depth: int, kind: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side, depth, kind))
    with pytest.raises(ReadError):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_cut_files_are_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole.{suffix}")
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    for length in (0, 3, 20, len(whole) // 2, len(whole) - 60):
        (tmp_path / f"cut.{suffix}").write_bytes(whole[:length])
        with pytest.raises(ReadError):
            read(tmp_path / f"cut.{suffix}")


def test_a_part_that_claims_more_than_the_file_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    whole = png(300, 300, 8, 0)
    (tmp_path / "a.png").write_bytes(whole[:33] + b"\xca\0\0\0" + whole[37:])
    Image.fromarray(GREY).save(tmp_path / "a.bmp")
    body = bytearray((tmp_path / "a.bmp").read_bytes())
    body[46:50] = b"\0\0\0\x9c"
    (tmp_path / "a.bmp").write_bytes(body)
    for name in ("a.png", "a.bmp"):
        with pytest.raises(ReadError, match="truncated"):
            read(tmp_path / name)
