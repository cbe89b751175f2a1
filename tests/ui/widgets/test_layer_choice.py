"""The box follows the viewer's layers."""

import gc

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_medseg.ui.widgets.layer_choice import LayerChoice

pytestmark = pytest.mark.viewer


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 4)), name="first")
    viewer.add_labels(np.zeros((4, 4), np.uint8), name="labels")
    return viewer


@pytest.fixture
def box(qtbot, viewer):
    box = LayerChoice(viewer, lambda layer: isinstance(layer, Image))
    qtbot.addWidget(box)
    return box


def names(box):
    return [box.itemText(k) for k in range(box.count())]


def test_only_what_fits_is_listed(box, viewer):
    assert names(box) == ["first"]
    assert box.layer is viewer.layers["first"]


def test_a_new_layer_does_not_take_the_choice(box, viewer):
    viewer.add_image(np.zeros((4, 4)), name="second")
    assert names(box) == ["first", "second"]
    assert box.layer.name == "first"


def test_removing_the_chosen_layer_announces_another(box, viewer, qtbot):
    second = viewer.add_image(np.zeros((4, 4)), name="second")
    with qtbot.waitSignal(box.layer_changed) as changed:
        viewer.layers.remove("first")
    assert changed.args == [second]
    with qtbot.waitSignal(box.layer_changed) as changed:
        viewer.layers.remove("second")
    assert changed.args == [None]
    assert box.layer is None


def test_choosing_by_user_and_by_code(box, viewer, qtbot):
    second = viewer.add_image(np.zeros((4, 4)), name="second")
    with qtbot.waitSignal(box.layer_changed) as changed:
        box.choose(second)
    assert changed.args == [second]
    with qtbot.waitSignal(box.layer_changed):
        box.setCurrentIndex(0)
    assert box.layer.name == "first"


def test_renaming_and_reordering_are_followed(box, viewer):
    viewer.add_image(np.zeros((4, 4)), name="second")
    viewer.layers["first"].name = "renamed"
    viewer.layers.move(0, 3)
    assert names(box) == ["second", "renamed"]
    assert box.layer.name == "renamed"


def test_a_destroyed_box_is_not_called(qtbot, viewer):
    box = LayerChoice(viewer, lambda layer: True)
    count = len(viewer.layers.events.inserted.callbacks)
    box.deleteLater()
    qtbot.wait(20)
    gc.collect()
    assert len(viewer.layers.events.inserted.callbacks) == count - 1
    viewer.add_image(np.zeros((4, 4)))
