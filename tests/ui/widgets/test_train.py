"""What the Train widget says and does when things are not as they should be, and around a training."""

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog, QMessageBox

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.models import Bundle, library
from napari_medseg.ui.layers import classes_of
from napari_medseg.volume import LabelClass

pytestmark = pytest.mark.viewer


@pytest.fixture
def refused(train, click, qtbot):
    """Return a function that presses Train and gives the error that the panel then shows."""

    def press():
        click(train.train_button)
        qtbot.waitUntil(lambda: train.panel.messages.error is not None, timeout=20_000)
        assert not train.panel.busy
        assert train.train_button.isEnabled()
        assert train.panel.messages.error.remedy
        return train.panel.messages.error

    return press


def test_nothing_can_be_pressed_before_there_is_something(train, viewer):
    assert not train.train_button.isEnabled()
    assert not train.paint.new_button.isEnabled()
    assert not train.resume_button.isVisible()
    viewer.add_image(np.zeros((8, 16, 16)))
    assert train.paint.new_button.isEnabled()
    assert not train.train_button.isEnabled()


def test_labels_without_strokes(refused, scribbled, train):
    train.paint.layer.data[:] = 0
    assert "No class is painted" in refused().problem


def test_a_single_class_without_background(refused, scribbled, train):
    train.paint.layer.data[train.paint.layer.data == BACKGROUND_VALUE] = 0
    error = refused()
    assert "Only class 1 is painted" in error.problem
    assert "background" in error.remedy


def test_labels_of_another_image(refused, viewer, train, settle):
    viewer.add_image(np.zeros((8, 16, 16)), scale=(2, 1, 1))
    labels = np.zeros((9, 12, 12), np.uint8)
    labels[0, 0, 0] = 1
    viewer.add_labels(labels, translate=(500, 500, 500))
    settle(lambda: train.paint.classes)
    assert "does not lie on" in refused().problem


def test_a_patch_of_the_wrong_length(refused, scribbled, train, set_up):
    set_up(train, patch_size=(16, 16))
    assert "patch" in refused().problem.lower()


def test_a_value_that_cannot_be(refused, scribbled, train):
    train.setup.advanced._editors["patch_size"].widget[0].value = True
    train.setup.advanced._editors["patch_size"].widget[1].value = "wide"
    assert refused().problem.startswith("Patch size:")


def test_an_image_without_a_place_in_space_trains(viewer, train, set_up, settle, click):
    data = np.random.default_rng(0).normal(0, 1, (16, 24, 24)).astype(np.float32)
    data[:, 8:16, 8:16] += 5
    viewer.add_image(data, name="plain")
    click(train.paint.new_button)
    train.paint.layer.data[4, 10, 8:16] = 1
    train.paint.layer.data[4, 2] = BACKGROUND_VALUE
    set_up(train, steps=2)
    click(train.train_button)
    settle(lambda: train.results.isVisible())
    click(train.results.segment_button)
    settle(lambda: "plain class 1" in [layer.name for layer in viewer.layers])
    assert viewer.layers[-1].data.shape == data.shape


def test_cancel_while_copying_starts_nothing(train, scribbled, click, qtbot):
    train.train()
    assert train.panel.preparing
    train.panel.cancel()
    qtbot.wait(300)
    assert not train.panel.busy
    assert train.panel.job is None
    assert train.train_button.isEnabled()


def test_classes_are_the_layers(train, scribbled, viewer):
    table, labels = train.paint.table, train.paint.layer
    table.add()
    table.table.item(2, 1).setText("vessel")
    assert [c.name for c in classes_of(labels)] == ["class 1", "vessel"]
    assert labels.selected_label == 2
    assert labels.mode == "paint"
    assert viewer.layers.selection.active is labels
    labels.selected_label = 1
    assert table.table.currentRow() == 1


def test_names_of_a_chosen_layer_fill_the_table(train, viewer, qtbot):
    viewer.add_image(np.zeros((4, 8, 8)))
    labels = np.zeros((4, 8, 8), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1] = 3, 7
    viewer.add_labels(labels, name="from a file")
    qtbot.waitUntil(lambda: [c.value for c in train.paint.classes] == [3, 7], timeout=5000)
    assert [c.name for c in classes_of(train.paint.layer)] == ["class 3", "class 7"]


