"""Nothing that a model says costs a label of the user's, on any grid, in any order of accept, paint and undo."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QApplication

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.data.annotation import HUMAN, ModelVersion, corrected_code, model_code
from napari_medseg.errors import DataError, GeometryError
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.ui.layers import (
    add_prediction,
    annotation_of,
    classes_of,
    frame_of,
    labels_volume,
    model_of,
    new_labels,
    own_labels,
    preview_layer,
    redo,
    set_model,
    show_preview,
    tag_of,
    to_layer_tuples,
    training_labels,
    undo,
)
from napari_medseg.ui.layers.accepting import Offer, accept_into
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(value=2, name="liver"), LabelClass(value=5, name="cyst"))


@pytest.fixture
def viewer(qapp) -> ViewerModel:
    return ViewerModel()


@pytest.fixture(params=["straight", "flipped", "resampled"])
def image(request, viewer, make_volume):
    """Return an image that the viewer shows as it is, along flipped axes, or resampled."""
    shown = {
        "straight": [make_volume("LPS")],
        "flipped": [make_volume("PIR", (12, -9, 0))],
        "resampled": [make_volume("LPS", shape=(30, 30, 12)), make_volume("PSR", (25, 14, -19), shape=(12, 13, 14))],
    }
    for volume in shown[request.param]:
        (layer,) = to_layer_tuples(volume, frame_of(viewer.layers))
        viewer.add_layer(Layer.create(*layer))
    return viewer.layers[-1]


@pytest.fixture
def straight(viewer, make_volume):
    return viewer.add_layer(Layer.create(*to_layer_tuples(make_volume("LPS"))[0]))


@pytest.fixture
def labels(viewer, image):
    return viewer.add_layer(new_labels(image, CLASSES))


def predict(viewer, image, data, version="a" * 64) -> Labels:
    prediction = Prediction((LabelMap(data, CLASSES),), tag_of(image).geometry, "organs", version)
    return add_prediction(viewer, image, prediction)


def blocks(image) -> np.ndarray:
    """Return a block of each class, on the image's own grid."""
    data = np.zeros(tag_of(image).volume.spatial_shape, np.uint8)
    data[1:5, 1:5, 1:4] = 2
    data[1:5, 1:5, 4:6] = 5
    return data


def stroke(layer, index, value) -> None:
    layer.data_setitem(tuple(np.array([n]) for n in index), value)
    QApplication.processEvents()


def test_what_is_accepted_is_on_the_labels_own_grid_and_can_be_undone(viewer, image, labels):
    source = predict(viewer, image, blocks(image))
    made = accept_into(labels, Offer(source, "volume"), viewer.layers)
    np.testing.assert_array_equal(labels_volume(labels).data, blocks(image))
    assert made.changed == 4 * 4 * 5
    codes = annotation_of(labels).origin(np.asarray(labels_volume(labels).data))
    assert set(np.unique(codes)) == {0, model_code(1)}
    assert str(annotation_of(labels).models[0]) == "organs (aaaaaaaa)"
    assert undo(labels) == "Accept classes in the volume"
    assert not np.asarray(labels_volume(labels).data).any()
    assert not labels.data.any()
    redo(labels)
    np.testing.assert_array_equal(labels_volume(labels).data, blocks(image))
    assert set(np.unique(annotation_of(labels).origin(np.asarray(labels_volume(labels).data)))) == {0, model_code(1)}


def test_one_slice_one_class_and_its_background(viewer, image, labels):
    source = predict(viewer, image, blocks(image))
    accept_into(labels, Offer(source, "slice", (5, BACKGROUND_VALUE), slice=(2, 4)), viewer.layers)
    own = np.asarray(labels_volume(labels).data)
    expected = np.zeros_like(own)
    expected[:, :, 4] = np.where(blocks(image)[:, :, 4] == 5, 5, BACKGROUND_VALUE)
    np.testing.assert_array_equal(own, expected)
    assert undo(labels) == "Accept cyst on a slice"


def test_a_box_and_a_component(viewer, image, labels):
    data = blocks(image)
    data[5, 6, 0] = 2
    source = predict(viewer, image, data)
    accept_into(labels, Offer(source, "component", voxel=(2, 2, 2)), viewer.layers)
    own = np.asarray(labels_volume(labels).data)
    np.testing.assert_array_equal(own == 2, (data == 2) & (own != 0))
    assert own[5, 6, 0] == 0
    assert not (own == 5).any()
    accept_into(labels, Offer(source, "box", box=((5, 6), (6, 7), (0, 1))), viewer.layers)
    assert np.asarray(labels_volume(labels).data)[5, 6, 0] == 2
    with pytest.raises(DataError, match="Tick its class"):
        accept_into(labels, Offer(source, "component", (5,), voxel=(2, 2, 2)), viewer.layers)


