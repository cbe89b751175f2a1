"""NRRD files made by hand, by SimpleITK and by pynrrd, and ours read by them."""

import bz2
import gzip
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everybody calls it

from napari_medseg import read, write
from napari_medseg.errors import ReadError, WriteError
from napari_medseg.io import scan
from napari_medseg.volume import Geometry, LabelClass, Volume

SIZES = (4, 3, 2)
VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)
PLACED = {
    "space": "left-posterior-superior",
    "space directions": "(2,0,0) (0,3,0) (0,0,5)",
    "space origin": "(10,20,30)",
}
LPS_AFFINE = [[0, 0, -2, -10], [0, -3, 0, -20], [5, 0, 0, 30], [0, 0, 0, 1]]
"""RAS+ affine of `PLACED` in array order (z, y, x)."""


def header(**changes: str | None) -> str:
    fields = {"type": "short", "dimension": "3", "sizes": "4 3 2", "endian": "little", "encoding": "raw"}
    fields |= {name.replace("_", " "): value for name, value in changes.items()}
    return "NRRD0005\n# by hand\n" + "".join(
        f"{name}: {value}\n" for name, value in fields.items() if value is not None
    )


def saved(path: Path, text: str, body: bytes = VOXELS.tobytes()) -> Path:
    path.write_bytes(text.encode() + b"\n" + body)
    return path


def one(path: Path) -> Volume:
    (volume,) = read(path)
    (info,) = scan(path)
    assert info.shape == volume.data.shape
    assert info.spacing == (None if volume.geometry is None else volume.geometry.spacing)
    assert (info.axes, info.kind, info.rgb, info.warnings) == (volume.axes, volume.kind, volume.rgb, volume.warnings)
    return volume


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("LAS", (-1, 1, 1)),
    ],
)
def test_each_named_space_is_turned_into_ras(tmp_path: Path, space: str, signs: tuple[int, int, int]) -> None:
    volume = one(saved(tmp_path / "a.nrrd", header(**PLACED | {"space": space})))
    np.testing.assert_array_equal(volume.data, VOXELS)
    np.testing.assert_allclose(volume.geometry @ (1, 2, 3), np.multiply(signs, (10 + 6, 20 + 6, 30 + 5)))
    assert volume.warnings == ()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("raw", bytes),
        ("gzip", gzip.compress),
        ("gz", gzip.compress),
        ("bzip2", bz2.compress),
        ("hex", lambda body: body.hex(" ", 2).encode()),
        ("ascii", lambda body: " ".join(map(str, np.frombuffer(body, "<i2"))).encode()),
        ("text", lambda body: b"\n".join(b"%d" % n for n in np.frombuffer(body, "<i2"))),
    ],
)
def test_every_encoding_gives_the_same_voxels(tmp_path: Path, encoding: str, pack) -> None:
    volume = one(saved(tmp_path / "a.nrrd", header(encoding=encoding, **PLACED), pack(VOXELS.tobytes())))
    np.testing.assert_array_equal(volume.data, VOXELS)
    np.testing.assert_allclose(volume.affine, LPS_AFFINE)


def test_big_endian_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(header(endian="big").replace("\n", "\r\n").encode() + b"\r\n" + VOXELS.astype(">i2").tobytes())
    np.testing.assert_array_equal(one(path).data, VOXELS)


def test_an_oblique_sagittal_grid_is_transposed_and_not_flipped(tmp_path: Path) -> None:
    steps = {"space directions": "(0,-2,0.2) (0,0.3,3) (5,0,0)"}
    volume = one(saved(tmp_path / "a.nrrd", header(**PLACED | steps)))
    assert volume.data.shape == (3, 4, 2)
    for i, j, k in np.ndindex(*SIZES):
        assert volume.data[j, i, k] == VOXELS[k, j, i]
        lps = np.array([10 + 5 * k, 20 - 2 * i + 0.3 * j, 30 + 0.2 * i + 3 * j])
        np.testing.assert_allclose(volume.geometry @ (j, i, k), lps * (-1, -1, 1), atol=1e-9)


