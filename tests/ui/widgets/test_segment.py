"""The Segment widget runs models on layers and says what is wrong when they do not fit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_medseg.jobs import Work, local_engine
from napari_medseg.ui.layers import classes_of, image_volume, to_layer_tuples
from napari_medseg.ui.widgets.bundle_choice import OPEN
from napari_medseg.volume import Geometry, Volume

pytestmark = pytest.mark.viewer

MAKE = """
import sys, torch
from napari_medseg.models import BACKGROUND, Bundle, ModelSpec, build
from napari_medseg.volume import LabelClass
classes = (BACKGROUND, LabelClass(value=1, name="organ"), LabelClass(value=4, name="lesion", color="#102030"))
for name, channels in (("Fits", 1), ("Wants two channels", 2)):
    torch.manual_seed(0)
    spec = ModelSpec(name=name, architecture="unet", options={"features": 2, "stages": 3, "residual_units": 0},
                     classes=classes, channels=channels, patch_size=(16, 16, 16))
    Bundle.create(spec, build(spec).state_dict()).save(f"{sys.argv[1]}/{name}")
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return a folder with models of random weights, made in a process of its own."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    return folder


@pytest.fixture
def models(made, medseg_home):
    """Return the library, with the models in it."""
    return Path(shutil.copytree(made, medseg_home / "models"))


@pytest.fixture
def image(viewer):
    """Return a layer of a flipped, anisotropic volume."""
    affine = np.array([[0, 0, 0.8, -20.0], [0, 0.8, 0, -31.5], [-2.5, 0, 0, 17], [0, 0, 0, 1]])
    data = np.random.default_rng(1).normal(0, 1, (12, 30, 26)).astype(np.float32)
    ((data, about, _),) = to_layer_tuples(Volume(data, Geometry(data.shape, affine), name="MR 2", modality="MR"))
    return viewer.add_image(data, **about)


@pytest.fixture
def segment(models, image, dock):
    return dock("Segment")


def choose(segment, name):
    index = segment.model.findText(name)
    segment.model.setCurrentIndex(index)
    segment.model.activated.emit(index)


def test_a_run_gives_labels_on_the_images_grid_with_names_and_volumes(segment, image, viewer, settle, click):
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    result = viewer.layers.selection.active
    assert result.name == "MR 2 Fits"
    assert image_volume(result).geometry == image_volume(image).geometry
    assert [(c.value, c.name) for c in classes_of(result)] == [(1, "organ"), (4, "lesion")]
    assert classes_of(result)[1].color == "#102030"
    rows = [[segment.volumes.item(r, c).text() for c in (0, 1)] for r in range(segment.volumes.rowCount())]
    expected = [(result.data == value).sum() * 2.5 * 0.8 * 0.8 / 1000 for value in (1, 4)]
    assert [name for name, _ in rows] == ["organ", "lesion"]
    assert [float(ml) for _, ml in rows] == pytest.approx(expected, abs=0.006)
    assert not segment.panel.busy
    assert any("Fits took" in note for note in segment.panel.messages.notes)


def test_what_is_saved_is_what_is_seen_with_the_users_corrections(
    segment, image, viewer, settle, click, monkeypatch, tmp_path
):
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    result = viewer.layers.selection.active
    result.data_setitem((np.array([5]), np.array([6]), np.array([7])), 4)
    path = tmp_path / "out.nii.gz"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    click(segment.save_button)
    settle(lambda: "Saved out.nii.gz." in segment.panel.messages.notes)
    saved = nib.as_closest_canonical(nib.load(path))
    own = image_volume(image).geometry
    shown = nib.as_closest_canonical(nib.Nifti1Image(np.asarray(result.data), own.affine))
    np.testing.assert_array_equal(np.asarray(saved.dataobj), np.asarray(shown.dataobj))
    np.testing.assert_allclose(saved.affine, shown.affine, atol=1e-5)
    # a corrected result is the user's: the next run leaves it alone
    click(segment.run_button)
    settle(lambda: not segment.panel.busy and len(viewer.layers) == 3)
    assert result.data[5, 6, 7] == 4


def test_a_second_run_replaces_a_result_that_nobody_touched(segment, viewer, settle, click):
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    segment.volumes.setRowCount(0)
    click(segment.run_button)
    settle(lambda: segment.volumes.rowCount() == 2)
    assert [layer.name for layer in viewer.layers] == ["MR 2", "MR 2 Fits"]


def test_probabilities_come_as_an_image(segment, viewer, settle, click):
    segment.options.show(segment.options.values().model_copy(update={"probabilities": True}))
    click(segment.run_button)
    settle(lambda: len(viewer.layers) == 3)
    probabilities = next(layer for layer in viewer.layers if "probabilities" in layer.name)
    assert probabilities.data.shape == (3, 12, 30, 26)
    np.testing.assert_allclose(np.asarray(probabilities.data).sum(axis=0), 1, atol=1e-5)
    settle(lambda: segment.save_button.isVisible())


def test_a_model_that_does_not_fit_is_said_with_a_remedy(segment, click, qtbot):
    choose(segment, "Wants two channels")
    click(segment.run_button)
    qtbot.waitUntil(lambda: segment.panel.messages.error is not None, timeout=30_000)
    assert "2" in segment.panel.messages.error.problem
    assert segment.panel.messages.error.remedy
    assert segment.run_button.isEnabled()


