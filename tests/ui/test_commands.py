"""Menu commands do what they say, or say why not."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_medseg.errors import DataError
from napari_medseg.ui.commands import add_labels
from napari_medseg.ui.layers import tag_of


def test_labels_are_added_on_the_selected_image_and_ready_to_paint() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6)), scale=(3, 2, 1))
    viewer.add_image(np.zeros((7, 8, 9)))
    viewer.layers.selection.active = image
    add_labels(viewer)
    labels = viewer.layers[-1]
    assert labels.data.shape == (4, 5, 6)
    assert labels.mode == "paint"
    assert tag_of(labels) is not None
    assert list(labels.features["name"])[:2] == ["background", "class 1"]


def test_without_an_image_the_user_is_told_what_to_do() -> None:
    with pytest.raises(DataError, match="Select the image"):
        add_labels(ViewerModel())
