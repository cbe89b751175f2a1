"""Classes lie on their slices and regions, with their probabilities as features."""

import numpy as np
from napari.components import ViewerModel

from napari_medseg.ui.layers.answers import add_answers

FEATURES = {"predicted": ["a", "b"], "sure": [0.75, 0.5], "p_a": [0.75, 0.5], "p_b": [0.25, 0.5]}


def test_slices_and_boxes_are_outlined_and_older_answers_go():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, 10, 12)), scale=(4, 2, 2), translate=(5, 6, 7))
    slices = [(slice(k, k + 1), slice(None), slice(None)) for k in (0, 2)]
    layer = add_answers(viewer, image, slices, FEATURES)
    assert [float(points[0, 0]) for points in layer.data] == [0, 2]
    np.testing.assert_allclose(layer.data[0][:, 1:].max(axis=0), (9.5, 11.5))
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    assert layer.features["predicted"].tolist() == ["a", "b"]
    assert layer.text.values.tolist() == ["a 0.75", "b 0.50"]
    boxes = [(slice(0, 2), slice(1, 3), slice(2, 5)), None]
    again = add_answers(viewer, image, boxes, FEATURES)
    # A box of two slices, and the whole of three.
    assert again.features["predicted"].tolist() == ["a", "a", "b", "b", "b"]
    assert list(viewer.layers) == [image, again]
