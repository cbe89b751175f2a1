"""Files and folders open where the patient is, in one world, with their warnings shown."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import Notification, notification_manager
from pydicom import dcmread
from pydicom.data import get_testdata_file
from scipy.spatial.transform import Rotation

from napari_medseg.errors import ReadError
from napari_medseg.ui import readers
from napari_medseg.ui.layers import KEY, geometry_of
from napari_medseg.ui.readers import get_reader, layers_of
from napari_medseg.volume import Geometry, Volume


def save(path: Path, degrees: float = 0, shape: tuple[int, ...] = (8, 9, 10)) -> Path:
    affine = np.diag([-1.0, -1.5, 2.0, 1.0])
    affine[:3, :3] = Rotation.from_euler("y", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    nib.save(nib.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine), path)
    return path


@pytest.fixture
def shown() -> Iterator[list[str]]:
    """Return the texts of the notifications that the user sees."""
    texts: list[str] = []

    def keep(notification: Notification) -> None:
        texts.append(notification.message)

    notification_manager.notification_ready.connect(keep)
    yield texts
    notification_manager.notification_ready.disconnect(keep)


def opened(path: str | list[str]) -> list[Layer]:
    reader = get_reader(path)
    assert reader is not None
    return [Layer.create(*layer) for layer in reader(path)]


def test_a_file_becomes_a_layer(tmp_path) -> None:
    (layer,) = opened(str(save(tmp_path / "scan.nii.gz")))
    assert layer.name == "scan"
    assert layer.data.shape == (10, 9, 8)
    np.testing.assert_allclose(layer.scale, (-2, 1.5, 1))
    np.testing.assert_allclose(geometry_of(layer) @ (1, 1, 1), (-1, -1.5, 2))


def test_several_files_become_layers_in_the_frame_of_the_first(tmp_path) -> None:
    paths = [str(save(tmp_path / name, 20)) for name in ("a.nii", "b.nii")]
    one, other = opened(paths)
    assert one.metadata[KEY].shown_on is None
    assert other.metadata[KEY].frame is one.metadata[KEY].frame


def dicom_series(folder: Path, uid: str, slices: int = 5) -> list[str]:
    """Write copies of a slice 3 mm apart, in a file order that is not theirs; return the paths."""
    folder.mkdir(exist_ok=True)
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.SeriesInstanceUID = uid
    paths = []
    for place in np.random.default_rng(0).permutation(slices):
        dataset.ImagePositionPatient[2] = 3.0 * int(place)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{uid}.{place}"
        dataset.PixelData = np.full((128, 128), place, np.int16).tobytes()
        paths.append(str(folder / f"{uid[-1]}{len(paths)}.dcm"))
        dataset.save_as(paths[-1])
    return paths


def test_a_folder_of_shuffled_slices_is_one_volume_per_series(tmp_path) -> None:
    dicom_series(tmp_path, "1.2.3.1")
    dicom_series(tmp_path, "1.2.3.2", slices=3)
    first, second = opened(str(tmp_path))
    assert first.data.shape == (5, 128, 128)
    assert second.data.shape == (3, 128, 128)
    # slices lie 3 mm apart from the feet to the head, each with its own value
    steps = np.diff(first.data[:, 0, 0]) * np.sign(-first.scale[0])
    assert len(set(steps)) == 1
    assert steps[0] > 0
    assert abs(first.scale[0]) == pytest.approx(3)


def test_slices_opened_as_a_stack_are_their_whole_series_and_no_other(tmp_path) -> None:
    paths = dicom_series(tmp_path, "1.2.3.1")
    dicom_series(tmp_path, "1.2.3.2", slices=3)
    (layer,) = opened(paths[1:4])
    assert layer.data.shape == (5, 128, 128)


def test_a_file_opened_later_lies_in_the_frame_of_the_viewer(tmp_path, monkeypatch) -> None:
    viewer = ViewerModel()
    monkeypatch.setattr(readers.napari, "current_viewer", lambda: viewer)
    for path in (save(tmp_path / "a.nii", 20), save(tmp_path / "b.nii", 20), save(tmp_path / "c.nii")):
        for layer in opened(str(path)):
            viewer.add_layer(layer)
    oblique, same, straight = (layer.metadata[KEY] for layer in viewer.layers)
    assert oblique.shown_on is None
    assert same.shown_on is None
    assert straight.shown_on is not None
    assert straight.frame is oblique.frame


def test_what_the_reader_had_to_decide_is_shown(shown) -> None:
    volume = Volume(np.zeros((3, 4, 5)), None, name="CT 3", warnings=("Two slices are missing.", "No window."))
    layers_of([volume, replace(volume, name="CT 4")], None)
    assert shown == ["CT 3: Two slices are missing.\nCT 3: No window.\nCT 4: Two slices are missing.\nCT 4: No window."]


def test_a_series_that_is_shown_resampled_says_so(shown) -> None:
    straight = Geometry((4, 5, 6), np.array([[0, 0, -1, 0], [0, -1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]]))
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", (20, 20, 20), degrees=True).as_matrix()
    volumes = [
        Volume(np.zeros((4, 5, 6)), grid, name=name)
        for grid, name in ((straight, "first"), (Geometry((4, 5, 6), turned @ straight.affine), "second"))
    ]
    layers_of(volumes, None)
    assert len(shown) == 1
    assert "second is shown resampled" in shown[0]


def test_nothing_is_shown_where_there_is_nothing_to_say(shown) -> None:
    layers_of([Volume(np.zeros((3, 4, 5)), None)], None)
    assert shown == []


def test_a_plane_does_not_set_the_frame_of_the_volumes() -> None:
    plane = Geometry((5, 6), np.array([[0, -1, 0, 0], [-0.8, 0, 0.6, 0], [0.6, 0, 0.8, 0], [0, 0, 0, 1.0]]))
    straight = Geometry((4, 5, 6), np.array([[0, 0, -1, 0], [0, -1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]]))
    layers = layers_of([Volume(np.zeros((5, 6)), plane), Volume(np.zeros((4, 5, 6)), straight)], None)
    assert layers[1][1]["metadata"][KEY].shown_on is None


@pytest.mark.parametrize("name", ["notes.txt", "photo.xyz", "README"])
def test_other_files_are_left_to_other_readers(name, tmp_path) -> None:
    (tmp_path / name).write_text("Nothing to see here.")
    assert get_reader(str(tmp_path / name)) is None


def test_a_folder_without_images_says_so(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("Nothing to see here.")
    reader = get_reader(str(tmp_path))
    assert reader is not None
    with pytest.raises(ReadError, match="no DICOM"):
        reader(str(tmp_path))


def test_a_damaged_file_is_reported_for_what_it_is(tmp_path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(save(tmp_path / "good.nii.gz").read_bytes()[:100])
    reader = get_reader(str(tmp_path / "scan.nii.gz"))
    assert reader is not None
    with pytest.raises(ReadError, match=r"scan\.nii\.gz"):
        reader(str(tmp_path / "scan.nii.gz"))


def test_reading_and_labelling_leave_torch_out_of_napari_s_process(tmp_path) -> None:
    code = """
import sys
from napari.layers import Layer
from napari_medseg.ui import commands, readers, samples, writers
from napari_medseg.ui.layers import new_labels
from napari_medseg.volume import LabelClass
path = sys.argv[1]
(image,) = [Layer.create(*found) for found in readers.get_reader(path)(path)]
labels = new_labels(image, [LabelClass(value=1, name="liver")])
writers.write_labels(path.replace(".nii", "-labels.nii"), *labels.as_layer_data_tuple()[:2])
heavy = {"torch", "monai", "torchvision", "triton", "ignite"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(save(tmp_path / "a.nii"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
