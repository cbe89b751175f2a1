"""A user at the Labels panel: paint, finish, accept, lock, take back, and be sent to where the model is wrong."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.data.annotation import HUMAN, ModelVersion, model_code
from napari_medseg.errors import GeometryError
from napari_medseg.models.design import Design
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.progress import Preview, Surveyed
from napari_medseg.project.visits import load_visits
from napari_medseg.training import Drawing, LabelsChanged, LookAround, TrainConfig
from napari_medseg.ui.layers import (
    add_map,
    add_prediction,
    annotation_of,
    go_to_slice,
    image_of,
    new_labels,
    tag_of,
    to_layer_tuples,
    visible_slice,
)
from napari_medseg.ui.projects.sources import open_source
from napari_medseg.ui.run_layout import CASE, TrainPlan, lay_out_run
from napari_medseg.ui.widgets.live_labels import OpenPair
from napari_medseg.ui.widgets.live_run import LiveRun
from napari_medseg.ui.widgets.next_box import NextBox
from napari_medseg.volume import Geometry, LabelClass, Volume

pytestmark = pytest.mark.viewer
CLASSES = (LabelClass(value=1, name="ball"), LabelClass(value=2, name="rest"))


@pytest.fixture
def image(viewer, phantom):
    scanned = phantom("axial")
    volume = Volume(scanned.data, Geometry(scanned.data.shape, scanned.affine), name="MR 4", modality="MR")
    return viewer.add_image(to_layer_tuples(volume)[0][0], **to_layer_tuples(volume)[0][1])


@pytest.fixture
def labels(viewer, image):
    return viewer.add_layer(new_labels(image, CLASSES))


@pytest.fixture
def prediction(viewer, image, phantom):
    """Return a prediction that misses the ball on slices 12 and 13, and knows that it is unsure there."""
    ball = phantom("axial").ball.astype(np.uint8)
    uncertainty = np.full(ball.shape, 0.05, np.float32)
    uncertainty[12:14][ball[12:14] > 0] = 0.9
    ball[12:14] = 0
    found = Prediction((LabelMap(ball, CLASSES),), tag_of(image).geometry, "balls", "c0ffee12" + "0" * 56)
    layer = add_prediction(viewer, image, found)
    shown = Volume(uncertainty, tag_of(image).geometry, name="balls uncertainty")
    add_map(viewer, image, shown, {"visible": False})
    return layer


@pytest.fixture
def panel(viewer, labels, prediction, dock, qtbot):
    widget = dock("Labels")
    widget.labels.choose(labels)
    widget.accepting.source.choose(prediction)
    viewer.dims.order = (0, 1, 2)
    viewer.reset_view()
    viewer.layers.selection.active = labels
    qtbot.wait(100)
    return widget


@pytest.fixture
def press(viewer, qtbot):
    """Return a function that presses a key on the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native

    def key(name: str, shift: bool = False) -> None:
        modifier = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{name}"), modifier)
        qtbot.wait(20)

    return key


def test_the_whole_loop_by_keys_and_mouse(viewer, panel, labels, prediction, mouse, press, settle, qtbot):
    labels.brush_size = 3
    go_to_slice(viewer, labels, 0, 10)
    labels.mode, labels.selected_label = "paint", 2
    mouse.stroke(labels, (10, 18, 22), (10, 18, 26))
    assert (labels.data == 2).any()
    press("G")
    mouse.stroke(labels, (10, 36, 3), (10, 36, 40))
    painted = labels.data.copy()
    assert set(np.unique(painted)) == {0, 2, BACKGROUND_VALUE}
    settle(lambda: panel.strip.marks.strokes[10])
    assert np.flatnonzero(panel.strip.marks.strokes).tolist() == [10]

    press("A")
    assert (labels.data[10] == 1).any()
    np.testing.assert_array_equal(labels.data[painted != 0], painted[painted != 0])
    assert "that you labelled otherwise stay" in panel.messages.notes[0]
    codes = annotation_of(labels).origin(labels.data)
    assert set(np.unique(codes)) == {0, HUMAN, model_code(1)}
    press("U")
    np.testing.assert_array_equal(labels.data, painted)
    press("U", shift=True)
    press("D")
    assert panel.finish_button.isChecked()
    assert panel.strip.marks.finished[10]
    assert (annotation_of(labels).taught(labels.data)[10] != 0).all()
    press("D")
    assert not panel.strip.marks.finished.any()
    press("D", shift=True)
    assert panel.strip.marks.finished.all()
    press("D", shift=True)

    # napari's own undo knows the strokes, and nothing else
    labels.undo()
    labels.undo()
    assert not ((labels.data == 2) | (labels.data == BACKGROUND_VALUE)).any()
    assert (labels.data[10] == 1).any()