def test_without_any_space_there_is_no_geometry(tmp_path: Path) -> None:
    volume = one(saved(tmp_path / "a.nrrd", header()))
    assert volume.geometry is None
    np.testing.assert_array_equal(volume.data, VOXELS)


def test_spacings_alone_are_kept_and_the_guess_is_said(tmp_path: Path) -> None:
    volume = one(saved(tmp_path / "a.nrrd", header(spacings="0.2 0.3 0.5", units='"cm" "cm" "cm"')))
    np.testing.assert_allclose(volume.geometry.spacing, (5, 3, 2))
    assert any("left and right are a guess" in warning for warning in volume.warnings)
    assert any("in cm" in warning for warning in volume.warnings)


def test_a_missing_origin_and_an_unnamed_space_are_said(tmp_path: Path) -> None:
    fields = {"space dimension": "3", "space directions": PLACED["space directions"]}
    volume = one(saved(tmp_path / "a.nrrd", header(**fields)))
    np.testing.assert_allclose(volume.affine[:3, :3], np.array(LPS_AFFINE)[:3, :3])
    assert any("no position" in warning for warning in volume.warnings)
    assert any("was assumed" in warning for warning in volume.warnings)


def test_a_plane_has_its_place_in_space(tmp_path: Path) -> None:
    fields = PLACED | {"dimension": "2", "sizes": "4 3", "space directions": "(0,2,0) (0,0,-3)"}
    volume = one(saved(tmp_path / "a.nrrd", header(**fields)))
    np.testing.assert_array_equal(volume.data, VOXELS[0])
    np.testing.assert_allclose(volume.geometry @ (2, 3), (-10, -20 - 6, 30 - 6))


@pytest.mark.parametrize(
    ("kinds", "sizes", "shape", "axes", "rgb"),
    [
        ("RGB-color domain domain", "3 4 5", (5, 4, 3), (), True),
        ("domain domain RGBA-color", "4 5 4", (5, 4, 4), (), True),
        ("list domain domain domain", "6 4 3 2", (6, 2, 3, 4), ("frame",), False),
        ("domain domain domain time", "4 3 2 6", (6, 2, 3, 4), ("time",), False),
        ("vector domain domain domain", "3 4 3 2", (3, 2, 3, 4), ("component",), False),
        ("3-vector domain domain domain time", "3 4 3 2 5", (5, 3, 2, 3, 4), ("time", "component"), False),
        ("list domain domain domain", "1 4 3 2", (2, 3, 4), (), False),
        ("scalar domain domain", "1 4 3", (3, 4), (), False),
    ],
)
def test_axes_that_are_no_space(
    tmp_path: Path, kinds: str, sizes: str, shape: tuple[int, ...], axes: tuple[str, ...], rgb: bool
) -> None:
    lengths = [int(word) for word in sizes.split()]
    stored = np.arange(np.prod(lengths), dtype=np.uint8).reshape(lengths[::-1])
    text = header(type="uchar", dimension=str(len(lengths)), sizes=sizes, kinds=kinds)
    volume = one(saved(tmp_path / "a.nrrd", text, stored.tobytes()))
    assert (volume.data.shape, volume.axes, volume.rgb) == (shape, axes, rgb)
    if kinds.startswith("list") and axes:
        np.testing.assert_array_equal(volume.data, np.moveaxis(stored, -1, 0))
    if "time" in axes and len(axes) == 2:
        assert volume.data[4, 1, 1, 2, 3] == stored[4, 1, 2, 3, 1]


def test_complex_numbers_show_their_magnitude(tmp_path: Path) -> None:
    stored = np.array([3, 4] * 12, "<f4")
    text = header(type="float", dimension="3", sizes="2 4 3", kinds="complex domain domain")
    volume = one(saved(tmp_path / "a.nrrd", text, stored.tobytes()))
    np.testing.assert_allclose(volume.data, np.full((3, 4), 5.0))
    assert any("magnitude" in warning for warning in volume.warnings)


