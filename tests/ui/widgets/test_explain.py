"""The Explain widget shows what speaks for a class, where it is, and what the map is worth."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyqtgraph import BarGraphItem

from napari_medseg.explain import methods
from napari_medseg.ui.layers import image_volume, to_layer_tuples
from napari_medseg.ui.layers.explanation import SCORES, diverging, rising
from napari_medseg.ui.widgets.explain_setup import DEFAULTS
from napari_medseg.volume import Geometry, Volume

pytestmark = pytest.mark.viewer

HELPERS = Path(__file__).parents[2] / "explain"
MAKE = f"""
import sys; sys.path.append({str(HELPERS)!r})
from cue_models import cue_classifier, cue_segmenter
cue_classifier().save(sys.argv[1] + "/cues")
cue_segmenter().save(sys.argv[1] + "/finder")
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return a folder with models whose weights are written by hand, made in a process of its own."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    return folder


@pytest.fixture
def models(made, medseg_home):
    """Return the library, with the models in it."""
    return Path(shutil.copytree(made, medseg_home / "models"))


@pytest.fixture
def image(viewer):
    """Return a layer of three slices of a flipped, anisotropic volume, a bright square in the second."""
    affine = np.array([[0, 0, 0.8, -20.0], [0, 0.9, 0, -31.5], [-4.0, 0, 0, 17], [0, 0, 0, 1]])
    values = np.full((3, 32, 32), 0.2, np.float32)
    values[1, 6:14, 18:26] = 1.0
    ((data, about, _),) = to_layer_tuples(Volume(values, Geometry(values.shape, affine), name="MR 2"))
    return viewer.add_image(data, **about)


def choose(combo, text):
    index = combo.findText(text)
    assert index >= 0, [combo.itemText(k) for k in range(combo.count())]
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def test_a_map_over_its_image_with_what_it_is_worth(models, image, viewer, dock, click, settle):
    torch_before = "torch" in sys.modules
    explain = dock("Explain")
    choose(explain.model, "cues")
    offered = [explain.setup.class_choice.itemText(k) for k in range(explain.setup.class_choice.count())]
    assert offered == [DEFAULTS["classification"], "plain", "cue"]
    choose(explain.setup.class_choice, "cue")
    choose(explain.setup.method_choice, "Integrated gradients")
    click(explain.run_button)
    assert not explain.run_button.isEnabled()
    settle(lambda: explain.scores.isVisible())
    shown = viewer.layers.selection.active
    assert shown.name == "MR 2 Integrated gradients of cue by cues"
    assert image_volume(shown).geometry == image_volume(image).geometry
    np.testing.assert_allclose(shown.scale, image.scale)
    positive = np.clip(shown.data, 0, None)
    assert positive[1, 6:14, 18:26].sum() > 0.95 * positive.sum()
    low, high = shown.contrast_limits
    assert low == -high < 0
    assert shown.metadata[SCORES]["target"] == "cue"
    assert "Deletion" in explain.scores.text()
    assert "Rank correlation" in explain.scores.text()
    deletion, chance, *_insertion = explain.plots.curves.listDataItems()
    known = shown.metadata[SCORES]
    np.testing.assert_allclose(deletion.yData, known["curves"]["deletion"]["probabilities"])
    np.testing.assert_allclose(chance.yData, known["curves"]["deletion"]["by_chance"])
    bars = [item.opts["height"] for item in explain.plots.sanity.getPlotItem().items if isinstance(item, BarGraphItem)]
    assert bars[0] == [abs(known["sanity"]["stages"][0]["rank_correlation"])]
    assert explain.plots.sanity.isVisible()
    assert explain.image.layer is image
    assert explain.image.count() == 1, "the map is nothing to be asked about"
    assert ("torch" in sys.modules) == torch_before

    # Again, with a region of another model's; the first map stays, one of the same name would be replaced.
    thick = image.data.copy()
    thick[:, 6:14, 18:26] = 1.0
    image.data = thick
    choose(explain.model, "finder")
    choose(explain.setup.method_choice, "Occlusion")
    viewer.dims.set_point(0, image.data_to_world((1, 0, 0))[0])
    corners = [image.data_to_world((1, row, column)) for row, column in ((5, 17), (5, 27), (15, 27), (15, 17))]
    shapes = viewer.add_shapes([np.array(corners)], shape_type="rectangle", name="box")
    explain.region.choose(shapes)
    click(explain.run_button)
    settle(lambda: explain.scores.isVisible())
    second = viewer.layers.selection.active
    assert second.metadata[SCORES]["options"]["region"] == [[0, 3], [5, 16], [17, 28]]
    assert shown in viewer.layers


def test_what_is_wrong_is_said_and_settings_follow_the_method(models, image, viewer, dock, click, qtbot):
    explain = dock("Explain")
    choose(explain.model, "finder")
    image.data = np.zeros_like(image.data)
    click(explain.run_button)
    qtbot.waitUntil(lambda: explain.panel.messages.error is not None, timeout=60_000)
    assert "finds no cue" in explain.panel.messages.error.problem
    assert explain.run_button.isEnabled()
    for method in methods():
        choose(explain.setup.method_choice, method.title)
        assert explain.setup.about.text() == method.about
        assert explain.setup.options("cpu").device == "cpu"


def test_what_says_nothing_is_transparent():
    against, nothing, speaks_for = diverging().map(np.array([0.0, 0.5, 1.0]))
    assert nothing[3] == 0
    assert against[3] == speaks_for[3] == 1
    assert against[2] > against[0]
    assert speaks_for[0] > speaks_for[2]
    assert rising().map(np.array([0.0]))[0, 3] == 0
