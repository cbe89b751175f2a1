"""What is saved lies exactly where its image does."""

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from pydicom import dcmread
from scipy.spatial.transform import Rotation

from napari_medseg.errors import WriteError
from napari_medseg.io import read, write
from napari_medseg.ui import readers, writers
from napari_medseg.ui.layers import new_labels
from napari_medseg.ui.readers import get_reader
from napari_medseg.ui.writers import write_image, write_labels
from napari_medseg.volume import LabelClass

TUMOUR = LabelClass(value=3, name="tumour", color="#123456")
AXCODES = [
    "".join(codes) for order in itertools.permutations(["RL", "AP", "SI"]) for codes in itertools.product(*order)
]
TILTS = [(0, 0, 0), (0, 20, 0), (12, -9, 0), (25, 14, -19)]


def save(path: Path, axcodes: str = "RAS", degrees: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    """Write an anisotropic image in the file order of `axcodes`, turned about the patient's axes; return its affine."""
    shape = (4, 5, 6)
    ornt = nib.orientations.axcodes2ornt(axcodes)
    affine = nib.orientations.inv_ornt_aff(ornt, shape) @ np.diag([0.8, 1.1, 2.5, 1.0])
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = (-31.5, 12.25, 71.0)
    nib.save(nib.Nifti1Image(np.arange(120, dtype=np.float32).reshape(shape), affine), path)
    return np.asarray(nib.load(path).affine)


def opened(path: Path) -> Layer:
    reader = get_reader(str(path))
    assert reader is not None
    return Layer.create(*reader(str(path))[0])


def saved(path: Path, layer: Layer) -> nib.Nifti1Image:
    data, meta, kind = layer.as_layer_data_tuple()
    write = write_labels if kind == "labels" else write_image
    assert write(str(path), data, meta) == [str(path)]
    return nib.load(path)


@pytest.fixture
def viewer(monkeypatch) -> ViewerModel:
    viewer = ViewerModel()
    for module in (readers, writers):
        monkeypatch.setattr(module.napari, "current_viewer", lambda: viewer)
    return viewer


@pytest.mark.parametrize("degrees", TILTS)
@pytest.mark.parametrize("axcodes", AXCODES)
def test_labels_are_saved_voxel_for_voxel_on_the_image_s_affine(axcodes, degrees, tmp_path) -> None:
    affine = save(tmp_path / "image.nii", axcodes, degrees)
    image = opened(tmp_path / "image.nii")
    labels = new_labels(image, [TUMOUR])
    labels.data[image.data == 77] = 3

    written = saved(tmp_path / "labels.nii", labels)

    np.testing.assert_array_equal(written.affine, affine)
    assert np.argwhere(np.asarray(written.dataobj) == 3).tolist() == [list(np.unravel_index(77, (4, 5, 6)))]
    assert written.get_data_dtype() == np.uint8


@pytest.mark.parametrize("degrees", [(0, 0, 0), (25, 14, -19)])
@pytest.mark.parametrize("axcodes", ["LPS", "RAS", "PIR", "ASL", "SPL", "IAR"])
def test_labels_of_napari_s_own_button_are_saved_on_the_image_s_affine(viewer, axcodes, degrees, tmp_path) -> None:
    affine = save(tmp_path / "image.nii", axcodes, degrees)
    image = viewer.add_layer(opened(tmp_path / "image.nii"))
    viewer.layers.selection = {image}
    viewer._new_labels()
    labels = viewer.layers[-1]
    labels.data[image.data == 77] = 3

    written = saved(tmp_path / "labels.nii.gz", labels)

    np.testing.assert_array_equal(written.affine, affine)
    assert np.argwhere(np.asarray(written.dataobj) == 3).tolist() == [list(np.unravel_index(77, (4, 5, 6)))]


def test_each_of_two_series_with_different_frames_gets_its_own_grid(viewer, tmp_path) -> None:
    for name, degrees in (("first", (0, 0, 0)), ("second", (25, 14, -19))):
        affine = save(tmp_path / f"{name}.nii", "PIR", degrees)
        image = viewer.add_layer(opened(tmp_path / f"{name}.nii"))
        labels = viewer.add_layer(new_labels(image, [TUMOUR]))
        labels.data[:] = 3
        written = saved(tmp_path / f"{name}-labels.nii", labels)
        np.testing.assert_array_equal(written.affine, affine)
        assert (np.asarray(written.dataobj) == 3).all()


def test_an_image_is_saved_as_it_was_read(tmp_path) -> None:
    affine = save(tmp_path / "image.nii", "PIR", (12, -9, 0))
    written = saved(tmp_path / "copy.nii.gz", opened(tmp_path / "image.nii"))
    np.testing.assert_array_equal(written.affine, affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.arange(120).reshape(4, 5, 6))


def test_an_image_shown_resampled_is_saved_as_it_was_read(viewer, tmp_path) -> None:
    save(tmp_path / "first.nii")
    viewer.add_layer(opened(tmp_path / "first.nii"))
    affine = save(tmp_path / "image.nii", "PIR", (25, 14, -19))
    image = opened(tmp_path / "image.nii")
    assert image.data.size != 120
    written = saved(tmp_path / "copy.nii.gz", image)
    np.testing.assert_array_equal(written.affine, affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.arange(120).reshape(4, 5, 6))


def test_class_names_are_saved(tmp_path) -> None:
    save(tmp_path / "image.nii")
    labels = new_labels(opened(tmp_path / "image.nii"), [TUMOUR])
    labels.data[0, 0, 0] = 3
    saved(tmp_path / "labels.nii.gz", labels)
    (volume,) = read(tmp_path / "labels.nii.gz")
    assert volume.kind == "labels"
    assert volume.classes == (TUMOUR,)


def test_saved_labels_open_as_labels_and_save_again_unchanged(tmp_path) -> None:
    save(tmp_path / "image.nii", "ASL", (12, -9, 0))
    labels = new_labels(opened(tmp_path / "image.nii"), [TUMOUR])
    labels.data[1, 2, 3] = 3
    first = saved(tmp_path / "labels.nii.gz", labels)
    again = opened(tmp_path / "labels.nii.gz")
    assert isinstance(again, Labels)
    assert again.metadata
    second = saved(tmp_path / "again.nii.gz", again)
    np.testing.assert_array_equal(first.affine, second.affine)
    np.testing.assert_array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))


