"""TIFF files written by tifffile in its many kinds, and ours read by tifffile and SimpleITK."""

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everybody calls it
import tifffile

from napari_medseg import read, write
from napari_medseg.errors import ReadError, WriteError
from napari_medseg.io import scan
from napari_medseg.volume import Geometry, LabelClass, Volume

VOXELS = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)


def one(path: Path) -> Volume:
    (volume,) = read(path)
    (info,) = scan(path)
    assert info.shape == volume.data.shape
    assert info.spacing == (None if volume.geometry is None else volume.geometry.spacing)
    assert (info.axes, info.kind, info.rgb, info.warnings) == (volume.axes, volume.kind, volume.rgb, volume.warnings)
    return volume


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_pages_are_slices_without_geometry(tmp_path: Path, byteorder: str, compression: str | None) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        VOXELS,
        photometric="minisblack",
        byteorder=byteorder,
        compression=compression,
        metadata=None,
    )
    volume = one(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.data, VOXELS)
    assert volume.data.dtype.isnative
    assert (volume.geometry, volume.axes, volume.warnings) == (None, (), ())


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1.0), ("µm", 1e-3), ("cm", 10.0), ("nm", 1e-6), (None, 1e-3)])
def test_physical_sizes_of_ome(tmp_path: Path, unit: str | None, mm: float) -> None:
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 3.0}
    units = {} if unit is None else {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}
    data = np.stack([VOXELS, VOXELS + 100])
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, metadata={"axes": "CZYX", **sizes, **units}, photometric="minisblack"
    )
    volume = one(tmp_path / "a.ome.tif")
    assert (volume.axes, volume.name) == (("channel",), "a")
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.geometry.spacing, np.array([3, 0.25, 0.5]) * mm)
    assert volume.geometry.axcodes == "SPL"
    (warning,) = volume.warnings
    assert "no orientation" in warning


def test_an_unknown_unit_gives_no_geometry(tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "pixel", "PhysicalSizeYUnit": "pixel"}
    tifffile.imwrite(tmp_path / "a.ome.tif", VOXELS[0], metadata={"axes": "YX", **sizes})
    assert one(tmp_path / "a.ome.tif").geometry is None


def test_calibration_of_imagej(tmp_path: Path) -> None:
    data = np.arange(2 * 5 * 3 * 4, dtype=np.uint16).reshape(2, 5, 3, 4)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "ZCYX", "spacing": 3.0, "unit": "mm"},
    )
    volume = one(tmp_path / "a.tif")
    assert volume.axes == ("channel",)
    np.testing.assert_array_equal(volume.data, data.swapaxes(0, 1))
    np.testing.assert_allclose(volume.geometry.spacing, (3, 0.5, 0.25))


def test_imagej_without_distance_of_slices_has_no_geometry(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOXELS, imagej=True, resolution=(4, 2), metadata={"axes": "ZYX", "unit": "mm"})
    volume = one(tmp_path / "a.tif")
    assert volume.geometry is None
    assert any("distance of slices" in warning for warning in volume.warnings)


@pytest.mark.parametrize(
    ("unit", "density", "spacing"),
    [("CENTIMETER", 50, 0.2), ("CENTIMETER", 300 / 2.54, None), ("INCH", 50, None), ("NONE", 50, None)],
)
def test_only_a_resolution_in_centimetres_is_physical(
    tmp_path: Path, unit: str, density: float, spacing: float | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOXELS[0], resolution=(density, density), resolutionunit=unit, metadata=None)
    volume = one(tmp_path / "a.tif")
    if spacing is None:
        assert volume.geometry is None
    else:
        np.testing.assert_allclose(volume.geometry.spacing, (spacing, spacing))
        assert any("no orientation" in warning for warning in volume.warnings)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_are_last(tmp_path: Path, channels: int, planar: str) -> None:
    data = np.random.default_rng(0).integers(0, 255, (6, 7, channels)).astype(np.uint8)
    stored = data if planar == "contig" else np.moveaxis(data, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    volume = one(tmp_path / "a.tif")
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, data)


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    table = np.random.default_rng(0).integers(0, 255, (3, 256)).astype(np.uint16)
    index = np.arange(12, dtype=np.uint8).reshape(3, 4)
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=table * 257)
    volume = one(tmp_path / "a.tif")
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, table.T[index])


