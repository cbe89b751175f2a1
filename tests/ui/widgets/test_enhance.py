"""The Enhance widget makes slices thin beside the original, says what it did, and judges images."""

import sys

import numpy as np
import pytest

from napari_medseg.inference.restoration.options import OwnOptions
from napari_medseg.ui.layers import image_volume, to_layer_tuples
from napari_medseg.ui.layers.enhanced import ENHANCED
from napari_medseg.ui.layers.views import visible_box
from napari_medseg.ui.settings import remember
from napari_medseg.volume import Geometry, Volume

pytestmark = pytest.mark.viewer


@pytest.fixture
def image(viewer):
    """Return a layer of thick slices along a flipped axis, with edges in all directions."""
    affine = np.array([[0, 0, 1.0, -20.0], [0, 1.0, 0, -31.5], [-3.0, 0, 0, 17], [0, 0, 0, 1]])
    z, y, x = np.indices((10, 40, 44))
    values = (100 + 80 * np.sin(y / 3) * np.cos(x / 4) * np.cos(z)).astype(np.int16)
    ((data, about, _),) = to_layer_tuples(Volume(values, Geometry(values.shape, affine), name="MR 2"))
    return viewer.add_image(data, **about)


def choose(combo, text):
    index = combo.findText(text)
    assert index >= 0, [combo.itemText(k) for k in range(combo.count())]
    combo.setCurrentIndex(index)


def test_thin_slices_beside_the_original(image, viewer, dock, click, settle, qtbot):
    torch_before = "torch" in sys.modules
    remember("enhance superresolution", OwnOptions(minutes=None, steps=3, consistency=True))
    enhance = dock("Enhance")
    choose(enhance.setup.way_choice, "Thinner slices")
    click(enhance.run_button)
    assert not enhance.run_button.isEnabled()
    settle(lambda: enhance.facts.text(), 180)
    result = viewer.layers.selection.active
    assert result.name == "MR 2 finer (synthesised)"
    assert result.data.shape == (30, 40, 44)
    assert "SYNTHESISED: 3 x 1 x 1 times finer" in result.metadata[ENHANCED]["derivation"]
    assert "SYNTHESISED" in image_volume(result).derivation
    # The same place in the patient: both grids begin and end at the same faces.
    fine, thick = image_volume(result).geometry, image_volume(image).geometry
    np.testing.assert_allclose(fine @ (-0.5, 0, 0), thick @ (-0.5, 0, 0))
    np.testing.assert_allclose(fine @ (29.5, 0, 0), thick @ (9.5, 0, 0))
    # One contrast for both; the maps are there, and nothing of ours is offered as an original.
    image.contrast_limits = (20, 150)
    assert tuple(result.contrast_limits) == (20, 150)
    names = {layer.name: layer for layer in viewer.layers}
    difference, uncertainty = names["MR 2 difference"], names["MR 2 uncertainty"]
    assert not difference.visible
    assert difference.data.shape == uncertainty.data.shape == result.data.shape
    assert enhance.image.count() == 1
    enhance.compare.setChecked(True)
    assert viewer.canvas.grid.enabled
    assert difference.visible
    enhance.compare.setChecked(False)
    assert not viewer.canvas.grid.enabled
    assert ("torch" in sys.modules) == torch_before

    # What was learned can be kept, and is offered as a model.
    click(enhance.keep_button)
    settle(lambda: enhance.model.findText("own slices x3") >= 0)

    # A preview of what is in view, by a classical method.
    choose(enhance.setup.way_choice, "Median")
    start, stop = visible_box(viewer, image)
    assert start == (0, 0, 0)
    assert stop == (10, 40, 44)
    click(enhance.preview_button)
    settle(lambda: viewer.layers.selection.active.name == "MR 2 preview (synthesised)", 180)
    assert viewer.layers.selection.active.data.shape == (10, 40, 44)
    assert not enhance.keep_button.isVisible()

    click(enhance.quality_button)
    settle(lambda: "Signal to noise" in enhance.facts.text())
    assert "3.0 times as thick" in enhance.facts.text()
    noise = viewer.layers["MR 2 noise"]
    assert not noise.visible
    assert noise.data.shape == (10, 40, 44)
    assert viewer.layers.selection.active.name == "MR 2 preview (synthesised)"

    # Signal and contrast in regions of one's own.
    marks = np.zeros((10, 40, 44), np.uint8)
    marks[:, 5:15, 5:15], marks[:, 20:30, 20:30] = 1, 2
    viewer.add_labels(marks, name="regions", scale=image.scale, translate=image.translate)
    choose(enhance.regions, "regions")
    before = enhance.facts.text()
    click(enhance.quality_button)
    settle(lambda: enhance.facts.text() != before)
    values = image_volume(image).data
    signal = np.median(np.asarray(values)[marks[:: -1 if image.scale[0] < 0 else 1] == 1])
    assert "Signal to noise" in enhance.facts.text()
    assert signal > 0


def test_what_is_wrong_is_said(image, viewer, dock, click, qtbot):
    enhance = dock("Enhance")
    choose(enhance.setup.way_choice, "Deblurring")
    click(enhance.run_button)
    qtbot.waitUntil(lambda: enhance.panel.messages.error is not None, timeout=180_000)
    assert "width of the blur" in enhance.panel.messages.error.problem
    choose(enhance.setup.way_choice, "Trained model")
    assert not enhance.run_button.isEnabled()
