"""Models that take the place of earlier ones in the library, and give it back."""

import pytest
import torch

from napari_medseg.models import Bundle, ModelSpec, build, library
from napari_medseg.models.versions import place_of
from napari_medseg.ui.widgets.result_bar import ResultBar

SPEC = ModelSpec(name="trained", architecture="unet", options={"features": 4, "stages": 2}, patch_size=(8, 8, 8))


def bundle(seed):
    torch.manual_seed(seed)
    return Bundle.create(SPEC, build(SPEC).state_dict())


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


def test_an_accepted_model_replaces_the_one_before_and_a_click_goes_back(bar, qtbot):
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


def test_a_model_that_was_not_compared_with_it_is_left_beside(bar, qtbot):
    first = keep(bar, qtbot, bundle(1)).hash
    keep(bar, qtbot, bundle(2))
    keep(bar, qtbot, bundle(3), place_of("another"))
    assert names() == ["My-model", "My-model-2", "My-model-3"]
    assert library()[0].hash == first
