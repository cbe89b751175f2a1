"""The Segment widget runs models on layers and says what is wrong when they do not fit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QInputDialog, QMessageBox
from scipy import ndimage

from napari_medseg.errors import LicenceError
from napari_medseg.jobs import ThreadJob, Work, local_engine
from napari_medseg.ui.layers import classes_of, image_volume, new_labels, to_layer_tuples
from napari_medseg.ui.widgets import model_menu
from napari_medseg.ui.widgets.bundle_choice import OPEN
from napari_medseg.ui.widgets.device_choice import short_name
from napari_medseg.ui.widgets.model_menu import EnsembleDialog
from napari_medseg.ui.widgets.results import ResultsWidget
from napari_medseg.volume import Geometry, LabelClass, Volume

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
def program(tmp_path):
    """Return a TorchScript file, with random weights that nobody trusts yet, and what it needs to be said beside it."""
    path = tmp_path / "scripted.ts"
    code = "import sys, torch; torch.jit.script(torch.nn.Conv3d(1, 2, 3, padding=1)).save(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(path)], check=True)
    path.with_suffix(".json").write_text(json.dumps({"classes": ["background", "organ"], "patch_size": [16, 16, 16]}))
    return path


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
    segment.setup.form.show(segment.setup.form.values().model_copy(update={"probabilities": True}))
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
    segment.setup.form.show(segment.setup.form.values().model_copy(update={"overlap": 0.9}))
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
    segment.setup.form.show(segment.setup.form.values().model_copy(update={"overlap": 0.5}))
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    viewer.window.remove_dock_widget("all")
    segment.deleteLater()
    assert dock("Segment").setup.form.values().overlap == 0.5


def test_the_devices_are_the_workers_and_the_choice_is_kept(segment, settle, dock):
    job = local_engine().submit(Work("napari_medseg.device:describe_job", exclusive=False))
    found = job.outcome(60)
    settle(lambda: segment.device.count() == 1 + len(found))
    assert segment.device.itemText(0) == f"Automatic: {short_name(found[0].name)}"
    assert found[0].name in segment.device.toolTip()
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


def test_steps_after_the_network_are_done_and_remembered_with_their_model(segment, viewer, settle, click, dock):
    segment.setup.after.expand(animate=False)
    segment.setup.steps.add_button.menu().actions()[0].trigger()
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    result = viewer.layers.selection.active
    for value in (1, 4):
        assert ndimage.label(result.data == value, np.ones((3, 3, 3)))[1] <= 1
    choose(segment, "Wants two channels")
    assert not segment.setup.steps.rows
    choose(segment, "Fits")
    assert [row.kind for row in segment.setup.steps.rows] == ["largest"]


def test_uncertainty_and_mirrored_views_come_as_asked(segment, image, viewer, settle, click):
    segment.setup.form.show(segment.setup.form.values().model_copy(update={"uncertainty": True}))
    flips = segment.setup.flips
    assert [flips.itemText(k) for k in range(flips.count())] == [
        "none", "head–foot (2×)", "front–back (2×)", "left–right (2×)", "front–back and left–right (4×)",
        "all axes (8×)",
    ]  # fmt: skip
    flips.setCurrentIndex(3)
    flips.activated.emit(3)
    for _ in range(2):
        click(segment.run_button)
        settle(lambda: not segment.panel.busy and len(viewer.layers) == 3)
    settle(lambda: segment.save_button.isVisible())
    (unsure,) = [layer for layer in viewer.layers if layer.name == "MR 2 Fits uncertainty"]
    assert unsure.contrast_limits == [0, 1]
    assert unsure.data_to_world((1, 2, 3)) == pytest.approx(image.data_to_world((1, 2, 3)))
    assert 0 < np.asarray(unsure.data).max() <= 1
    assert viewer.layers.selection.active.name == "MR 2 Fits"
    assert segment.setup.options("auto").flip_axes == (2,)


def test_only_what_a_rectangle_surrounds_is_segmented(segment, image, viewer, settle, click):
    corners = [image.data_to_world(index) for index in ((5, 4, 6), (5, 4, 15), (5, 13, 15), (5, 13, 6))]
    viewer.add_shapes([np.array(corners)], shape_type="rectangle", name="here")
    segment.region.setCurrentText("here")
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    found = np.argwhere(viewer.layers["MR 2 Fits"].data)
    assert (found.min(axis=0) >= (0, 4, 6)).all()
    assert (found.max(axis=0) <= (11, 13, 15)).all()
    assert len(np.unique(found[:, 0])) > 1


def test_only_what_labels_mark_is_segmented(segment, image, viewer, settle, click):
    marks = new_labels(image, [LabelClass(value=1, name="here")])
    marks.data[2:6, 3:20, 4:9] = 1
    viewer.add_layer(marks)
    segment.region.choose(marks)
    click(segment.run_button)
    settle(lambda: segment.save_button.isVisible())
    result = viewer.layers["MR 2 Fits"].data
    assert result[2:6, 3:20, 4:9].any()
    assert not result[np.asarray(marks.data) == 0].any()


def test_a_region_beside_the_image_is_said(segment, viewer, click, qtbot):
    viewer.add_shapes([np.array([[0, 900, 900], [0, 900, 950], [0, 950, 950]])], shape_type="polygon", name="away")
    segment.region.setCurrentText("away")
    click(segment.run_button)
    assert "does not lie on" in segment.panel.messages.error.problem


def test_models_are_combined_into_an_ensemble(segment, models, viewer, settle, click, monkeypatch):
    shutil.copytree(models / "Fits", models / "Twin")
    metadata = models / "Twin" / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"Fits"', '"Twin"'))

    def tick_two(dialog):
        for name in ("Fits", "Twin"):
            dialog.list.findItems(name, Qt.MatchFlag.MatchExactly)[0].setCheckState(Qt.CheckState.Checked)
        dialog.name.setText("Both")
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(EnsembleDialog, "exec", tick_two)
    segment.menu.menu().actions()[3].trigger()
    settle(lambda: segment.model.currentText() == "Both")
    click(segment.run_button)
    settle(lambda: "MR 2 Both" in viewer.layers)
    settle(lambda: segment.save_button.isVisible())


def test_a_model_of_another_place_is_added_to_the_collection(segment, made, tmp_path, settle, monkeypatch):
    elsewhere = Path(shutil.copytree(made / "Fits", tmp_path / "elsewhere"))
    metadata = elsewhere / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"Fits"', '"Newcomer"'))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(elsewhere))
    segment.menu.menu().actions()[0].trigger()
    settle(lambda: segment.model.currentText() == "Newcomer")
    assert "Added Newcomer to your models." in segment.panel.messages.notes


@pytest.mark.parametrize("agrees", [True, False])
def test_a_program_is_added_only_if_the_user_trusts_it(segment, program, settle, monkeypatch, agrees, qtbot):
    asked = []
    answer = QMessageBox.StandardButton.Yes if agrees else QMessageBox.StandardButton.No
    monkeypatch.setattr(QMessageBox, "question", lambda *words: asked.append(words[2]) or answer)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(program), ""))
    segment.menu.menu().actions()[1].trigger()
    qtbot.waitUntil(lambda: bool(asked), timeout=60_000)
    assert "can do on this computer whatever you can" in asked[0]
    if agrees:
        settle(lambda: segment.model.currentText() == "scripted")
    else:
        qtbot.waitUntil(lambda: not segment.panel.busy)
        assert segment.model.findText("scripted") < 0
        assert segment.panel.messages.error is not None


def test_what_is_fetched_needs_a_yes_to_its_licence(segment, made, settle, monkeypatch):
    class Store:
        """An engine whose models are sold under terms."""

        def submit(self, work):
            def fetch(_control, _tell):
                if work.arguments["options"]["agreed"] != "abc":
                    raise LicenceError("Liver comes under CC-BY-4.0.", "Read it.", "You must name the authors.", "abc")
                return made / "Fits"

            return ThreadJob(work.target, fetch)

    monkeypatch.setattr(model_menu, "local_engine", Store)
    asked = []
    monkeypatch.setattr(
        QMessageBox, "question", lambda *words: asked.append(words[2]) or QMessageBox.StandardButton.Yes
    )
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("liver_ct", True))
    segment.menu.menu().actions()[2].trigger()
    settle(lambda: segment.model.bundle is not None and segment.model.bundle.path == made / "Fits")
    assert "You must name the authors." in asked[0]


def test_the_result_goes_on_to_the_results_panel(segment, viewer, settle, click):
    assert not segment.results_button.isVisible()
    click(segment.run_button)
    settle(lambda: segment.results_button.isVisible())
    click(segment.results_button)
    (results,) = [w for w in QApplication.allWidgets() if isinstance(w, ResultsWidget) and w.isVisible()]
    assert results.labels.layer is viewer.layers["MR 2 Fits"]


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