def test_white_as_zero_is_turned_over_and_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOXELS[0].astype(np.uint8), photometric="miniswhite")
    volume = one(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.data, 255 - VOXELS[0])
    assert any("turned over" in warning for warning in volume.warnings)
    tifffile.imwrite(tmp_path / "b.tif", VOXELS[0] > 5, photometric="miniswhite")
    np.testing.assert_array_equal(one(tmp_path / "b.tif").data, VOXELS[0] <= 5)


def test_bits_and_complex_numbers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOXELS[0] > 5, photometric="minisblack")
    np.testing.assert_array_equal(one(tmp_path / "a.tif").data, VOXELS[0] > 5)
    tifffile.imwrite(tmp_path / "b.tif", np.full((3, 4), 3 + 4j, np.complex64))
    (volume,) = read(tmp_path / "b.tif")
    np.testing.assert_allclose(volume.data, 5)


def test_images_of_different_size_are_volumes_of_their_own(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros((5, 6), np.uint8))
        writer.write(np.ones((7, 8), np.uint8))
    first, second = read(tmp_path / "a.tif")
    assert [(volume.name, volume.data.shape) for volume in (first, second)] == [("a 1", (5, 6)), ("a 2", (7, 8))]
    assert [info.shape for info in scan(tmp_path / "a.tif")] == [(5, 6), (7, 8)]


def oblique(shape: tuple[int, ...]) -> Geometry:
    affine = np.array([[0, 0.1, -0.5, 3], [0, -0.7, 0.2, 4], [2.5, 0.1, 0, 5], [0, 0, 0, 1]])
    return Geometry(shape, affine)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.tiff"])
def test_our_own_files_keep_place_and_classes(tmp_path: Path, name: str) -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[1, 2, 3] = 9
    classes = (LabelClass(value=9, name="Läsion <1> & 2", color="#010203"),)
    volume = Volume(labels, oblique((2, 3, 4)), kind="labels", classes=classes)
    found = one(write(volume, tmp_path / name))
    np.testing.assert_array_equal(found.data, labels)
    assert found.geometry.matches(volume.geometry, 1e-9)
    assert (found.kind, found.classes, found.warnings) == ("labels", classes, ())


def test_others_read_voxels_and_voxel_sizes_of_our_files(tmp_path: Path) -> None:
    volume = Volume(VOXELS.astype(np.int16) - 5, oblique((2, 3, 4)))
    path = write(volume, tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(tifffile.imread(path), volume.data)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), volume.data)
    with tifffile.TiffFile(path) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    sizes = [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"]
    np.testing.assert_allclose(sizes, volume.geometry.spacing)
    assert pixels["PhysicalSizeXUnit"] == "mm"


@pytest.mark.parametrize(
    ("axes", "shape", "rgb"),
    [
        (("time",), (5, 2, 3, 4), False),
        (("component", "time"), (3, 5, 2, 3, 4), False),
        (("b_value", "frame"), (3, 5, 2, 3, 4), False),
        (("time",), (5, 2, 3, 4, 3), True),
        ((), (3, 4, 4), True),
        ((), (1, 3, 4), False),
        (("time",), (1, 2, 3, 4), False),
        ((), (3, 4), False),
        ((), (1, 4), False),
    ],
)
def test_axes_survive(tmp_path: Path, axes: tuple[str, ...], shape: tuple[int, ...], rgb: bool) -> None:
    data = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    spatial = shape[len(axes) : len(shape) - rgb]
    for geometry in (None, oblique(spatial)):
        found = one(write(Volume(data, geometry, axes=axes, rgb=rgb), tmp_path / "a.tif"))
        assert (found.axes, found.rgb, found.geometry is None) == (axes, rgb, geometry is None)


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_every_number_type_survives(tmp_path: Path, dtype: str) -> None:
    data = (np.arange(24).reshape(2, 3, 4) % 7).astype(dtype)
    np.testing.assert_array_equal(one(write(Volume(data, None), tmp_path / "a.ome.tif")).data, data)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="no int64"):
        write(Volume(VOXELS.astype(np.int64), None), tmp_path / "a.tif")
    with pytest.raises(WriteError, match="two leading axes"):
        write(Volume(np.zeros((2, 2, 2, 3, 4), np.uint8), None, axes=("time", "echo", "phase")), tmp_path / "a.tif")