def test_a_colour_photograph_is_saved(tmp_path) -> None:
    colors = np.random.default_rng(0).integers(0, 255, (4, 5, 3)).astype(np.uint8)
    saved(tmp_path / "photo.nii", Image(colors, rgb=True))
    (volume,) = read(tmp_path / "photo.nii")
    np.testing.assert_array_equal(volume.data, colors)


def test_a_foreign_layer_is_saved_with_the_geometry_it_has(tmp_path) -> None:
    layer = Image(np.zeros((4, 5, 6), np.float32), scale=(3, 2, 1), translate=(10, 20, 30), units="mm")
    written = saved(tmp_path / "foreign.nii", layer)
    np.testing.assert_allclose(written.affine @ (1, 1, 1, 1), (-31, -22, -13, 1))


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path) -> None:
    labels = Labels(np.zeros((4, 5), np.uint8))
    with pytest.raises(WriteError, match=r"Use one of .*\.nii\.gz"):
        saved(tmp_path / "labels.xyz", labels)


@pytest.fixture
def ct_series(tmp_path) -> Path:
    """Return the folder of an oblique CT series."""
    save(tmp_path / "image.nii", "RAS", (12, -9, 0))
    (volume,) = read(tmp_path / "image.nii")
    return write(replace(volume, modality="CT"), tmp_path / "series", report=lambda _note: None)


@pytest.mark.parametrize("name", ["labels.dcm", "labels.rtstruct.dcm"])
def test_labels_on_a_dicom_image_are_saved_as_dicom_that_refers_to_it(viewer, ct_series, name) -> None:
    image = viewer.add_layer(opened(ct_series))
    labels = viewer.add_layer(new_labels(image, [TUMOUR]))
    labels.data[image.data == 77] = 3
    data, meta, _ = labels.as_layer_data_tuple()
    (path,) = write_labels(str(ct_series.parent / name), data, meta)
    Path(path).rename(ct_series / name)
    _, found = read(ct_series)
    np.testing.assert_array_equal(found.data, labels.data)
    assert found.classes == (TUMOUR,)
    assert dcmread(ct_series / name).StudyInstanceUID == dcmread(ct_series / "00001.dcm").StudyInstanceUID


def test_labels_of_napari_s_own_button_are_saved_as_dicom(viewer, ct_series) -> None:
    save(ct_series.parent / "first.nii")
    viewer.add_layer(opened(ct_series.parent / "first.nii"))
    image = viewer.add_layer(opened(ct_series))
    assert image.data.size != 120
    viewer.layers.selection = {image}
    viewer._new_labels()
    labels = viewer.layers[-1]
    own = viewer.add_layer(new_labels(image, [TUMOUR]))
    for layer in (labels, own):
        layer.data[:] = 3
        data, meta, _ = layer.as_layer_data_tuple()
        (path,) = write_labels(str(ct_series.parent / "labels.dcm"), data, meta)
        (found,) = read(path)
        assert (found.data == 3).all()
        assert found.geometry.matches(read(ct_series)[0].geometry)


def test_an_image_is_saved_as_a_series_beside_the_name_that_was_given(viewer, ct_series, monkeypatch) -> None:
    image = viewer.add_layer(opened(ct_series))
    data, meta, _ = image.as_layer_data_tuple()
    (path,) = write_image(str(ct_series.parent / "copy.dcm"), data, meta)
    assert path == str(ct_series.parent / "copy")
    (found,), (original,) = read(path), read(ct_series)
    np.testing.assert_array_equal(found.data, original.data)
    assert found.geometry.matches(original.geometry)
    assert dcmread(f"{path}/00001.dcm").PatientID == dcmread(ct_series / "00001.dcm").PatientID
    data, meta, _ = Image(np.arange(20, dtype=np.uint8).reshape(4, 5)).as_layer_data_tuple()
    said: list[str] = []
    monkeypatch.setattr(writers, "show_warning", said.append)
    assert write_image(str(ct_series.parent / "picture.dcm"), data, meta) == [str(ct_series.parent / "picture.dcm")]
    assert "anonymous patient" in said[0]


def test_labels_on_an_image_that_is_no_dicom_are_refused_as_dicom(viewer, tmp_path) -> None:
    save(tmp_path / "image.nii")
    image = viewer.add_layer(opened(tmp_path / "image.nii"))
    labels = viewer.add_layer(new_labels(image, [TUMOUR]))
    labels.data[0, 0, 0] = 3
    with pytest.raises(WriteError, match="not known to belong to a DICOM series"):
        saved(tmp_path / "labels.dcm", labels)