def test_a_click_on_the_strip_goes_to_the_slice(viewer, panel, labels, qtbot, dock):
    for index in (3, 17):
        x = round(panel.strip.centre_of(index))
        qtbot.mouseClick(panel.strip, Qt.MouseButton.LeftButton, pos=QPoint(x, 15))
        assert visible_slice(viewer, labels) == (0, index)
        assert panel.strip.marks.current == index
    # as on napari's slider: the axis has a negative scale
    assert panel.strip.marks.backwards == (labels.scale[0] < 0)
    assert f"Slice 18 of {labels.data.shape[0]}" in panel.here.text()


def test_the_component_under_the_mouse(viewer, panel, labels, prediction, press):
    go_to_slice(viewer, labels, 0, 8)
    viewer.cursor.position = labels.data_to_world((8, 18, 24))
    press("C")
    assert (labels.data[:12] == 1).any()
    assert not (labels.data[14:] == 1).any()  # cut off from it by the slices that were missed


def test_locks_hold_against_the_mouse(viewer, panel, labels, mouse, qtbot):
    go_to_slice(viewer, labels, 0, 10)
    labels.data[10, 18, 20:28] = 1
    labels.refresh()
    panel.locks.show_values((1,))
    panel.locks.changed.emit()
    labels.brush_size, labels.mode, labels.selected_label = 5, "paint", 2
    mouse.stroke(labels, (10, 18, 16), (10, 18, 32))
    qtbot.wait(50)
    assert (labels.data[10, 18, 20:28] == 1).all()
    assert (labels.data[10] == 2).sum() > 20
    labels.undo()
    labels.redo()
    assert (labels.data[10, 18, 20:28] == 1).all()


def test_next_goes_where_the_model_is_wrong_half_of_the_time_and_counts(
    viewer, panel, labels, prediction, settle, press
):
    sent = []
    panel.next.sent.connect(sent.append)
    panel.next.trials.random = np.random.default_rng(2)
    kinds = []
    for number in range(4):
        press("N")
        settle(lambda number=number: len(sent) == number + 1)
        visit = panel.next._visit
        kinds.append(visit.kind)
        index = sent[-1].start[0]
        assert visible_slice(viewer, labels) == (0, index)
        assert index in panel.strip.marks.marked
        if visit.kind == "suggested":
            labels.data[index, 10:20, 10:20] = 2
    first = next(place for place, kind in zip(sent, kinds, strict=True) if kind == "suggested")
    assert first.start[0] in (12, 13)
    assert sorted(kinds[:2]) == sorted(kinds[2:]) == ["random", "suggested"]
    press("N")
    settle(lambda: len(sent) == 5)
    report = panel.next.trials.report()
    assert (report.suggested, report.random) == (2, 2)
    assert report.suggested_share == pytest.approx(100 / labels.data[0].size)
    assert report.random_share == 0
    assert "Too few to tell" in panel.next.report.text()


