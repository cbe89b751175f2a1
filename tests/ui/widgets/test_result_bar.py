"""Models that take the place of earlier ones in the library, and give it back."""

import subprocess
import sys

import pytest

from napari_medseg.models import Bundle, library
from napari_medseg.models.versions import place_of
from napari_medseg.ui.widgets.result_bar import ResultBar

# In a process of its own, as torch must not be loaded beside a window.
MAKE = """
import sys, torch
from pathlib import Path
from napari_medseg.models import Bundle, ModelSpec, build
SPEC = ModelSpec(name="trained", architecture="unet", options={"features": 4, "stages": 2}, patch_size=(8, 8, 8))
for seed in (1, 2, 3):
    torch.manual_seed(seed)
    Bundle.create(SPEC, build(SPEC).state_dict()).save(Path(sys.argv[1]) / str(seed))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return a function that gives the model of a seed, 1 to 3."""
    folder = tmp_path_factory.mktemp("bundles")
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    return lambda seed: Bundle.load(folder / str(seed))


@pytest.fixture
def bar(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path))
    bar = ResultBar()
    qtbot.addWidget(bar)
    return bar


def keep(bar, qtbot, made, passed=None):
    bar.show_bundle(made, passed)
    with qtbot.waitSignal(bar.saved, timeout=20_000) as kept:
        bar.add_to_library("My model")
    return kept.args[0]


def names():
    return [found.path.name for found in library()]


def test_an_accepted_model_replaces_the_one_before_and_a_click_goes_back(bar, bundle, qtbot):
    first = keep(bar, qtbot, bundle(1)).hash
    assert not bar.back_button.isVisibleTo(bar)
    second = keep(bar, qtbot, bundle(2), place_of("My model"))
    assert names() == ["My-model"]
    assert second.hash != first
    assert bar.back_button.isVisibleTo(bar)
    with qtbot.waitSignal(bar.went_back, timeout=20_000) as back:
        bar.back_button.click()
    assert back.args[0].hash == first
    assert library()[0].hash == first


def test_a_model_that_was_not_compared_with_it_is_left_beside(bar, bundle, qtbot):
    first = keep(bar, qtbot, bundle(1)).hash
    keep(bar, qtbot, bundle(2))
    keep(bar, qtbot, bundle(3), place_of("another"))
    assert names() == ["My-model", "My-model-2", "My-model-3"]
    assert library()[0].hash == first


def test_keeping_a_model_needs_no_torch(bar, bundle, qtbot):
    before = "torch" in sys.modules
    keep(bar, qtbot, bundle(1))
    assert ("torch" in sys.modules) == before
