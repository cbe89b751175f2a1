"""MetaImage files made by hand and by SimpleITK, and ours read by SimpleITK."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everybody calls it

from napari_medseg import read, write
from napari_medseg.errors import ReadError, WriteError
from napari_medseg.io import scan
from napari_medseg.volume import Geometry, LabelClass, Volume

VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)
PLACED = {"TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "10 20 30", "ElementSpacing": "2 3 5"}
LPS_AFFINE = [[0, 0, -2, -10], [0, -3, 0, -20], [5, 0, 0, 30], [0, 0, 0, 1]]
"""RAS+ affine of `PLACED` in array order (z, y, x)."""


def header(changes: dict[str, str | None], sign: str = " = ", end: str = "\n") -> bytes:
    fields = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "DimSize": "4 3 2", "ElementType": "MET_SHORT"}
    fields |= {"ElementDataFile": "LOCAL"}
    last = changes.get("ElementDataFile", fields.pop("ElementDataFile"))
    fields |= changes
    fields["ElementDataFile"] = fields.pop("ElementDataFile", last)
    return "".join(f"{name}{sign}{value}{end}" for name, value in fields.items() if value is not None).encode()


def saved(path: Path, changes: dict[str, str | None], body: bytes = VOXELS.tobytes()) -> Path:
    path.write_bytes(header(changes) + body)
    return path


def one(path: Path) -> Volume:
    (volume,) = read(path)
    (info,) = scan(path)
    assert info.shape == volume.data.shape
    assert info.spacing == (None if volume.geometry is None else volume.geometry.spacing)
    assert (info.axes, info.kind, info.rgb, info.warnings) == (volume.axes, volume.kind, volume.rgb, volume.warnings)
    return volume


@pytest.mark.parametrize(("sign", "end"), [(" = ", "\n"), ("=", "\n"), (": ", "\n"), (" = ", "\r\n")])
def test_a_plain_file(tmp_path: Path, sign: str, end: str) -> None:
    path = tmp_path / "scan.mha"
    path.write_bytes(header(PLACED, sign, end) + VOXELS.tobytes())
    volume = one(path)
    np.testing.assert_array_equal(volume.data, VOXELS)
    np.testing.assert_allclose(volume.affine, LPS_AFFINE)
    assert (volume.name, volume.warnings) == ("scan", ())


@pytest.mark.parametrize(
    "names",
    [("Orientation", "Position", "ElementSize"), ("Rotation", "Origin", "ElementSpacing")],
)
def test_older_names_of_the_fields(tmp_path: Path, names: tuple[str, str, str]) -> None:
    fields = {names[0]: PLACED["TransformMatrix"], names[1]: PLACED["Offset"], names[2]: PLACED["ElementSpacing"]}
    np.testing.assert_allclose(one(saved(tmp_path / "a.mha", fields)).affine, LPS_AFFINE)


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"BinaryDataByteOrderMSB": "True"}, VOXELS.astype(">i2").tobytes()),
        ({"ElementByteOrderMSB": "True"}, VOXELS.astype(">i2").tobytes()),
        ({"CompressedData": "True"}, zlib.compress(VOXELS.tobytes())),
        ({"BinaryData": "False"}, " ".join(map(str, range(24))).encode()),
        ({"HeaderSize": "-1"}, b"something else" + VOXELS.tobytes()),
        ({"ElementType": "MET_LONG"}, VOXELS.astype("<i4").tobytes()),
        ({"ElementType": "MET_DOUBLE"}, VOXELS.astype("<f8").tobytes()),
        ({"Comment": "a = b: c"}, VOXELS.tobytes()),
    ],
)
def test_every_way_to_store_gives_the_same_voxels(tmp_path: Path, changes: dict[str, str], body: bytes) -> None:
    volume = one(saved(tmp_path / "a.mha", PLACED | changes, body))
    np.testing.assert_array_equal(volume.data, VOXELS)
    np.testing.assert_allclose(volume.affine, LPS_AFFINE)


def test_detached_voxels_in_one_file_or_one_per_slice(tmp_path: Path) -> None:
    (tmp_path / "a b.raw").write_bytes(b"1234" + VOXELS.tobytes())
    for number, plane in enumerate(VOXELS, start=9):
        (tmp_path / f"s{number:02d}.raw").write_bytes(plane.tobytes())
    ways = [("a b.raw", "4"), ("a b.raw", "-1"), ("LIST\ns09.raw\ns10.raw", "0"), ("LIST 2D\ns09.raw\ns10.raw", "0")]
    ways += [("s%02d.raw 9 10 1", "0"), ("s%02d.raw 9 10", "0")]
    for count, (name, size) in enumerate(ways):
        path = saved(tmp_path / f"{count}.mhd", PLACED | {"ElementDataFile": name, "HeaderSize": size}, b"")
        np.testing.assert_array_equal(one(path).data, VOXELS)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.raw", "C:\\a.raw", "LIST\n../a.raw", "../s%d.raw 1 2 1", "", "LIST"]
)
def test_a_header_may_not_point_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "in").mkdir()
    with pytest.raises(ReadError, match="names the data file"):
        read(saved(tmp_path / "in" / "a.mhd", {"ElementDataFile": name}, b""))


def test_without_place_and_voxel_size_there_is_no_geometry(tmp_path: Path) -> None:
    assert one(saved(tmp_path / "a.mha", {})).geometry is None


@pytest.mark.parametrize(
    ("missing", "words"),
    [("TransformMatrix", "left and right are a guess"), ("Offset", "no position"), ("ElementSpacing", "no voxel size")],
)
def test_what_a_header_leaves_out_is_the_default_and_is_said(tmp_path: Path, missing: str, words: str) -> None:
    path = saved(tmp_path / "a.mha", PLACED | {missing: None})
    volume, image = one(path), sitk.ReadImage(str(path))
    lps = image.TransformIndexToPhysicalPoint((3, 2, 1))
    np.testing.assert_allclose(volume.geometry @ (1, 2, 3), np.multiply(lps, (-1, -1, 1)))
    (warning,) = volume.warnings
    assert words in warning


def test_units_modality_and_scaling(tmp_path: Path) -> None:
    more = {"DistanceUnits": "cm", "Modality": "MET_MOD_CT", "ElementToIntensityFunctionSlope": "2"}
    volume = one(saved(tmp_path / "a.mha", PLACED | more))
    assert (volume.geometry.spacing, volume.modality) == ((50, 30, 20), "CT")
    np.testing.assert_allclose(volume.geometry.origin, (-100, -200, 300))
    assert any("kept as stored" in warning for warning in volume.warnings)


def test_colour_and_vectors(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 3)).astype(np.uint8)
    fields = PLACED | {"ElementNumberOfChannels": "3", "ElementType": "MET_UCHAR"}
    colour = one(saved(tmp_path / "a.mha", fields, stored.tobytes()))
    assert colour.rgb
    np.testing.assert_array_equal(colour.data, stored)
    fields |= {"ElementType": "MET_FLOAT_ARRAY"}
    vector = one(saved(tmp_path / "b.mha", fields, stored.astype("<f4").tobytes()))
    assert (vector.axes, vector.rgb) == (("component",), False)
    np.testing.assert_array_equal(vector.data, np.moveaxis(stored, -1, 0))


def itk_image(shape: tuple[int, ...], direction: np.ndarray) -> sitk.Image:
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    image = sitk.GetImageFromArray(data, isVector=False)
    image.SetSpacing([0.5, 0.7, 2.5, 4][: len(shape)])
    image.SetOrigin([-10, 20, 30.5, 0][: len(shape)])
    image.SetDirection(direction.astype(float).ravel().tolist())
    return image


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", ["mha", "mhd"])
def test_we_read_what_simpleitk_writes(tmp_path: Path, suffix: str, packed: bool) -> None:
    angle = np.radians(20)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    image = itk_image((5, 6, 7), tilt @ np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]))
    sitk.WriteImage(image, str(tmp_path / f"itk.{suffix}"), useCompression=packed)
    volume, data = one(tmp_path / f"itk.{suffix}"), sitk.GetArrayFromImage(image)
    for i, j, k in ((0, 0, 0), (6, 0, 4), (6, 5, 4)):
        ras = np.multiply(image.TransformIndexToPhysicalPoint((i, j, k)), (-1, -1, 1))
        at = np.rint(volume.geometry.to_index(ras)).astype(int)
        np.testing.assert_allclose(volume.geometry @ at, ras, atol=1e-6)
        assert volume.data[tuple(at)] == data[k, j, i]
    assert scan(tmp_path / f"itk.{suffix}")[0].files == (1 if suffix == "mha" else 2)


def test_four_and_two_dimensions_of_simpleitk(tmp_path: Path) -> None:
    direction = np.eye(4)[:, [1, 2, 0, 3]]
    series = itk_image((3, 4, 5, 6), direction)
    sitk.WriteImage(series, str(tmp_path / "4d.mha"))
    volume = one(tmp_path / "4d.mha")
    assert volume.axes == ("time",)
    lps = np.array(series.TransformIndexToPhysicalPoint((5, 4, 3, 0)))[:3]
    at = np.rint(volume.geometry.to_index(lps * (-1, -1, 1))).astype(int)
    assert volume.data[(2, *at)] == sitk.GetArrayFromImage(series)[2, 3, 4, 5]

    plane = itk_image((5, 6), np.eye(2))
    sitk.WriteImage(plane, str(tmp_path / "2d.mha"))
    volume = one(tmp_path / "2d.mha")
    np.testing.assert_array_equal(volume.data, sitk.GetArrayFromImage(plane))
    np.testing.assert_allclose(volume.geometry @ (4, 5), (10 - 2.5, -20 - 2.8, 0))
    assert any("third coordinate" in warning for warning in volume.warnings)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_simpleitk_reads_what_we_write(tmp_path: Path, order: tuple[int, int, int]) -> None:
    angle = np.radians(-12)
    tilt = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.diag([3.0, -0.8, 0.7])[:, order]
    affine[:3, 3] = (-12.5, 80.25, 33.1)
    data = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    volume = Volume(data, Geometry(data.shape, affine), modality="MR")
    image = sitk.ReadImage(str(write(volume, tmp_path / "ours.mha")))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), data)
    assert image.GetMetaData("Modality") == "MET_MOD_MR"
    for index in ((0, 0, 0), (4, 0, 6), (4, 5, 6)):
        lps = image.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(np.multiply(lps, (-1, -1, 1)), volume.geometry @ index, atol=1e-6)


def test_a_mask_is_stored_in_the_order_of_its_image(tmp_path: Path) -> None:
    image = itk_image((5, 6, 7), np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]))
    sitk.WriteImage(image, str(tmp_path / "image.mha"))
    volume = read(tmp_path / "image.mha")[0]
    labels = (np.asarray(volume.data) > 0).astype(np.uint8)
    mask = Volume(labels, volume.geometry, kind="labels", classes=(LabelClass(value=1, name="Zyste, größer"),))
    path = write(mask, tmp_path / "mask.mha")
    found = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(image) > 0)
    np.testing.assert_allclose(found.GetDirection(), image.GetDirection(), atol=1e-12)
    assert one(path).classes == mask.classes
    assert one(path).kind == "labels"


def test_hundreds_of_class_names_do_not_overflow_a_line(tmp_path: Path) -> None:
    classes = tuple(LabelClass(value=value, name=f"region number {value} of the atlas") for value in range(1, 300))
    path = write(Volume(np.ones((2, 3, 4), np.uint16), None, kind="labels", classes=classes), tmp_path / "a.mha")
    assert max(map(len, path.read_bytes().split(b"\n")[:-1])) < 1100
    assert one(path).classes == classes
    assert sitk.ReadImage(str(path)).GetSize() == (4, 3, 2)


@pytest.mark.parametrize(
    "axes", [("time",), ("component",), ("b_value",), ("time", "component"), ("component", "time")]
)
def test_leading_axes_survive(tmp_path: Path, axes: tuple[str, ...]) -> None:
    data = np.random.default_rng(0).normal(size=(*(2, 3)[: len(axes)], 5, 6, 7))
    values = {"b_value": np.array([0.0, 1000.0])} if axes == ("b_value",) else {}
    found = one(
        write(
            Volume(data, Geometry((5, 6, 7), np.eye(4)[:, [2, 1, 0, 3]]), axes=axes, axis_values=values),
            tmp_path / "a.mha",
        )
    )
    assert found.axes == axes
    assert {name: list(numbers) for name, numbers in found.axis_values.items()} == {
        n: list(v) for n, v in values.items()
    }


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    sagittal = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    for volume, name, words in (
        (Volume(VOXELS, None), "a.mhd", "no suffix of a format"),
        (Volume(VOXELS[0], Geometry((3, 4), sagittal)), "a.mha", "third coordinate"),
        (Volume(np.zeros((2, 2, 3, 4, 5)), None, axes=("time", "echo")), "a.mha", "no place for the axes"),
        (Volume(VOXELS.astype(np.complex64), None), "a.mha", "holds no complex"),
    ):
        with pytest.raises(WriteError, match=words):
            write(volume, tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DimSize": "4 3"}, "DimSize"),
        ({"DimSize": "4 3 0"}, "DimSize"),
        ({"DimSize": "4 3 x"}, "DimSize"),
        ({"NDims": "1", "DimSize": "4"}, "DimSize"),
        ({"DimSize": "4 3 3"}, "truncated"),
        ({"DimSize": "40000 30000 20000"}, "claims|truncated"),
        ({"DimSize": "40000 30000 20000", "CompressedData": "True"}, "claims|truncated"),
        ({"ElementType": "MET_STRING"}, "ElementType"),
        ({"ElementNumberOfChannels": "-3"}, "ElementNumberOfChannels"),
        ({"ElementNumberOfChannels": "999999999"}, "claims|truncated"),
        ({"CompressedData": "True"}, "decoded|truncated"),
        ({"BinaryData": "False"}, "numbers|invalid"),
        ({"HeaderSize": "-7"}, "HeaderSize"),
        ({"HeaderSize": "999999"}, "truncated"),
        ({"ElementSpacing": "1 2"}, "ElementSpacing"),
        ({"ElementSpacing": "1 2 nan"}, "ElementSpacing"),
        ({"ElementSpacing": "1 2 0"}, "singular"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "singular"),
        ({"ElementDataFile": "s%d%d.raw 1 2 1"}, "names its data files"),
        ({"ElementDataFile": "s%d.raw 1 999999999 1"}, "counts"),
        ({"ElementDataFile": "s%d.raw 1 2 0"}, "counts"),
    ],
)
def test_a_broken_header_is_one_clear_error(tmp_path: Path, changes: dict[str, str | None], words: str) -> None:
    with pytest.raises(ReadError, match=words):
        read(saved(tmp_path / "a.mha", changes))


def test_a_header_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_bytes(b"ObjectType = Image\n" + b"Comment = x\n" * 200_000)
    with pytest.raises(ReadError, match="no end"):
        read(tmp_path / "a.mha")


def test_a_cut_stream_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="truncated"):
        read(saved(tmp_path / "a.mha", {"CompressedData": "True"}, zlib.compress(VOXELS.tobytes())[:-8]))
