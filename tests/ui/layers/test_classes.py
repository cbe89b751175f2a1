"""Names and colours of classes survive the way into a layer and back."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_medseg.ui.layers import PAINTED_BACKGROUND, class_display, classes_of, set_classes
from napari_medseg.ui.layers.classes import present_classes
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(value=2, name="liver", color="#0a141e"), LabelClass(value=7, name="Lung, left"))


def test_classes_come_back() -> None:
    layer = Labels(np.zeros((4, 5), np.uint8), **class_display(CLASSES))
    assert classes_of(layer) == CLASSES


def test_background_is_no_class() -> None:
    layer = Labels(np.zeros((4, 5), np.uint8))
    set_classes(layer, [LabelClass(value=0, name="background"), *CLASSES, PAINTED_BACKGROUND])
    assert classes_of(layer) == CLASSES
    assert layer.get_color(255) is not None


def test_a_layer_without_names_has_no_classes() -> None:
    assert classes_of(Labels(np.ones((4, 5), np.uint8))) == ()
    assert classes_of(Labels(np.ones((4, 5), np.uint8), features={"area": [1, 2]})) == ()


def test_a_value_without_a_name_is_seen() -> None:
    layer = Labels(np.zeros((4, 5), np.uint8), **class_display(CLASSES))
    np.testing.assert_allclose(layer.colormap.map(9), (1, 0, 1, 1))
    assert layer.colormap.map(0)[3] == 0


def test_new_names_leave_the_voxels() -> None:
    data = np.arange(20, dtype=np.uint8).reshape(4, 5)
    layer = Labels(data)
    set_classes(layer, CLASSES)
    np.testing.assert_array_equal(layer.data, np.arange(20).reshape(4, 5))


def test_the_status_bar_tells_the_name() -> None:
    layer = Labels(np.full((4, 5), 2, np.uint8), **class_display(CLASSES))
    assert "liver" in str(layer.get_status((1, 1)))


@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 2, 2), (1, 1, 2, 2)])
def test_present_classes_are_those_that_occur(shape) -> None:
    found = present_classes(np.array([0, 3, 3, 9], np.int16).reshape(shape))
    assert [(c.value, c.name) for c in found] == [(3, "class 3"), (9, "class 9")]


@pytest.mark.parametrize(
    "labels", [np.array([[-1, 2]]), np.array([[70000]]), np.arange(1000)[None], np.zeros((0, 3), np.uint8)]
)
def test_what_numbers_objects_has_no_classes(labels) -> None:
    assert present_classes(labels) == ()