def test_a_folder_that_is_no_model_is_refused(segment, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(tmp_path))
    choose(segment, OPEN)
    assert "is not a model" in segment.panel.messages.error.problem
    assert segment.model.bundle.spec.name == "Fits"
    assert segment.model.currentText() == "Fits"


def test_a_model_from_any_folder_can_be_run(segment, made, tmp_path, monkeypatch, settle, click, viewer):
    elsewhere = Path(shutil.copytree(made / "Fits", tmp_path / "elsewhere"))
    metadata = elsewhere / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"Fits"', '"From elsewhere"'))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(elsewhere))
    choose(segment, OPEN)
    assert segment.model.currentText() == "From elsewhere"
    click(segment.run_button)
    settle(lambda: "MR 2 From elsewhere" in [layer.name for layer in viewer.layers])
    settle(lambda: segment.save_button.isVisible())


def test_cancel_ends_a_run_without_a_result(segment, viewer, click, settle, qtbot):
    segment.options.show(segment.options.values().model_copy(update={"overlap": 0.9}))
    click(segment.run_button)
    settle(lambda: segment.panel.job is not None and segment.panel.job.state == "running")
    click(segment.panel.cancel_button)
    settle(lambda: not segment.panel.busy and segment.run_button.isEnabled())
    qtbot.wait(200)
    assert len(viewer.layers) == 1
    assert segment.panel.messages.error is None


def test_an_image_removed_meanwhile_is_said(segment, image, viewer, click, qtbot):
    click(segment.run_button)
    viewer.layers.remove(image)
    qtbot.waitUntil(lambda: segment.panel.messages.error is not None, timeout=30_000)
    assert "was removed" in segment.panel.messages.error.problem


def test_removing_the_result_takes_its_numbers_away(segment, viewer, settle, click):
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    viewer.layers.remove("MR 2 Fits")
    assert not segment.save_button.isVisible()
    assert not segment.volumes.isVisible()


def test_options_are_remembered(segment, dock, viewer, settle, click):
    segment.options.show(segment.options.values().model_copy(update={"overlap": 0.5}))
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    viewer.window.remove_dock_widget("all")
    segment.deleteLater()
    assert dock("Segment").options.values().overlap == 0.5


def test_the_devices_are_the_workers_and_the_choice_is_kept(segment, settle, dock):
    job = local_engine().submit(Work("napari_medseg.device:describe_job", exclusive=False))
    found = job.outcome(60)
    settle(lambda: segment.device.count() == 1 + len(found))
    assert segment.device.itemText(0) == f"Automatic: {found[0].name}"
    assert segment.device.device == "auto"
    index = segment.device.findData("cpu")
    segment.device.setCurrentIndex(index)
    segment.device.activated.emit(index)
    assert dock("Train").setup.device.device == "cpu"


def test_an_absent_device_is_said(segment, click, qtbot):
    segment.device.addItem("mps", "mps")
    segment.device.setCurrentIndex(segment.device.count() - 1)
    click(segment.run_button)
    qtbot.waitUntil(lambda: segment.panel.messages.error is not None, timeout=30_000)
    assert "'mps'" in segment.panel.messages.error.problem
    assert "auto" in segment.panel.messages.error.remedy


WHOLE_LINE = """
import json, sys, time
import numpy as np
import napari
from qtpy.QtWidgets import QApplication

def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, [p.messages.error for p in panels]
        QApplication.processEvents()
        time.sleep(0.01)

viewer = napari.Viewer()
train = viewer.window.add_plugin_dock_widget("napari-medseg", "Train")[1]
segment = viewer.window.add_plugin_dock_widget("napari-medseg", "Segment")[1]
panels = [train.panel, train.prediction, segment.panel]
viewer.open(sys.argv[1], plugin="napari-medseg")
train.paint.add_labels()
train.paint.layer.data[8, 10, 5:20] = 1
train.paint.layer.data[8, 2, 5:20] = 255
train.setup.time.show(train.setup.time.values().model_copy(update={"minutes": None}))
tiny = {"steps": 2, "patch_size": (16, 16, 16), "batch_size": 1}
train.setup.advanced.show(train.setup.advanced.values().model_copy(update=tiny))
train.train_button.click()
until(lambda: train.results.bundle is not None)
train.results.segment_button.click()
until(lambda: train.volumes.rowCount() == 1)
segment.model.choose(train.results.bundle)
segment.run_button.click()
until(lambda: segment.volumes.rowCount() == 1)
segment.save_as(__import__("pathlib").Path(sys.argv[2]))
until(lambda: segment.panel.messages.notes[-1].startswith("Saved"))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
viewer.close()
"""


@pytest.mark.slow
def test_napari_never_imports_torch(phantom, dicom, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "settings.yaml"))
    command = [sys.executable, "-c", WHOLE_LINE, str(dicom(phantom("axial"))), str(tmp_path / "out.nii.gz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"napari", "napari_medseg"} <= loaded
    assert not loaded & {"torch", "torchvision", "monai", "triton"}
    assert (tmp_path / "out.nii.gz").exists()