def test_a_box_is_shown_with_its_outline(viewer, panel, labels, settle):
    panel.next.what.setCurrentIndex(1)
    panel.next.trials._ahead = ["suggested"]
    sent = []
    panel.next.sent.connect(sent.append)
    panel.next.go()
    settle(lambda: sent)
    (place,) = sent
    assert any(place.start[0] <= k < place.stop[0] for k in (12, 13))
    assert f"{labels.name} look here" in viewer.layers
    assert viewer.layers.selection.active is labels


def test_who_labelled_what_is_shown_and_follows(viewer, panel, labels, settle, press, qtbot):
    go_to_slice(viewer, labels, 0, 8)
    labels.data[8, 0, 0:5] = 2
    press("A")
    panel.origin.box.setChecked(True)
    name = f"{labels.name} origin"
    settle(lambda: name in viewer.layers)
    over = viewer.layers[name]
    assert set(np.unique(over.data[8])) == {0, 1, 2}
    labels.data_setitem((np.array([8]), np.array([18]), np.array([24])), 2)
    settle(lambda: viewer.layers[name].data[8, 18, 24] == 3)
    panel.origin.box.setChecked(False)
    assert name not in viewer.layers


def test_what_cannot_be_done_says_why_and_changes_nothing(viewer, panel, labels, prediction, qtbot):
    prediction.scale = [2 * s for s in prediction.scale]
    panel.accepting.accept()
    assert isinstance(panel.messages.error, GeometryError)
    assert not labels.data.any()
    panel.messages.clear()
    viewer.layers.remove(prediction)
    viewer.layers.remove(labels)
    assert not panel.accepting.accept_button.isEnabled()
    for act in panel.shortcuts().values():
        act()
    assert panel.messages.error is not None
    panel.messages.clear()


def test_keys_are_given_back(viewer, panel, qtbot):
    assert any("G" in str(key) for key in viewer.keymap)
    viewer.window.remove_dock_widget(panel.parent())
    panel.deleteLater()
    qtbot.waitUntil(lambda: not any(str(key) in ("G", "D", "A", "N") for key in viewer.keymap), timeout=3000)


def test_a_plane_has_no_strip(viewer, dock, qtbot):
    layer = viewer.add_labels(np.zeros((20, 30), np.uint8))
    widget = dock("Labels")
    assert not widget.strip.isVisible()
    widget.finish_slice()
    assert annotation_of(layer).complete
    assert widget.complete_button.isChecked()


def test_labels_of_several_volumes_are_left_alone(viewer, dock):
    layer = viewer.add_labels(np.zeros((2, 5, 20, 30), np.uint8))
    viewer.add_labels(np.ones((2, 5, 20, 30), np.uint8))
    widget = dock("Labels")
    widget.labels.choose(layer)
    widget.finish_slice()
    widget.finish_volume()
    assert annotation_of(layer).finished == set()
    assert not annotation_of(layer).complete
    assert not widget.finish_button.isEnabled()
    widget.accepting.accept()
    assert "several volumes" in widget.messages.error.problem
    widget.messages.clear()
    assert not layer.data.any()


class Heard:
    """A job that notes what it is told."""

    def __init__(self) -> None:
        self.messages: list[object] = []

    def send(self, message: object) -> None:
        self.messages.append(message)


@pytest.fixture
def training(viewer, image, labels, dock):
    """Return the Labels panel, a training that only listens, and what shows it."""
    labels.data[10, 18, 18:30], labels.data[10, 3, 3:40] = 1, BACKGROUND_VALUE
    pair, job = OpenPair("case-007", image, labels), Heard()
    plan = TrainPlan("ball", CLASSES, Design(size="small"), None, TrainConfig(patch_size=(16, 16, 16)))
    panel = dock("Labels")
    run = LiveRun(viewer, [pair], lay_out_run(plan, [open_source(pair)]), job, panel)
    panel.labels.choose(labels)
    viewer.dims.order = (0, 1, 2)
    yield panel, job, run
    run.close()