def test_time_in_a_space_with_time(tmp_path: Path) -> None:
    fields = {
        "dimension": "4",
        "sizes": "4 3 2 2",
        "space": "right-anterior-superior-time",
        "space directions": "(2,0,0,0) (0,3,0,0) (0,0,5,0) (0,0,0,1.5)",
        "space origin": "(1,2,3,0)",
    }
    volume = one(saved(tmp_path / "a.nrrd", header(**fields), VOXELS.tobytes() * 2))
    assert volume.axes == ("time",)
    np.testing.assert_allclose(volume.geometry @ (1, 1, 1), (3, 5, 8))


def test_a_diffusion_series_brings_its_gradients(tmp_path: Path) -> None:
    fields = PLACED | {
        "dimension": "4",
        "sizes": "3 4 3 2",
        "kinds": "list domain domain domain",
        "space directions": "none (2,0,0) (0,3,0) (0,0,5)",
        "measurement frame": "(0,1,0) (1,0,0) (0,0,1)",
    }
    keys = "modality:=DWMRI\nDWMRI_b-value:=1000\nDWMRI_gradient_0000:=0 0 0\n"
    keys += "DWMRI_gradient_0001:=2 0 0\nDWMRI_gradient_0002:=0 0 1\n"
    volume = one(saved(tmp_path / "a.nrrd", header(**fields) + keys, VOXELS.tobytes() * 3))
    assert volume.axes == ("b_value",)
    np.testing.assert_allclose(volume.axis_values["b_value"], (0, 1000, 250))
    np.testing.assert_allclose(volume.axis_values["b_vector"], [(0, 0, 0), (0, -1, 0), (0, 0, 1)], atol=1e-12)


def test_detached_header_with_skips(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"first line\nsecond\n####" + VOXELS.tobytes())
    text = header(**PLACED) + "line skip: 2\nbyte skip: 4\ndata file: a.raw\n"
    np.testing.assert_array_equal(one(saved(tmp_path / "a.nhdr", text, b"")).data, VOXELS)
    text = header(**PLACED) + "byte skip: -1\ndata file: ./a.raw\n"
    np.testing.assert_array_equal(one(saved(tmp_path / "b.nhdr", text, b"")).data, VOXELS)


@pytest.mark.parametrize("line", ["data file: LIST\ns1.raw\nparts/s2.raw\n", "data file: parts/p%02d.raw 4 3 -1\n"])
def test_one_file_per_slice(tmp_path: Path, line: str) -> None:
    (tmp_path / "parts").mkdir()
    for name, plane in (("s1.raw", 0), ("parts/s2.raw", 1), ("parts/p04.raw", 0), ("parts/p03.raw", 1)):
        (tmp_path / name).write_bytes(VOXELS[plane].tobytes())
    path = saved(tmp_path / "a.nhdr", header(**PLACED) + line, b"")
    np.testing.assert_array_equal(one(path).data, VOXELS)
    assert scan(path)[0].files == 3


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.raw", "x/../../a.raw", "C:\\a.raw", "..\\a.raw", "\\\\host\\a.raw", "absent.raw", "x"]
)
def test_a_header_may_not_point_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes())
    folder = tmp_path / "in"
    (folder / "x").mkdir(parents=True)
    path = saved(folder / "a.nhdr", header() + f"data file: {name}\n", b"")
    with pytest.raises(ReadError, match="names the data file"):
        read(path)


def slicer_file(path: Path, layers: np.ndarray, keys: str) -> Path:
    """Write a segmentation as 3D Slicer does: gzip, layers in a leading list axis."""
    flat = layers.ndim == 3
    fields = PLACED | {
        "type": "uchar",
        "encoding": "gzip",
        "dimension": str(layers.ndim),
        "sizes": " ".join(map(str, layers.shape[::-1])),
        "kinds": ("" if flat else "list ") + "domain domain domain",
        "space directions": ("" if flat else "none ") + PLACED["space directions"],
    }
    return saved(path, header(**fields) + keys, gzip.compress(layers.tobytes()))


