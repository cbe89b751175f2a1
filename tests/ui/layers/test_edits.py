"""What is written to a whole layer lands on the exact grid, and is undone without the user's strokes."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.errors import GeometryError
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.ui.layers import (
    PAINTED_BACKGROUND,
    Rewrite,
    add_prediction,
    classes_of,
    frame_of,
    history_of,
    labels_volume,
    new_labels,
    own_labels,
    painted_background,
    redo,
    rewrite,
    tag_of,
    to_layer_tuples,
    undo,
)
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(value=2, name="liver"), LabelClass(value=5, name="cyst"))


@pytest.fixture
def viewer() -> ViewerModel:
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
def labels(viewer, image):
    """Return painted labels with a block of each class."""
    layer = viewer.add_layer(new_labels(image, CLASSES))
    layer.data[1:5, 1:5, 1:5] = 2
    layer.data[3:5, 3:6, 3:6] = 5
    return layer


def stroke(layer, index=(0, 0, 0), value=5) -> None:
    layer.data_setitem(tuple(np.array([n]) for n in index), value)


def test_what_is_written_is_what_the_layer_holds_on_its_grid(viewer, image, labels):
    taken = own_labels(labels, viewer.layers)
    assert taken.geometry == tag_of(image).geometry
    new = np.where(taken.data == 2, 0, taken.data)
    rewrite(labels, Rewrite(new, "Remove liver"))
    found = labels_volume(labels)
    np.testing.assert_array_equal(found.data, new)
    assert found.geometry == tag_of(image).geometry
    assert not (labels.data == 2).any()
    assert (labels.data == 5).any()
    assert classes_of(labels) == CLASSES


def test_several_steps_are_undone_and_done_again(viewer, labels):
    own, shown = [], []
    for step in range(4):
        own.append(labels_volume(labels).data.copy())
        shown.append(labels.data.copy())
        if step < 3:
            rewrite(labels, Rewrite(np.roll(own[-1], 1, axis=step), f"step {step}"))
    for step in (2, 1, 0):
        assert undo(labels) == f"step {step}"
        np.testing.assert_array_equal(labels_volume(labels).data, own[step])
        np.testing.assert_array_equal(labels.data, shown[step])
    for step in (1, 2, 3):
        assert redo(labels) == f"step {step - 1}"
        np.testing.assert_array_equal(labels_volume(labels).data, own[step])
        np.testing.assert_array_equal(labels.data, shown[step])


def test_strokes_made_since_survive_and_ctrl_z_goes_on_working(viewer, labels):
    taken = own_labels(labels)
    stroke(labels, (5, 5, 0), 2)
    rewrite(labels, Rewrite(np.zeros_like(taken.data), "Remove all"))
    stroke(labels, (0, 1, 1), 5)
    undo(labels)
    assert labels.data[0, 1, 1] == 5
    assert labels.data[2, 2, 2] == 2
    labels.undo()
    assert labels.data[0, 1, 1] == 0
    labels.undo()
    assert labels.data[5, 5, 0] == 0


def test_names_and_colours_come_and_go_with_the_step(labels):
    merged = (LabelClass(value=9, name="organ", color="#102030"),)
    rewrite(labels, Rewrite(np.where(labels_volume(labels).data > 0, 9, 0).astype(np.uint8), "Merge", merged))
    assert classes_of(labels) == merged
    assert painted_background(labels) == BACKGROUND_VALUE
    undo(labels)
    assert classes_of(labels) == CLASSES
    redo(labels)
    assert [entry.color for entry in classes_of(labels)] == ["#102030"]


def test_values_that_do_not_fit_widen_the_layer(labels):
    before = labels_volume(labels).data.copy()
    rewrite(labels, Rewrite(np.where(before == 2, 700, before.astype(np.uint16)), "Merge"))
    assert labels.data.dtype == np.uint16
    assert (labels_volume(labels).data == 700).sum() == (before == 2).sum()
    undo(labels)
    np.testing.assert_array_equal(labels_volume(labels).data, before)


def test_a_prediction_that_was_rewritten_is_the_users(viewer, image):
    data = np.zeros(tag_of(image).volume.spatial_shape, np.uint8)
    data[1:4, 2, 3] = 2
    prediction = Prediction((LabelMap(data, CLASSES),), tag_of(image).geometry, "organs", "0" * 64)
    first = add_prediction(viewer, image, prediction)
    rewrite(first, Rewrite(np.zeros_like(data), "Remove all"))
    assert add_prediction(viewer, image, prediction) is not first


def test_a_prediction_in_place_of_another_can_be_undone(viewer, image):
    shape = tag_of(image).volume.spatial_shape
    layers, data = [], []
    for value in (2, 5):
        data.append(np.zeros(shape, np.uint8))
        data[-1][1:4, 2:5, 3:6] = value
        found = Prediction((LabelMap(data[-1].copy(), CLASSES),), tag_of(image).geometry, "organs", "0" * 64)
        layers.append(add_prediction(viewer, image, found))
    assert layers[0] is layers[1]
    assert undo(layers[0]) == "Segment"
    np.testing.assert_array_equal(labels_volume(layers[0]).data, data[0])
    redo(layers[0])
    np.testing.assert_array_equal(labels_volume(layers[0]).data, data[1])


def test_any_labels_layer_can_be_rewritten(viewer):
    layer = viewer.add_labels(np.eye(4, dtype=np.int32), scale=(-2, 3))
    rewrite(layer, Rewrite(np.zeros((4, 4), np.uint16), "Remove all"))
    assert not layer.data.any()
    undo(layer)
    np.testing.assert_array_equal(layer.data, np.eye(4))
    assert painted_background(layer) == 0


def test_a_read_only_layer_gets_an_array_of_its_own(viewer):
    data = np.eye(4, dtype=np.uint8)
    data.setflags(write=False)
    layer = viewer.add_labels(data)
    rewrite(layer, Rewrite(np.zeros((4, 4), np.uint8), "Remove all"))
    assert not layer.data.any()
    assert data.any()


def test_a_layer_that_was_cropped_meanwhile_is_left_alone(viewer):
    layer = viewer.add_labels(np.eye(4, dtype=np.uint8))
    with pytest.raises(GeometryError, match="changed meanwhile"):
        rewrite(layer, Rewrite(np.zeros((5, 4), np.uint8), "Remove all"))
    assert not len(history_of(layer))


def test_others_hear_that_voxels_changed(labels):
    heard = []
    labels.events.data.connect(lambda event: heard.append(event))
    rewrite(labels, Rewrite(np.zeros_like(labels_volume(labels).data), "Remove all"))
    assert heard


def test_painted_background_has_its_own_value_only_where_it_is_named(labels, viewer):
    assert painted_background(labels) == PAINTED_BACKGROUND.value == BACKGROUND_VALUE
    assert painted_background(viewer.add_labels(np.full((3, 3), 255, np.uint8))) == 0