def survey(run, index, doubtful=False):
    """Tell what a training says of a slice: a square of the ball, in doubt in the whole of it or along its border."""
    predicted, doubt = np.zeros((40, 44), np.uint8), np.zeros((40, 44), np.uint8)
    predicted[15:25, 15:25] = 1
    doubt[15:25, 15:25] = 250 if doubtful else 10
    run.show_event(Surveyed("case-007", 0, index, predicted, 3, doubt))


def test_next_asks_a_running_training_where_it_is_in_doubt(viewer, training, labels, press, settle, dock, qtbot):
    panel, job, run = training
    sent = []
    panel.next.sent.connect(sent.append)
    panel.next.trials._ahead = ["suggested"]
    press("N")
    qtbot.waitUntil(lambda: LookAround("case-007", 0) in job.messages, timeout=2000)
    assert not sent, "the training has not answered yet"
    for index in (2, 5, 8, 13, 16, 18):
        survey(run, index, doubtful=index == 16)
    settle(lambda: sent)
    assert sent[0].start[0] == 16
    assert visible_slice(viewer, labels) == (0, 16)
    labels.data[16, 12:14, 15:25] = 1

    # the next one is random, among slices that the training came to; the visit is kept with the case
    press("N")
    settle(lambda: len(sent) == 2)
    assert sent[1].start[0] in (2, 5, 8, 13, 18)
    panel.next.keeper.flush()
    settle(lambda: panel.next.keeper.project is not None)
    (visit,) = load_visits(panel.next.keeper.project.folder)
    assert (visit.kind, visit.start[0]) == ("suggested", 16)
    assert visit.share == pytest.approx(20 / labels.data[16].size)
    assert "suggested 1.1 % (1)" in panel.next.report.text()

    # and another panel, as after a restart, goes on counting
    again = NextBox(viewer, panel._prediction, panel)
    assert "suggested 1.1 % (1)" in again.report.text()


def test_a_box_of_a_running_training_counts_only_slices_that_it_came_to(training, labels, settle):
    panel, _, run = training
    for index in (2, 5, 8, 13, 16, 18):
        survey(run, index, doubtful=index == 16)
    sent = []
    panel.next.sent.connect(sent.append)
    panel.next.what.setCurrentIndex(1)
    panel.next.trials._ahead = ["suggested", "suggested"]
    panel.next.go()
    settle(lambda: sent)
    (place,) = sent
    assert place.axis is None
    assert place.start[0] <= 16 < place.stop[0]
    known = [index for index in (2, 5, 8, 13, 16, 18) if place.start[0] <= index < place.stop[0]]
    labels.data[place.box] = 2
    panel.next._end_visit()
    (trial,) = panel.next.trials.done
    assert trial.share == 1
    assert panel.next._visit is None
    assert len(known) < place.stop[0] - place.start[0]


def test_an_ended_training_that_came_to_few_slices_says_so(training, panel_error):
    panel, _, run = training
    survey(run, 10)
    run.close()
    panel.next.go()
    assert "has come to 1 slices" in panel_error(panel).problem


@pytest.fixture
def panel_error(qtbot):
    """Return a function that waits for the error that a panel shows, and takes it away."""

    def wait(panel):
        qtbot.waitUntil(lambda: panel.messages.error is not None, timeout=20_000)
        error = panel.messages.error
        panel.messages.clear()
        return error

    return wait