def test_strokes_before_and_after_stay_through_undo_and_redo_of_both_kinds(viewer, straight):
    labels = viewer.add_layer(new_labels(straight, CLASSES))
    source = predict(viewer, straight, blocks(straight))
    stroke(labels, (2, 2, 2), 5)
    accept_into(labels, Offer(source, "volume"), viewer.layers)
    assert labels.data[2, 2, 2] == 5
    stroke(labels, (3, 3, 3), 5)
    stroke(labels, (4, 4, 3), 0)
    annotation = annotation_of(labels)
    assert annotation.origin(labels.data)[2:5, 2:5, 2:4].tolist()[1][1] == [model_code(1), corrected_code(1)]
    undo(labels)
    assert labels.data[2, 2, 2] == labels.data[3, 3, 3] == 5
    assert np.count_nonzero(labels.data) == 2
    labels.undo()  # erasing at (4, 4, 3): the model's value comes back, and is known as the model's
    assert labels.data[4, 4, 3] == 2
    assert annotation.origin(labels.data)[4, 4, 3] == model_code(1)
    labels.undo()
    assert labels.data[3, 3, 3] == 2
    labels.undo()
    assert labels.data[2, 2, 2] == 0
    redo(labels)
    assert labels.data[2, 2, 2] == 0  # was the hand's when it was accepted
    np.testing.assert_array_equal(labels.data == 5, blocks(straight) == 5)
    labels.redo()
    assert labels.data[2, 2, 2] == 5
    assert annotation.origin(labels.data)[2, 2, 2] == HUMAN


def test_accepting_in_the_middle_of_a_stroke(viewer, straight):
    labels = viewer.add_layer(new_labels(straight, CLASSES))
    source = predict(viewer, straight, blocks(straight))
    with labels.block_history():
        labels.paint((2, 2, 2), 5)
        accept_into(labels, Offer(source, "volume"), viewer.layers)
        labels.paint((2, 2, 3), 5)
    assert labels.data[2, 2, 2] == labels.data[2, 2, 3] == 5
    undo(labels)
    assert labels.data[2, 2, 2] == labels.data[2, 2, 3] == 5
    labels.undo()
    assert labels.data[2, 2, 2] == 0


def test_painting_what_the_model_had_written_makes_it_the_hands(viewer, straight):
    labels = viewer.add_layer(new_labels(straight, CLASSES))
    accept_into(labels, Offer(predict(viewer, straight, blocks(straight)), "volume"), viewer.layers)
    stroke(labels, (2, 2, 2), 5)
    stroke(labels, (2, 2, 2), 2)
    nothing = predict(viewer, straight, np.zeros_like(blocks(straight)), "b" * 64)
    accept_into(labels, Offer(nothing, "volume", (2, 5)), viewer.layers)
    assert np.argwhere(labels.data).tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("by", ["setitem", "brush", "fill"])
def test_a_locked_class_is_safe_from_the_model_and_from_the_brush(viewer, straight, by):
    labels = viewer.add_layer(new_labels(straight, CLASSES))
    labels.data[2, 2, 2] = 5
    annotation = annotation_of(labels)
    annotation.locked = {5}
    made = accept_into(labels, Offer(predict(viewer, straight, blocks(straight)), "volume"), viewer.layers)
    assert (labels.data == 5).sum() == 1
    assert made.locked == (blocks(straight) == 5).sum()
    before = labels.data.copy()
    if by == "setitem":
        labels.data_setitem(np.nonzero(labels.data), 0)
    elif by == "brush":
        labels.n_edit_dimensions, labels.brush_size = 3, 9
        with labels.block_history():
            labels.paint((2, 2, 2), 0)
            labels.paint((3, 2, 2), 0)
    else:
        labels.fill((2, 2, 2), 0)
    QApplication.processEvents()
    assert labels.data[2, 2, 2] == 5
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)
    labels.redo()
    assert labels.data[2, 2, 2] == 5


def test_a_prediction_on_another_grid_is_refused(viewer, straight, make_volume):
    labels = viewer.add_layer(new_labels(straight, CLASSES))
    other = viewer.add_layer(Layer.create(*to_layer_tuples(make_volume("LPS", shape=(7, 7, 8)))[0]))
    moved = viewer.add_layer(Labels(blocks(straight), name="moved", scale=(2, 1, 1)))
    for source in (predict(viewer, other, np.ones((8, 7, 7), np.uint8).transpose(0, 1, 2)[:8]), moved):
        with pytest.raises(GeometryError, match="other voxels"):
            accept_into(labels, Offer(source, "volume"), viewer.layers)
    assert not labels.data.any()


def test_a_class_that_means_something_else_is_refused(viewer, straight):
    labels = viewer.add_layer(new_labels(straight, [LabelClass(value=2, name="spleen")]))
    source = predict(viewer, straight, blocks(straight))
    with pytest.raises(DataError, match="“liver” in the prediction but “spleen”"):
        accept_into(labels, Offer(source, "volume"), viewer.layers)
    accept_into(labels, Offer(source, "volume", (5,)), viewer.layers)
    assert [entry.name for entry in classes_of(labels)] == ["spleen", "cyst"]
    undo(labels)
    assert [entry.name for entry in classes_of(labels)] == ["spleen"]