SEGMENTS = """Segment0_Color:=0.501961 0.682353 0.501961
Segment0_ID:=Segment_1
Segment0_LabelValue:=3
Segment0_Layer:=0
Segment0_Name:=left lung: lobe
Segment0_Tags:=Segmentation.Status:inprogress|TerminologyEntry:A~1^Tissue^Tissue|
Segment1_Color:=1 0 0
Segment1_ID:=Segment_2
Segment1_LabelValue:=1
Segment1_Layer:={layer}
Segment1_Name:=Tumör
Segmentation_MasterRepresentation:=Binary labelmap
"""


def test_segments_in_one_layer(tmp_path: Path) -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 1, 2], labels[1, 2, 3] = 3, 1
    volume = one(slicer_file(tmp_path / "liver.seg.nrrd", labels, SEGMENTS.format(layer=0)))
    assert (volume.kind, volume.name) == ("labels", "liver.seg")
    np.testing.assert_array_equal(volume.data, labels)
    np.testing.assert_allclose(volume.affine, LPS_AFFINE)
    assert [(c.value, c.name, c.color) for c in volume.classes] == [
        (3, "left lung: lobe", "#80ae80"),
        (1, "Tumör", "#ff0000"),
    ]


def test_segments_that_overlap_come_layer_by_layer(tmp_path: Path) -> None:
    labels = np.zeros((2, 3, 4, 2), np.uint8)
    labels[0, 1, 2] = (3, 1)
    first, second = read(slicer_file(tmp_path / "a.seg.nrrd", labels, SEGMENTS.format(layer=1)))
    np.testing.assert_array_equal(first.data, labels[..., 0])
    np.testing.assert_array_equal(second.data, labels[..., 1])
    assert [[c.name for c in volume.classes] for volume in (first, second)] == [["left lung: lobe"], ["Tumör"]]
    assert first.geometry == second.geometry
    assert any("2 layers" in warning for warning in first.warnings)
    assert len(scan(tmp_path / "a.seg.nrrd")) == 2


def test_older_segmentations_have_one_mask_per_segment(tmp_path: Path) -> None:
    masks = np.zeros((2, 3, 4, 2), np.uint8)
    masks[0, 0, 0, 0] = masks[1, 1, 1, 1] = 1
    keys = "Segment0_ID:=a\nSegment0_Name:=liver\nSegment1_ID:=b\nSegment1_Name:=spleen\n"
    first, second = read(slicer_file(tmp_path / "a.seg.nrrd", masks, keys))
    assert [(c.value, c.name) for c in (*first.classes, *second.classes)] == [(1, "liver"), (1, "spleen")]
    assert second.data[1, 1, 1] == 1


def oblique(axcodes_steps: np.ndarray, shape: tuple[int, int, int] = (5, 6, 7)) -> Volume:
    angle = np.radians(17)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ axcodes_steps
    affine[:3, 3] = (-12.5, 80.25, 33.1)
    data = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    return Volume(data, Geometry(shape, affine))


@pytest.mark.parametrize(
    "steps",
    [
        [[0, 0, -0.7], [0, -0.8, 0], [3, 0, 0]],
        [[0, 0, 0.7], [0, 0.8, 0], [-3, 0, 0]],
        [[0.7, 0, 0], [0, -0.8, 0], [0, 0, 3]],
    ],
)
def test_simpleitk_and_pynrrd_read_what_we_write(tmp_path: Path, steps: list[list[float]]) -> None:
    volume = oblique(np.array(steps))
    path = write(volume, tmp_path / "ours.nrrd")
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.data)
    for index in ((0, 0, 0), (4, 0, 6), (4, 5, 6)):
        lps = image.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose(np.multiply(lps, (-1, -1, 1)), volume.geometry @ index, atol=1e-6)
    values, fields = nrrd.read(str(path))
    np.testing.assert_array_equal(values.T, volume.data)
    assert fields["space"] == "left-posterior-superior"
    assert volume.geometry.transposed(volume.geometry.axes_nearest_zyx()).matches(read(path)[0].geometry, 1e-9)