def multi_file(path: Path, other: str) -> Path:
    """Write an OME file whose second plane is in another file."""
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="4" SizeY="3" SizeZ="2" '
        'SizeC="1" SizeT="1"><Channel ID="C:0"/><TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID '
        f'FileName="{path.name}">urn:uuid:1</UUID></TiffData><TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID '
        f'FileName="{other}">urn:uuid:2</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, VOXELS[0], description=text, metadata=None)
    return path


def test_an_image_in_several_files(tmp_path: Path) -> None:
    path = multi_file(tmp_path / "a.ome.tif", "b.ome.tif")
    with pytest.raises(ReadError, match="not there"):
        read(path)
    tifffile.imwrite(tmp_path / "b.ome.tif", VOXELS[1], metadata=None)
    np.testing.assert_array_equal(one(path).data, VOXELS)


@pytest.mark.parametrize("other", ["../b.ome.tif", "/etc/b.tif", "C:\\b.tif"])
def test_a_file_may_not_point_out_of_its_folder(tmp_path: Path, other: str) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "b.ome.tif", VOXELS[1], metadata=None)
    with pytest.raises(ReadError, match="not in its own folder"):
        read(multi_file(tmp_path / "in" / "a.ome.tif", other))


def test_entities_in_a_description_are_refused(tmp_path: Path) -> None:
    text = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><OME xmlns="http://www.openmicroscopy.org/">&b;</OME>'
    tifffile.imwrite(tmp_path / "a.tif", VOXELS[0], description=text, metadata=None)
    with pytest.raises(ReadError, match="entities"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_file_is_refused(tmp_path: Path, compression: str | None) -> None:
    data = np.random.default_rng(0).integers(0, 255, (5, 64, 64)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", compression=compression, metadata=None)
    whole = (tmp_path / "a.tif").read_bytes()
    for part in (0.02, 0.3, 0.9, 0.999):
        (tmp_path / "a.tif").write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(ReadError):
            read(tmp_path / "a.tif")


def bomb(path: Path, rows: int, columns: int, count: int) -> Path:
    """Write a file of a few bytes whose tags claim `rows` by `columns` pixels in a strip of `count` bytes."""
    tags = [(256, columns), (257, rows), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, rows), (279, count)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags)) + body + struct.pack("<I", 0))
    return path


@pytest.mark.parametrize(
    ("rows", "columns", "count"), [(4_000_000_000, 4_000_000_000, 100), (5000, 5000, 25_000_000), (50, 50, 20)]
)
def test_lying_sizes_are_refused(tmp_path: Path, rows: int, columns: int, count: int) -> None:
    with pytest.raises(ReadError, match=r"claims|truncated"):
        read(bomb(tmp_path / "a.tif", rows, columns, count))


@pytest.mark.parametrize(
    "body", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\0", b"II*\0\x08\0\0\0" + b"\xff" * 400]
)
def test_junk_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(body)
    with pytest.raises(ReadError):
        read(tmp_path / "a.tif")


def test_a_tile_that_claims_more_than_the_memory_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((32, 32), np.uint8), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        for name in ("TileWidth", "TileLength"):
            tiff.pages.first.tags[name].overwrite(1 << 24, dtype="I")
    with pytest.raises(ReadError):
        read(tmp_path / "a.tif")
