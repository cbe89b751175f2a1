"""What is written in the other formats, as SimpleITK, nibabel, pynrrd and tifffile read it."""

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everybody calls it
import tifffile
from scipy.spatial.transform import Rotation

from napari_medseg import read, write
from napari_medseg.errors import WriteError
from napari_medseg.io.orientation import onto_grid
from napari_medseg.volume import Geometry, LabelClass, Volume

SHAPE = (5, 6, 7)
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
ORDERS = {"axial": (2, 1, 0), "sagittal": (0, 1, 2), "odd": (1, 2, 0)}
GRIDS = [("axial", 0), ("sagittal", 20), ("odd", -35)]


def placed(order: str, degrees: float) -> Geometry:
    """Return an anisotropic grid, oblique about all axes, with the patient's axes in some order."""
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", (degrees, degrees / 2, -degrees / 3), degrees=True).as_matrix()
    affine[:3, :3] = turned[:, list(ORDERS[order])] * (4.0, 1.1, 0.7)
    affine[:3, 3] = (-31.5, 17.25, 101.125)
    return Geometry(SHAPE, affine)


def image(order: str, degrees: float, dtype: str = "int16") -> Volume:
    return Volume(np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype), placed(order, degrees))


def by_simpleitk(path: Path) -> Volume:
    found = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(found.GetDirection(), (3, 3)) * found.GetSpacing())[:, ::-1]
    affine[:3, 3] = found.GetOrigin()
    data = sitk.GetArrayFromImage(found)
    return Volume(data, Geometry(data.shape, FLIP @ affine))


def by_nibabel(path: Path) -> Volume:
    found = nib.load(path, mmap=False)
    return Volume(np.asarray(found.dataobj), Geometry(found.shape, found.affine))


def by_pynrrd(path: Path) -> Volume:
    data, header = nrrd.read(str(path))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.array(header["space directions"], float).T, header["space origin"]
    assert header["space"] == "left-posterior-superior"
    return Volume(data, Geometry(data.shape, FLIP @ affine))


READERS = [
    (".nii", by_simpleitk), (".nii.gz", by_simpleitk), (".nrrd", by_simpleitk), (".mha", by_simpleitk),
    (".nii", by_nibabel), (".nii.gz", by_nibabel), (".nrrd", by_pynrrd), (".mgz", by_nibabel),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "reader"), READERS)
@pytest.mark.parametrize(("order", "degrees"), GRIDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_the_voxels_are_the_same_at_the_same_place(
    tmp_path: Path, suffix: str, reader, order: str, degrees: float, dtype: str
) -> None:
    volume = image(order, degrees, dtype)
    freesurfer = suffix == ".mgz"
    if freesurfer and dtype in ("uint32", "float64"):
        with pytest.raises(WriteError, match=f"FreeSurfer.*{dtype}"):
            write(volume, tmp_path / f"image{suffix}")
        return
    found = onto_grid(reader(write(volume, tmp_path / f"image{suffix}")), volume.geometry, 1e-3)
    assert found is not None
    assert freesurfer or found.data.dtype == dtype
    np.testing.assert_array_equal(found.data, volume.data)


@pytest.mark.parametrize("dtype", TYPES)
def test_ome_tiff_has_the_voxels_and_their_size(tmp_path: Path, dtype: str) -> None:
    volume = image("axial", 0, dtype)
    with tifffile.TiffFile(write(volume, tmp_path / "image.ome.tif")) as file:
        np.testing.assert_array_equal(file.asarray(), volume.data)
        assert file.series[0].axes == "ZYX"
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    sizes = [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"]
    np.testing.assert_allclose(sizes, volume.geometry.spacing)
    assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"mm"}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_simpleitk_sees_the_steps_of_a_moving_image(tmp_path: Path, suffix: str) -> None:
    volume = image("axial", 12)
    moving = Volume(np.stack([volume.data, volume.data + 500]), volume.geometry, axes=("time",))
    found = sitk.ReadImage(str(write(moving, tmp_path / f"image{suffix}")))
    data = sitk.GetArrayFromImage(found)
    # ITK takes a list of a NRRD file for the components of a voxel.
    steps = data if found.GetDimension() == 4 else np.moveaxis(data, -1, 0)
    np.testing.assert_array_equal(steps, moving.data)


@pytest.mark.parametrize("suffix", [".nii.gz", ".seg.nrrd", ".nrrd", ".mha", ".ome.tif", ".medvol"])
def test_classes_survive(tmp_path: Path, suffix: str) -> None:
    classes = (LabelClass(value=2, name="Tumör: links; 1=a", color="#ABCDEF"), LabelClass(value=300, name="x" * 200))
    labels = np.zeros(SHAPE, np.uint16)
    labels[1, 2, 3], labels[3, 2, 1] = 2, 300
    volume = Volume(labels, placed("odd", 20), kind="labels", classes=classes, derivation="predicted by x")
    (found,) = read(write(volume, tmp_path / f"labels{suffix}"))
    assert found.kind == "labels"
    assert [(c.value, c.name, c.color.lower()) for c in found.classes] == [
        (c.value, c.name, c.color.lower()) for c in classes
    ]
    assert found.derivation == "predicted by x"
    np.testing.assert_array_equal(onto_grid(found, volume.geometry).data, labels)


def test_slicer_s_fields_are_there(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2, 3] = 2
    volume = Volume(labels, placed("axial", 10), kind="labels", classes=(LabelClass(value=2, name="liver"),))
    _, header = nrrd.read(str(write(volume, tmp_path / "labels.seg.nrrd")))
    assert header["Segment0_ID"] == "Segment_2"
    assert (header["Segment0_Name"], header["Segment0_LabelValue"], header["Segment0_Layer"]) == ("liver", "2", "0")
    assert [float(part) for part in header["Segment0_Color"].split()] == pytest.approx(
        [int("3cb44b"[start : start + 2], 16) / 255 for start in (0, 2, 4)], abs=1e-6
    )
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
