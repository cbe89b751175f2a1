"""In the real window: files open, menus and samples work, and the picture on the screen is the right way round."""

import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari import Viewer
from napari.layers import Labels
from npe2 import PluginManager

from napari_medseg.ui.layers import geometry_of, tag_of
from napari_medseg.volume import Geometry, Volume

pytestmark = pytest.mark.viewer

MakeViewer = Callable[..., Viewer]
SHAPE = (60, 64, 68)
"""Voxels from side to side, front to back and feet to head."""


@pytest.fixture(autouse=True)
def _plugin() -> None:
    PluginManager.instance().discover()


def save(path: Path, axcodes: str = "PIR") -> Path:
    """Write an image that is dark but for a ball to the right, front and head of its middle."""
    shape = tuple(SHAPE["RLAPSI".index(code) // 2] for code in axcodes)
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axcodes), shape)
    grid = Geometry(shape, affine)
    centre = grid @ ((np.array(shape) - 1) / 2)
    points = grid @ np.moveaxis(np.indices(shape), 0, -1)
    ball = np.linalg.norm(points - centre - (15, 15, 15), axis=-1) < 9
    nib.save(nib.Nifti1Image((1000 * ball).astype(np.int16), affine), path)
    return path


@pytest.mark.parametrize("axcodes", ["PIR", "LPS", "RAS"])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)], ids=["axial", "coronal", "sagittal"])
def test_the_screen_is_radiological(
    make_napari_viewer: MakeViewer, tmp_path: Path, order: tuple[int, ...], axcodes: str
) -> None:
    viewer = make_napari_viewer(show=True)
    (layer,) = viewer.open(str(save(tmp_path / "ball.nii", axcodes)), plugin="napari-medseg")
    layer.contrast_limits = (0, 1000)
    viewer.dims.order = order
    right, front, head = geometry_of(layer).corners().mean(axis=0) + 15
    viewer.dims.point = (-head, -front, -right)
    viewer.reset_view()
    picture = viewer.screenshot(flash=False, canvas_only=True)[..., 0]
    rows, columns = np.nonzero(picture > 128)
    assert len(rows) > 50
    # Front is up in an axial view and the head in the others; the patient's right is on the left, and in a sagittal
    # view the front is.
    assert rows.mean() < picture.shape[0] / 2
    assert columns.mean() < picture.shape[1] / 2


def test_the_3d_view_is_no_mirror_image(make_napari_viewer: MakeViewer, tmp_path: Path) -> None:
    viewer = make_napari_viewer(show=True)
    (layer,) = viewer.open(str(save(tmp_path / "ball.nii")), plugin="napari-medseg")
    layer.contrast_limits = (0, 1000)
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    # Seen from the feet, as an axial slice is: front up, the patient's right on the left.
    picture = viewer.screenshot(flash=False, canvas_only=True)[..., 0]
    rows, columns = np.nonzero(picture > 128)
    assert len(rows) > 50
    assert rows.mean() < picture.shape[0] / 2
    assert columns.mean() < picture.shape[1] / 2
    towards_viewer = -np.array(viewer.scene.camera.view_direction)
    # The eye is where the feet are: world axis 0 grows to the feet.
    assert towards_viewer[0] > 0.9


def test_the_contrast_slider_of_an_opened_file_reaches_all_values(make_napari_viewer: MakeViewer) -> None:
    viewer = make_napari_viewer()
    viewer.open_sample("napari-medseg", "ct_phantom")
    image = viewer.layers[0]
    assert image.contrast_limits_range[0] <= image.data[len(image.data) // 2].min()


def test_labels_of_napari_s_own_button_are_saved_through_napari_s_own_dialog_code(
    make_napari_viewer: MakeViewer, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    source = save(tmp_path / "image.nii.gz", "PIR")
    (image,) = viewer.open(str(source), plugin="napari-medseg")
    viewer.layers.selection = {image}
    viewer._new_labels()
    labels = viewer.layers[-1]
    assert isinstance(labels, Labels)
    labels.data[image.data > 0] = 7

    assert labels.save(str(tmp_path / "labels.nii.gz"), plugin="napari-medseg") == [str(tmp_path / "labels.nii.gz")]

    written, original = nib.load(tmp_path / "labels.nii.gz"), nib.load(source)
    np.testing.assert_array_equal(written.affine, original.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj) == 7, np.asarray(original.dataobj) > 0)


def test_a_name_without_suffix_becomes_a_nifti_file(make_napari_viewer: MakeViewer, tmp_path: Path) -> None:
    viewer = make_napari_viewer()
    viewer.open(str(save(tmp_path / "image.nii")), plugin="napari-medseg")
    viewer.layers.selection = {viewer.layers[0]}
    assert viewer.layers.save(str(tmp_path / "copy"), selected=True, plugin="napari-medseg") == [
        str(tmp_path / "copy.nii.gz")
    ]


def test_a_second_file_opens_in_the_frame_of_the_first(make_napari_viewer: MakeViewer, tmp_path: Path) -> None:
    viewer = make_napari_viewer()
    oblique = np.array([[0.9, -0.3, 0, 5], [0.3, 0.9, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(np.zeros((20, 21, 22), np.float32), oblique), tmp_path / "oblique.nii")
    first, second = (
        viewer.open(str(path), plugin="napari-medseg")[0]
        for path in (tmp_path / "oblique.nii", save(tmp_path / "straight.nii"))
    )
    assert tag_of(first).shown_on is None
    assert tag_of(second).shown_on is not None
    assert tag_of(second).frame is tag_of(first).frame


def test_a_folder_of_volumes_between_processes_opens(make_napari_viewer: MakeViewer, tmp_path: Path) -> None:
    from napari_medseg.io import write

    grid = Geometry((4, 5, 6), np.diag([3.0, 2.0, 1.0, 1.0]) @ np.eye(4)[[2, 1, 0, 3]])
    write(Volume(np.arange(120, dtype=np.int16).reshape(4, 5, 6), grid), tmp_path / "a.medvol")
    viewer = make_napari_viewer()
    (layer,) = viewer.open(str(tmp_path / "a.medvol"), plugin="napari-medseg")
    np.testing.assert_array_equal(layer.data, np.arange(120).reshape(4, 5, 6))


@pytest.mark.parametrize("sample", ["ct_slice", "ct_phantom"])
def test_samples_open_from_the_menu(make_napari_viewer: MakeViewer, sample: str) -> None:
    viewer = make_napari_viewer()
    assert viewer.open_sample("napari-medseg", sample)


def test_the_menu_s_labels_command_gets_the_viewer(make_napari_viewer: MakeViewer, tmp_path: Path) -> None:
    from napari._app_model import get_app_model

    viewer = make_napari_viewer()
    viewer.open(str(save(tmp_path / "image.nii")), plugin="napari-medseg")
    get_app_model().commands.execute_command("napari-medseg.add_labels").result()
    assert isinstance(viewer.layers[-1], Labels)
    assert geometry_of(viewer.layers[-1]) is geometry_of(viewer.layers[0])


def test_opening_files_and_samples_leaves_torch_out(make_napari_viewer: MakeViewer, tmp_path: Path) -> None:
    before = "torch" in sys.modules
    viewer = make_napari_viewer()
    viewer.open(str(save(tmp_path / "image.nii")), plugin="napari-medseg")
    viewer.open_sample("napari-medseg", "ct_phantom")
    assert ("torch" in sys.modules) == before