def test_doubt_is_shown_beside_the_preview(viewer, training, image, labels):
    _, _, run = training
    doubt = viewer.layers[f"{image.name} preview uncertainty"]
    assert not doubt.visible
    run.show_doubt(True)
    assert doubt.visible
    shown = np.zeros(labels.data.shape[1:], np.uint8)
    shown[3, 4] = 255
    run.show_event(Preview("case-007", 0, 10, shown // 255, 7, shown, "network: Dice 0.90"))
    assert doubt.data[10, 3, 4] == 255
    assert image_of(labels, viewer.layers) is image
    run.hide_preview()
    assert not doubt.visible


def test_a_running_training_hears_that_the_hand_draws_and_when_it_stops(viewer, image, labels, dock, mouse, qtbot):
    labels.data[10, 18, 18:30], labels.data[10, 3, 3:40] = 1, BACKGROUND_VALUE
    pair, job = OpenPair(CASE, image, labels), Heard()
    plan = TrainPlan("ball", CLASSES, Design(size="small"), None, TrainConfig(patch_size=(16, 16, 16)))
    run = LiveRun(viewer, [pair], lay_out_run(plan, [open_source(pair)]), job, dock("Labels"))
    viewer.dims.order = (0, 1, 2)
    viewer.reset_view()
    viewer.layers.selection.active = labels
    go_to_slice(viewer, labels, 0, 10)
    labels.mode, labels.selected_label = "paint", 1
    job.messages.clear()
    mouse.stroke(labels, (10, 10, 10), (10, 12, 20), (10, 14, 30))
    qtbot.waitUntil(lambda: any(isinstance(message, LabelsChanged) for message in job.messages), timeout=5000)
    said = [message for message in job.messages if isinstance(message, Drawing | LabelsChanged)]
    assert said[0] == Drawing()
    # the stroke ends before it is learnt
    assert Drawing(held=False) in said[: [isinstance(message, LabelsChanged) for message in said].index(True)]
    assert [message for message in said if isinstance(message, Drawing)][-1] == Drawing(held=False)
    run.close()


def test_a_running_training_hears_of_finished_slices_and_its_preview_can_be_accepted(
    viewer, image, labels, dock, press, qtbot
):
    labels.data[10, 18, 18:30], labels.data[10, 3, 3:40] = 1, BACKGROUND_VALUE
    pair, job = OpenPair(CASE, image, labels), Heard()
    plan = TrainPlan("ball", CLASSES, Design(size="small"), None, TrainConfig(patch_size=(16, 16, 16)))
    laid_out = lay_out_run(plan, [open_source(pair)])
    copy = np.load(next(laid_out.run.path.glob("labels*.medvol")) / "data.npy", mmap_mode="r")
    panel = dock("Labels")
    run = LiveRun(viewer, [pair], laid_out, job, panel)
    panel.labels.choose(labels)
    viewer.dims.order = (0, 1, 2)
    viewer.layers.selection.active = labels
    go_to_slice(viewer, labels, 0, 10)
    before = labels.data.copy()
    np.testing.assert_array_equal(copy, before)
    press("D")
    qtbot.waitUntil(lambda: bool((copy[10] != 0).all()), timeout=20_000)
    np.testing.assert_array_equal(copy, annotation_of(labels).taught(labels.data))
    np.testing.assert_array_equal(labels.data, before)
    qtbot.waitUntil(lambda: any(isinstance(message, LabelsChanged) for message in job.messages), timeout=5000)
    (changed,) = [message for message in job.messages if isinstance(message, LabelsChanged)]
    assert (changed.start[0], changed.stop[0]) == (10, 11)

    preview = viewer.layers[f"{image.name} preview"]
    assert panel.accepting.source.layer is preview
    panel.accepting.accept()
    assert "not come to this slice" in panel.messages.error.problem
    predicted = np.zeros(labels.data.shape[1:], np.uint8)
    predicted[10:30, 10:30] = 1
    run.show_event(Preview(CASE, 0, 10, predicted, 7))
    press("A")
    np.testing.assert_array_equal(labels.data[before != 0], before[before != 0])
    np.testing.assert_array_equal(labels.data[10] == 1, (predicted == 1) | (before[10] == 1))
    assert annotation_of(labels).models == [ModelVersion(laid_out.run.path.name, "step 7")]
    press("D")
    qtbot.waitUntil(lambda: np.array_equal(copy, labels.data), timeout=20_000)
    run.close()
