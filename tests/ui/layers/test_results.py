"""Predictions and previews have layers of their own, and never touch what the user painted."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_medseg.errors import GeometryError
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.ui.layers import (
    add_prediction,
    frame_of,
    image_volume,
    labels_volume,
    new_labels,
    preview_layer,
    show_preview,
    tag_of,
    to_layer_tuples,
)
from napari_medseg.volume import LabelClass, Volume

CLASSES = (LabelClass(value=0, name="background"), LabelClass(value=2, name="liver"), LabelClass(value=5, name="cyst"))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer, make_volume) -> Image:
    (layer,) = to_layer_tuples(make_volume("PIR", (12, -9, 0)))
    return viewer.add_layer(Layer.create(*layer))


@pytest.fixture
def turned(viewer, make_volume) -> Image:
    """Return an image that the viewer shows resampled."""
    for volume in (make_volume("LPS", shape=(30, 30, 12)), make_volume("PSR", (25, 14, -19), shape=(12, 13, 14))):
        (layer,) = to_layer_tuples(volume, frame_of(viewer.layers))
        viewer.add_layer(Layer.create(*layer))
    return viewer.layers[-1]


def prediction_on(image: Image, value: int = 2, bundle: str = "organs") -> Prediction:
    labels = np.zeros(tag_of(image).volume.spatial_shape, np.uint8)
    labels[1, 2, 3] = value
    return Prediction((LabelMap(labels, CLASSES),), tag_of(image).geometry, bundle, "0" * 64)


def stroke(layer, index=(0, 0, 0), value=5) -> None:
    layer.data_setitem(tuple(np.array([n]) for n in index), value)


def test_new_labels_are_ready_to_paint_on(viewer, image) -> None:
    labels = viewer.add_layer(new_labels(image, CLASSES[1:]))
    assert labels.data.dtype == np.uint8
    assert not labels.data.any()
    assert labels.selected_label == 2
    assert list(labels.features["index"]) == [0, 2, 5, 255]
    np.testing.assert_array_equal(labels.scale, image.scale)
    np.testing.assert_array_equal(labels.translate, image.translate)


def test_many_classes_need_wider_numbers(image) -> None:
    assert new_labels(image, [LabelClass(value=1000, name="last")]).data.dtype == np.uint16


def test_a_prediction_lies_on_its_image_with_names_and_colours(viewer, image) -> None:
    layer = add_prediction(viewer, image, prediction_on(image))
    assert layer in viewer.layers
    assert layer.name == f"{image.name} organs"
    assert list(layer.features["name"]) == ["background", "liver", "cyst"]
    assert layer.data_to_world((1, 2, 3)) == pytest.approx(image.data_to_world((1, 2, 3)))
    found = labels_volume(layer)
    assert found.geometry is tag_of(image).geometry
    assert found.data[1, 2, 3] == 2


def test_the_next_prediction_replaces_the_last(viewer, image) -> None:
    first = add_prediction(viewer, image, prediction_on(image))
    again = add_prediction(viewer, image, prediction_on(image, 5))
    assert again is first
    assert first.data[1, 2, 3] == 5
    assert labels_volume(first).data[1, 2, 3] == 5
    assert len(viewer.layers) == 2


def test_another_model_has_another_layer(viewer, image) -> None:
    add_prediction(viewer, image, prediction_on(image))
    add_prediction(viewer, image, prediction_on(image, bundle="vessels"))
    assert len(viewer.layers) == 3


def test_a_prediction_that_the_user_corrected_is_kept(viewer, image) -> None:
    first = add_prediction(viewer, image, prediction_on(image))
    stroke(first)
    second = add_prediction(viewer, image, prediction_on(image))
    assert second is not first
    assert first.data[0, 0, 0] == 5
    # also one that was itself updated before the correction
    third = add_prediction(viewer, image, prediction_on(image, 5))
    assert third is second
    stroke(third)
    assert add_prediction(viewer, image, prediction_on(image)) is not third


def test_a_duplicate_of_a_prediction_is_kept(viewer, image) -> None:
    first = add_prediction(viewer, image, prediction_on(image))
    copy = viewer.add_layer(Layer.create(*first.as_layer_data_tuple()))
    copy.data = copy.data.copy()
    viewer.layers.remove(first)
    add_prediction(viewer, image, prediction_on(image, 5))
    assert copy.data[1, 2, 3] == 2


def test_the_user_s_own_labels_of_the_same_name_are_kept(viewer, image) -> None:
    mine = new_labels(image, CLASSES[1:])
    mine.name = f"{image.name} organs"
    viewer.add_layer(mine)
    assert add_prediction(viewer, image, prediction_on(image)) is not mine
    assert not mine.data.any()


def test_labels_can_be_shown_as_a_prediction_with_other_names(viewer, image) -> None:
    volume = Volume(prediction_on(image).label_map.labels, tag_of(image).geometry, name="atlas", kind="labels")
    layer = add_prediction(viewer, image, volume, CLASSES)
    assert layer.name == f"{image.name} atlas"
    assert "liver" in list(layer.features["name"])


def test_a_prediction_of_another_shape_is_refused(viewer, image) -> None:
    wrong = Volume(np.zeros((2, 2, 2), np.uint8), None, kind="labels")
    with pytest.raises(GeometryError, match=r"\(2, 2, 2\) voxels"):
        add_prediction(viewer, image, wrong)


def test_a_prediction_read_from_a_file_can_be_corrected(viewer, image) -> None:
    labels = prediction_on(image).label_map.labels
    labels.setflags(write=False)
    layer = add_prediction(viewer, image, Volume(labels, None, kind="labels"), CLASSES)
    stroke(layer)
    assert layer.data[0, 0, 0] == 5


def test_a_prediction_on_a_resampled_image_comes_back_exactly(viewer, turned) -> None:
    prediction = prediction_on(turned)
    layer = add_prediction(viewer, turned, prediction)
    assert layer.data.shape == turned.data.shape
    np.testing.assert_array_equal(labels_volume(layer).data, prediction.label_map.labels)


def test_a_prediction_on_a_foreign_turned_image_is_turned_with_it(viewer) -> None:
    foreign = viewer.add_image(np.zeros((6, 7, 8)), scale=(2, 1, 1), rotate=(0, 0, 30), translate=(1, 2, 3))
    layer = add_prediction(viewer, foreign, Volume(np.ones((6, 7, 8), np.uint8), None, kind="labels"), CLASSES)
    assert layer.data_to_world((1, 2, 3)) == pytest.approx(foreign.data_to_world((1, 2, 3)))


@pytest.mark.parametrize(
    "place",
    [
        {"scale": (500, 250, 250), "units": "um"},
        {"scale": (2, 1, 1), "rotate": (0, 0, 30), "translate": (1, 2, 3)},
        {"scale": (2, -1, 1), "shear": (0, 0, 0.1)},
        {},
    ],
    ids=["micrometres", "turned", "sheared", "nowhere"],
)
def test_labels_on_a_foreign_image_have_its_grid(viewer, place) -> None:
    foreign = viewer.add_image(np.zeros((6, 7, 8)), **place)
    labels = viewer.add_layer(new_labels(foreign, CLASSES[1:]))
    assert tag_of(labels) is not None
    found, image = labels_volume(labels), image_volume(foreign)
    assert found.geometry == image.geometry
    assert (found.geometry is None) == (not place)


def test_labels_on_a_moved_oblique_image_have_its_grid(viewer, image) -> None:
    image.translate = np.add(image.translate, (5, 0, 0))
    labels = viewer.add_layer(new_labels(image, CLASSES[1:]))
    assert labels_volume(labels).geometry == image_volume(image).geometry
    image.translate = np.subtract(image.translate, (5, 0, 0))
    moved = labels_volume(labels).geometry
    assert moved.matches(image_volume(image).geometry) is False


def test_a_prediction_on_a_time_series_is_of_space_alone(viewer, make_volume) -> None:
    still = make_volume()
    series = replace(still, data=np.stack([still.data] * 3), axes=("time",))
    image = viewer.add_layer(Layer.create(*to_layer_tuples(series)[0]))
    layer = add_prediction(viewer, image, prediction_on(image))
    assert layer.ndim == 3
    assert layer.data_to_world((1, 2, 3)) == pytest.approx(image.data_to_world((0, 1, 2, 3))[1:])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_preview_shows_one_slice(viewer, image, axis) -> None:
    layer = preview_layer(viewer, image, CLASSES)
    shape = [n for k, n in enumerate(image.data.shape) if k != axis]
    show_preview(layer, axis, 4, np.full(shape, 5, np.uint8))
    assert np.unique(np.argwhere(layer.data == 5)[:, axis]).tolist() == [4]
    assert np.count_nonzero(layer.data) == np.prod(shape)
    assert not layer.editable


def test_there_is_one_preview_per_image(viewer, image) -> None:
    first = preview_layer(viewer, image, CLASSES)
    assert preview_layer(viewer, image, CLASSES[:2]) is first
    assert list(first.features["name"]) == ["background", "liver"]
    other = viewer.add_image(np.zeros((6, 7, 8)))
    assert preview_layer(viewer, other, CLASSES) is not first


def test_a_preview_of_a_plane(viewer) -> None:
    image = viewer.add_image(np.zeros((6, 7)))
    layer = preview_layer(viewer, image, CLASSES)
    show_preview(layer, 0, 0, np.full((6, 7), 2, np.uint8))
    assert (layer.data == 2).all()


def test_a_preview_on_a_resampled_image_lies_in_its_own_slice(viewer, turned) -> None:
    layer = preview_layer(viewer, turned, CLASSES)
    shape = np.delete(tag_of(turned).volume.spatial_shape, 1)
    show_preview(layer, 1, 6, np.full(shape, 5, np.uint8))
    seen = np.argwhere(layer.data == 5)
    assert len(seen) > 100
    grid = tag_of(turned).geometry
    slices = grid.to_index(tag_of(turned).shown_on @ seen)[:, 1]
    assert np.abs(slices - 6).max() <= 0.5
    # the next preview takes the place of the last, and nothing else changes
    show_preview(layer, 1, 6, np.zeros(shape, np.uint8))
    assert not layer.data.any()


def test_showing_a_preview_redraws_without_the_thumbnail(viewer, image, monkeypatch) -> None:
    layer = preview_layer(viewer, image, CLASSES)
    asked: list[dict[str, bool]] = []
    monkeypatch.setattr(type(layer), "refresh", lambda self, *args, **keywords: asked.append(keywords))
    show_preview(layer, 0, 1, np.zeros(image.data.shape[1:], np.uint8))
    assert asked == [{"extent": False, "thumbnail": False}]