@pytest.mark.parametrize(("answer", "left"), [("Yes", 0), ("No", 1)])
def test_removing_a_class_asks_for_its_voxels(train, scribbled, monkeypatch, answer, left):
    train.paint.table.select(1)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: getattr(QMessageBox.StandardButton, answer))
    before = train.paint.layer.data.copy()
    train.paint.table.remove_selected()
    assert bool((train.paint.layer.data == 1).any()) == bool(left)
    train.paint.layer.undo()
    if not left:
        np.testing.assert_array_equal(train.paint.layer.data, before)


def test_a_model_goes_to_the_library_and_to_a_folder(
    train, scribbled, set_up, settle, click, monkeypatch, tmp_path, qtbot
):
    set_up(train, steps=2)
    click(train.train_button)
    settle(lambda: train.results.isVisible())
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("My balls", True))
    click(train.results.library_button)
    settle(lambda: [bundle.spec.name for bundle in library()] == ["My balls"])
    train.results.save_to(tmp_path / "model")
    settle(lambda: "Saved class 1 in model." in train.panel.messages.notes)
    assert Bundle.load(tmp_path / "model").spec.foreground == (LabelClass(value=1, name="class 1"),)
    settle(lambda: train.setup.start.findText("My balls") > 0)

    # and training goes on from it, with one more class
    train.setup.start.choose(library()[0])
    assert not train.setup.design._editors["size"].widget.native.isVisible()
    train.paint.table.add()
    train.paint.layer.data[3, 20, 10:20] = 2
    click(train.train_button)
    settle(lambda: train.results.isVisible() and not train.panel.busy)
    assert any("My balls" in note for note in train.panel.messages.notes)
    assert [c.name for c in train.results.bundle.spec.foreground] == ["class 1", "class 2"]


def test_a_learning_rate_is_proposed_with_its_curve(train, scribbled, set_up, settle, click):
    set_up(train, steps=2)
    before = train.setup.advanced.values().learning_rate
    train.setup.rate.button.click()
    settle(lambda: train.setup.rate.plot.isVisibleTo(train.setup.rate), 120)
    rate = train.setup.advanced.values().learning_rate
    assert rate != before
    assert 1e-6 < rate < 1
    (curve,) = train.setup.rate.plot.listDataItems()
    assert len(curve.xData) > 10


def test_undo_and_strokes_of_an_unknown_class_are_followed(train, scribbled, set_up, settle, click):
    labels = train.paint.layer
    set_up(train, steps=100_000)
    click(train.train_button)
    settle(lambda: len(train.plot.steps) > 0)
    copy = np.load(train._live.run.path / "labels.medvol" / "data.npy", mmap_mode="r")
    start = labels.data.copy()
    np.testing.assert_array_equal(copy, start)
    labels.data_setitem((np.array([2, 2]), np.array([5, 6]), np.array([7, 7])), 1)
    settle(lambda: copy[2, 5, 7] == 1)
    labels.undo()
    settle(lambda: np.array_equal(copy, start))
    labels.data_setitem((np.array([2]), np.array([5]), np.array([7])), 9)
    settle(lambda: any("labelled 9" in note for note in train.panel.messages.notes))
    assert copy[2, 5, 7] == 0
    train.panel.cancel()
    settle(lambda: train.results.isVisible())


def test_a_widget_that_is_removed_takes_its_job_and_callbacks_with_it(viewer, train, scribbled, set_up, settle, click):
    set_up(train, steps=100_000)
    click(train.train_button)
    settle(lambda: len(train.plot.steps) > 0)
    job = train.panel.job
    viewer.window.remove_dock_widget("all")
    train.deleteLater()
    settle(lambda: job.ended)
    assert job.state == "cancelled"
    viewer.layers.remove(viewer.layers["MR 4"])
    viewer.add_image(np.zeros((4, 4)))