def test_planes_and_layers_of_other_programs(viewer):
    plane = np.zeros((6, 7), np.int32)
    plane[2:4, 2:4] = 1
    for more in ({}, {"scale": (2, 0.5)}, {"rotate": 30}):
        labels = viewer.add_labels(np.zeros((6, 7), np.int32), **more)
        source = viewer.add_labels(plane.copy(), **more)
        accept_into(labels, Offer(source, "slice"), viewer.layers)
        np.testing.assert_array_equal(labels.data, plane)
        undo(labels)
        assert not labels.data.any()


def test_a_preview_knows_only_what_it_was_shown(viewer, image, labels):
    preview = preview_layer(viewer, image, CLASSES)
    set_model(preview, ModelVersion("run", "step 3"))
    for offer in (Offer(preview, "volume"), Offer(preview, "slice", slice=(0, 2))):
        with pytest.raises(DataError, match="preview"):
            accept_into(labels, offer, viewer.layers)
    show_preview(preview, 0, 2, blocks(image)[2])
    accept_into(labels, Offer(preview, "slice", slice=(0, 2)), viewer.layers)
    own = np.asarray(labels_volume(labels).data)
    np.testing.assert_array_equal(own[2], blocks(image)[2])
    assert np.count_nonzero(own) == np.count_nonzero(own[2])
    assert model_of(preview).version == "step 3"


def test_what_training_is_told(viewer, image, labels):
    annotation = annotation_of(labels)
    annotation.finish_slice(1, 3)
    own = np.asarray(own_labels(labels).data)
    told = training_labels(labels, image)
    assert told.geometry == tag_of(image).geometry
    expected = np.zeros_like(own)
    expected[:, 3] = BACKGROUND_VALUE
    np.testing.assert_array_equal(told.data, expected)
    assert not np.asarray(own_labels(labels).data).any()


def test_what_training_is_told_of_a_mirrored_layer_of_another_program(viewer):
    image = viewer.add_image(np.zeros((4, 5, 6)), scale=(1, 2, 3))
    labels = viewer.add_labels(np.zeros((4, 5, 6), np.uint8), scale=(-1, 2, 3), translate=(3, 0, 0))
    annotation_of(labels).finish_slice(0, 0)
    told = np.asarray(training_labels(labels, image).data)
    assert (told[3] == BACKGROUND_VALUE).all()
    assert not told[:3].any()


def test_a_prediction_that_is_corrected_in_place_teaches_only_its_corrections(viewer, straight):
    source = predict(viewer, straight, blocks(straight))
    stroke(source, (0, 0, 0), 5)
    stroke(source, (2, 2, 2), 5)
    told = np.asarray(training_labels(source, straight).data)
    assert np.argwhere(told).tolist() == [[0, 0, 0], [2, 2, 2]]
    annotation_of(source).finish_slice(0, 3)
    told = np.asarray(training_labels(source, straight).data)
    assert (told[3] != 0).all()
    assert set(np.unique(told[4])) == {0}


def test_a_newer_prediction_undone_is_the_older_models_again(viewer, straight):
    layer = predict(viewer, straight, blocks(straight))
    assert predict(viewer, straight, np.roll(blocks(straight), 2, 0), "b" * 64) is layer
    annotation = annotation_of(layer)
    assert set(np.unique(annotation.origin(layer.data))) == {0, model_code(2)}
    undo(layer)
    np.testing.assert_array_equal(layer.data, blocks(straight))
    assert set(np.unique(annotation.origin(layer.data))) <= {0, model_code(1), model_code(2)}
    assert not annotation.by_human(layer.data).any()


def test_a_duplicate_and_a_layer_of_another_shape_have_their_own(viewer, straight):
    labels = viewer.add_layer(new_labels(straight, CLASSES))
    annotation_of(labels).complete = True
    twin = viewer.add_layer(Layer.create(*labels.as_layer_data_tuple()))
    twin.data = twin.data.copy()
    annotation_of(twin).complete = False
    assert annotation_of(labels).complete
    foreign = viewer.add_labels(np.zeros((3, 3), np.uint8))
    annotation_of(foreign).finish_slice(0, 1)
    foreign.data = np.zeros((5, 5), np.uint8)
    assert not annotation_of(foreign).finished


def test_undo_after_the_array_was_replaced(viewer):
    labels = viewer.add_labels(np.zeros((4, 5), np.uint8))
    source = viewer.add_labels(np.ones((4, 5), np.uint8))
    accept_into(labels, Offer(source, "volume"), viewer.layers)
    labels.data = np.full((4, 5), 7, np.uint8)
    undo(labels)
    assert (labels.data == 7).all()  # somebody else's by now
    labels.data = np.zeros((2, 5), np.uint8)
    with pytest.raises(DataError, match="other voxels"):
        redo(labels)
