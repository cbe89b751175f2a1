"""What is written comes back the same, or the file that was there before stays."""

from dataclasses import fields, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from napari_medseg import read, write
from napari_medseg.errors import WriteError
from napari_medseg.io import formats, writing
from napari_medseg.prediction import LabelClass, LabelMap, Prediction
from napari_medseg.volume import Geometry, Volume

SHAPE = (5, 6, 7)


def rotation(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return about_x @ about_z


def grid(axcodes: str, degrees: float) -> Geometry:
    """Return an anisotropic grid with axes nearest to `axcodes`, rotated off the axes."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) * (0.7, 1.1, 4.0)
    affine[:3, 3] = (-31.5, 17.25, 101.125)
    return Geometry(SHAPE, affine @ inv_ornt_aff(axcodes2ornt(axcodes), SHAPE))


def ramp(dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".medvol"])
@pytest.mark.parametrize("degrees", [0.0, 20.0])
@pytest.mark.parametrize("axcodes", ["SPL", "SAR", "IAL", "PSR", "LSA", "RAS"])
def test_voxels_and_grid_survive_any_orientation(tmp_path: Path, axcodes: str, degrees: float, suffix: str) -> None:
    volume = Volume(ramp(), grid(axcodes, degrees))
    (found,) = read(write(volume, tmp_path / f"image{suffix}"))
    order = (0, 1, 2) if suffix == ".medvol" else volume.geometry.axes_nearest_zyx()
    np.testing.assert_array_equal(found.data, volume.data.transpose(order))
    assert found.geometry.matches(volume.geometry.transposed(order), 1e-4)


def test_nibabel_reads_the_same_voxel_at_the_same_place(tmp_path: Path) -> None:
    volume = Volume(ramp(), grid("SPL", 15))
    image = nib.load(write(volume, tmp_path / "image.nii.gz"))
    stored = np.asarray(image.dataobj)
    assert stored.dtype == np.int16
    for k, j, i in np.ndindex(*SHAPE):
        assert stored[i, j, k] == volume.data[k, j, i]
    for code in ("sform", "qform"):
        affine, used = getattr(image, f"get_{code}")(coded=True)
        assert used == 1
        np.testing.assert_allclose(affine @ (6, 5, 4, 1), [*(volume.geometry @ (4, 5, 6)), 1], atol=1e-4)


def test_a_sheared_grid_has_no_qform_that_would_be_wrong(tmp_path: Path) -> None:
    affine = np.diag([5.0, 0.5, 0.5, 1.0])[:, [2, 1, 0, 3]]
    affine[1, 0] = 1.3
    volume = Volume(ramp(), Geometry(SHAPE, affine))
    path = write(volume, tmp_path / "tilted.nii")
    header = nib.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    assert read(path)[0].geometry.matches(volume.geometry, 1e-4)


@pytest.mark.parametrize(
    ("highest", "dtype"), [(3, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32")]
)
def test_labels_take_the_smallest_type_that_holds_them(tmp_path: Path, highest: int, dtype: str) -> None:
    labels = np.zeros(SHAPE, np.int64)
    labels[1, 2, 3] = highest
    path = write(Volume(labels, grid("SPL", 0), kind="labels"), tmp_path / "labels.nii.gz")
    (found,) = read(path)
    assert found.kind == "labels"
    assert found.data.dtype == dtype
    np.testing.assert_array_equal(found.data, labels)
    assert nib.load(path).header.get_intent()[0] == "label"


def test_a_prediction_keeps_its_class_names_and_colours(tmp_path: Path) -> None:
    classes = (LabelClass(value=0, name="background"), LabelClass(value=4, name="tumour", color="#102030"))
    labels = np.zeros(SHAPE, np.uint8)
    labels[2] = 4
    prediction = Prediction((LabelMap(labels, classes),), grid("SAR", 10), "model", "0" * 64)
    (found,) = read(write(prediction, tmp_path / "prediction.nii.gz"))
    assert found.classes == classes
    np.testing.assert_array_equal(found.data, labels)


@pytest.mark.parametrize("suffix", [".nii", ".medvol"])
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint64", "float16", "float32", "float64"]
)
def test_every_number_type_keeps_its_values(tmp_path: Path, dtype: str, suffix: str) -> None:
    data = ramp() % 100 > 50 if dtype == "bool" else ramp(dtype)
    if np.dtype(dtype).kind == "f":
        data[0, 0, 0] = np.nan
    (found,) = read(write(Volume(data, grid("SPL", 0)), tmp_path / f"image{suffix}"))
    np.testing.assert_array_equal(found.data, data)


def test_integers_beyond_double_precision_are_exact(tmp_path: Path) -> None:
    data = np.full(SHAPE, 2**63 + 1, np.uint64)
    (found,) = read(write(Volume(data, grid("SPL", 0), kind="labels"), tmp_path / "labels.nii"))
    assert found.data.dtype == np.uint64
    assert (found.data == data).all()


def test_a_mapped_volume_keeps_every_field(tmp_path: Path) -> None:
    volume = Volume(
        np.arange(2 * 3 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 3, 4, 5, 3),
        Geometry((3, 4, 5), grid("SPL", 25).affine),
        name="MR 7",
        modality="MR",
        units="1",
        window=(-160.25, 240.5),
        rgb=True,
        axes=("time",),
        axis_values={"time": np.array([0.0, 1.5])},
        classes=(LabelClass(value=1, name="a"),),
        suv_factor=0.1234567890123456,
        series_id="abc",
        warnings=("Slices are missing.",),
    )
    (found,) = read(write(volume, tmp_path / "volume.medvol"))
    assert isinstance(found.data, np.memmap)
    for field in fields(Volume):
        mine, theirs = getattr(volume, field.name), getattr(found, field.name)
        if field.name == "axis_values":
            assert mine.keys() == theirs.keys()
            np.testing.assert_array_equal(mine["time"], theirs["time"])
        elif field.name == "data":
            np.testing.assert_array_equal(mine, theirs)
        elif field.name == "path":
            assert theirs == tmp_path / "volume.medvol"
        else:
            assert mine == theirs, field.name


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".medvol"])
def test_an_image_without_geometry_stays_without(tmp_path: Path, suffix: str) -> None:
    for data in (ramp(), ramp()[0]):
        (found,) = read(write(Volume(data, None), tmp_path / f"image{suffix}"))
        assert found.geometry is None
        np.testing.assert_array_equal(found.data, data)


def test_time_steps_and_colours_come_back(tmp_path: Path) -> None:
    moving = Volume(
        np.arange(4 * np.prod(SHAPE), dtype=np.float32).reshape(4, *SHAPE),
        grid("SPL", 5),
        axes=("time",),
        axis_values={"time": np.array([1.0, 3.5, 6.0, 8.5])},
    )
    (found,) = read(write(moving, tmp_path / "moving.nii.gz"))
    assert found.axes == ("time",)
    np.testing.assert_array_equal(found.data, moving.data)
    np.testing.assert_allclose(found.axis_values["time"], [1.0, 3.5, 6.0, 8.5])
    colour = Volume(np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), np.uint8), grid("SPL", 5), rgb=True)
    (found,) = read(write(colour, tmp_path / "colour.nii.gz"))
    assert found.rgb
    np.testing.assert_array_equal(found.data, colour.data)


def test_two_dimensional_geometry_survives(tmp_path: Path) -> None:
    plane = Geometry(SHAPE[1:], np.array([[0, 0.5, 0, 3], [0.8, 0, 0, 4], [0, 0, 1, 5], [0, 0, 0, 1.0]]))
    volume = Volume(ramp()[0], plane)
    (found,) = read(write(volume, tmp_path / "plane.nii"))
    np.testing.assert_array_equal(found.data, volume.data)
    np.testing.assert_allclose(found.geometry.affine, plane.affine, atol=1e-5)


@pytest.mark.parametrize("name", ["image.nii.gz", "image.medvol"])
def test_a_write_that_comes_back_wrong_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    old = Volume(ramp(), grid("SPL", 0))
    path = write(old, tmp_path / name)
    form = writing._writer(path)
    broken = replace(form, write=lambda volume, target: form.write(replace(volume, data=volume.data + 1), target))
    monkeypatch.setattr(writing, "formats", lambda: (broken,))
    with pytest.raises(WriteError, match="other voxels"):
        write(Volume(ramp() * 2, grid("SPL", 0)), path)
    np.testing.assert_array_equal(read(path)[0].data, old.data)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_moved_grid_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = next(form for form in formats() if form.name == "nifti")
    moved = Geometry(SHAPE, grid("SPL", 0).affine + np.eye(4)[:, [3]] @ np.zeros((1, 4)) + 0.01 * np.eye(4, k=3))
    broken = replace(form, write=lambda volume, target: form.write(replace(volume, geometry=moved), target))
    monkeypatch.setattr(writing, "formats", lambda: (broken,))
    with pytest.raises(WriteError, match="another grid"):
        write(Volume(ramp(), grid("SPL", 0)), tmp_path / "image.nii")
    assert not list(tmp_path.iterdir())


def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    volume = Volume(ramp(), grid("SPL", 0))
    with pytest.raises(WriteError, match=r"suffix.*\.nii\.gz"):
        write(volume, tmp_path / "image.docx")
    write(volume, tmp_path / "image.nii")
    with pytest.raises(WriteError, match="exists"):
        write(volume, tmp_path / "image.nii", overwrite=False)
    with pytest.raises(WriteError, match="integers of 0 or more"):
        write(Volume(ramp() - 5, grid("SPL", 0), kind="labels"), tmp_path / "labels.nii")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WriteError):
        write(volume, tmp_path / "file" / "image.nii")