def test_we_read_what_simpleitk_writes(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    image = sitk.GetImageFromArray(data)
    image.SetSpacing((0.5, 0.7, 2.5))
    image.SetOrigin((-10, 20, 30.5))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    sitk.WriteImage(image, str(tmp_path / "itk.nrrd"), useCompression=True)
    volume = one(tmp_path / "itk.nrrd")
    for i, j, k in ((0, 0, 0), (6, 0, 4), (6, 5, 4)):
        ras = np.multiply(image.TransformIndexToPhysicalPoint((i, j, k)), (-1, -1, 1))
        at = np.rint(volume.geometry.to_index(ras)).astype(int)
        np.testing.assert_allclose(volume.geometry @ at, ras, atol=1e-6)
        assert volume.data[tuple(at)] == data[k, j, i]


def test_a_vector_image_and_a_colour_image_of_simpleitk(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 5, 6, 3))
    sitk.WriteImage(sitk.GetImageFromArray(vectors, isVector=True), str(tmp_path / "v.nrrd"))
    volume = one(tmp_path / "v.nrrd")
    assert volume.axes == ("component",)
    np.testing.assert_array_equal(volume.data, np.moveaxis(vectors, -1, 0))


def test_we_read_what_pynrrd_writes(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 1000, (7, 6, 5)).astype(np.uint16)
    steps = np.array([[0.5, 0.1, 0], [-0.1, 0.5, 0], [0, 0, 2]])
    fields = {"space": "right-anterior-superior", "space directions": steps, "space origin": [1.0, 2.0, 3.0]}
    nrrd.write(str(tmp_path / "py.nrrd"), data, fields | {"encoding": "bzip2"})
    volume = one(tmp_path / "py.nrrd")
    np.testing.assert_array_equal(volume.data, data.T)
    np.testing.assert_allclose(volume.geometry @ (4, 5, 6), np.array([1, 2, 3]) + np.array([6, 5, 4]) @ steps)


def test_a_segmentation_comes_back_and_says_what_slicer_asks(tmp_path: Path) -> None:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1, 2, 3], labels[4, 5, 6] = 2, 7
    classes = (LabelClass(value=2, name="Niere λ", color="#102030"), LabelClass(value=7, name="cyst"))
    volume = Volume(labels, oblique(np.diag([1.0, 2.0, 3.0])).geometry, kind="labels", classes=classes)
    path = write(volume, tmp_path / "ours.seg.nrrd")
    found = one(path)
    assert (found.kind, found.classes) == ("labels", classes)
    image = sitk.ReadImage(str(path))
    assert image.GetMetaData("Segment0_Name").encode("utf-8", "surrogateescape").decode() == "Niere λ"
    _, fields = nrrd.read(str(path))
    assert (fields["Segment1_LabelValue"], fields["Segment1_Layer"]) == ("7", "0")
    assert fields["Segment0_Extent"].split()[1::2] == [str(int(n) - 1) for n in fields["sizes"]]
    assert fields["Segmentation_MasterRepresentation"] == "Binary labelmap"


def test_whole_numbers_become_segments_where_a_segmentation_is_asked_for(tmp_path: Path) -> None:
    found = one(write(Volume(VOXELS % 3, None), tmp_path / "a.seg.nrrd"))
    assert (found.kind, [c.name for c in found.classes]) == ("labels", ["class 1", "class 2"])
    np.testing.assert_array_equal(found.data, VOXELS % 3)


def test_labels_stay_labels_in_a_plain_file(tmp_path: Path) -> None:
    classes = (LabelClass(value=1, name="two\nlines \\ here"),)
    volume = Volume(np.ones((2, 3, 4), np.uint8), None, kind="labels", classes=classes)
    found = one(write(volume, tmp_path / "labels.nrrd"))
    assert (found.kind, found.classes, found.geometry) == ("labels", classes, None)


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_every_number_type_survives(tmp_path: Path, dtype: str) -> None:
    data = (np.arange(24).reshape(2, 3, 4) % 7).astype(dtype)
    np.testing.assert_array_equal(one(write(Volume(data, None), tmp_path / "a.nrrd")).data, data)


def test_a_time_series_and_a_colour_volume_survive(tmp_path: Path) -> None:
    grid = oblique(np.diag([1.0, 2.0, 3.0])[::-1]).geometry
    series = Volume(np.random.default_rng(0).normal(size=(3, 5, 6, 7)), grid, axes=("time",))
    found = one(write(series, tmp_path / "series.nrrd"))
    assert found.axes == ("time",)
    np.testing.assert_array_equal(found.data, series.data)
    colour = Volume(np.random.default_rng(0).integers(0, 255, (5, 6, 7, 3)).astype(np.uint8), grid, rgb=True)
    assert one(write(colour, tmp_path / "colour.nrrd")).rgb


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="no suffix of a format"):
        write(Volume(VOXELS, None), tmp_path / "a.nhdr")
    with pytest.raises(WriteError, match="not one label map"):
        write(Volume(VOXELS - 1, None), tmp_path / "a.seg.nrrd")
    with pytest.raises(WriteError, match="not one label map"):
        write(Volume(VOXELS.astype(np.float32), None), tmp_path / "a.seg.nrrd")
    assert list(tmp_path.glob("*.n*")) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": "4 3"}, "sizes"),
        ({"sizes": "4 3 0"}, "sizes"),
        ({"sizes": "4 3 -2"}, "sizes"),
        ({"sizes": None}, "sizes"),
        ({"dimension": "many"}, "dimension"),
        ({"dimension": None}, "dimension"),
        ({"type": "block"}, "type"),
        ({"type": None}, "type"),
        ({"endian": None}, "endian"),
        ({"encoding": "zrl"}, "encoding"),
        ({"sizes": "4 3 3"}, "truncated"),
        ({"sizes": "40000 30000 20000"}, "claims|truncated"),
        ({"sizes": "999999999999999 999999999999999 9"}, "claims"),
        ({"encoding": "gzip"}, "decoded|truncated"),
        ({"encoding": "ascii"}, "decoded|invalid literal|numbers"),
        ({"space directions": "(1,0,0) (2,0,0) (0,0,1)"}, "singular"),
        ({"space directions": "(1,0,0) (0,1,0)"}, "space directions"),
        ({"space directions": "(1,0,0) none none"}, "spatial axes"),
        ({"space directions": "(1,0,inf) (0,1,0) (0,0,1)"}, "finite"),
        ({"spacings": "1 x 2"}, "number"),
        ({"byte skip": "-1", "encoding": "gzip"}, "byte skip"),
        ({"byte skip": "100"}, "truncated"),
    ],
)
def test_a_broken_header_is_one_clear_error(tmp_path: Path, changes: dict[str, str | None], words: str) -> None:
    with pytest.raises(ReadError, match=words):
        read(saved(tmp_path / "a.nrrd", header(**changes)))


def test_a_damaged_stream_is_noticed(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(VOXELS.tobytes()))
    packed[-6] ^= 0xFF
    with pytest.raises(ReadError):
        read(saved(tmp_path / "sum.nrrd", header(encoding="gzip"), bytes(packed)))
    with pytest.raises(ReadError, match="truncated"):
        read(saved(tmp_path / "cut.nrrd", header(encoding="gzip"), gzip.compress(VOXELS.tobytes())[:-12]))


def test_a_header_that_never_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(b"NRRD0005\n" + b"#" * (1 << 25))
    with pytest.raises(ReadError, match="no end"):
        read(path)
