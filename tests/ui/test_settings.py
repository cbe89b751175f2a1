"""What the user chose is there next time."""

import json
from typing import Annotated

import pytest
from napari.settings import get_plugin_settings
from npe2 import PluginManifest
from pydantic import BaseModel, Field

from napari_medseg.inference import PredictOptions
from napari_medseg.inference.postprocess import KeepLargest, Merge, PostProcessing, RemoveSmall
from napari_medseg.io.limits import MEMORY_SHARE
from napari_medseg.models.design import Design
from napari_medseg.training import TrainConfig
from napari_medseg.ui.settings import choose_device, chosen_device, forms_file, memory_share, recall, remember
from napari_medseg.volume import LabelClass


@pytest.fixture
def preferences(npe2pm, plugin_settings):
    npe2pm.register(PluginManifest.from_distribution("napari-medseg"))


@pytest.mark.parametrize(
    "values",
    [PredictOptions(overlap=0.5, batch_size=3), TrainConfig(minutes=None, patch_size=(8, 16, 24)), Design(dims=2)],
)
def test_values_come_back(values):
    remember("form", values)
    assert recall("form", type(values)()) == values


def test_forms_do_not_mix():
    remember("one", Design(size="large"))
    remember("two", Design(size="small"))
    assert recall("one", Design()).size == "large"
    assert recall("three", Design()) == Design()


def test_only_what_differs_is_kept(medseg_home):
    remember("form", TrainConfig(steps=7))
    assert forms_file() == medseg_home / "forms.json"
    assert json.loads(forms_file().read_text()) == {"form": {"steps": 7}}


class Strict(BaseModel, extra="forbid"):
    count: Annotated[int, Field(ge=10)] = 10


@pytest.mark.parametrize("text", ["not json", "[1, 2]", '{"form": {"count": 3}}', '{"form": {"gone": 1}}'])
def test_a_file_that_does_not_fit_is_not_used(text):
    forms_file().parent.mkdir(parents=True)
    forms_file().write_text(text)
    assert recall("form", Strict()) == Strict()
    remember("form", Strict(count=11))
    assert recall("form", Strict()).count == 11


def test_a_folder_that_cannot_be_written_is_no_error(medseg_home):
    medseg_home.write_text("a file where the folder should be")
    remember("form", Design(size="large"))
    assert recall("form", Design()) == Design()


def test_the_device_is_a_preference(preferences, tmp_path):
    assert chosen_device() == "auto"
    choose_device("cpu")
    assert chosen_device() == "cpu"
    assert "device: cpu" in (tmp_path / "napari-medseg.yaml").read_text()


def test_a_device_that_the_page_does_not_offer_is_not_kept(preferences):
    choose_device("cuda:17")
    assert chosen_device() == "auto"


def test_steps_after_the_network_are_remembered_with_their_kind() -> None:
    steps = PostProcessing(steps=(KeepLargest(), RemoveSmall(below_mm3=5.0), Merge(into=LabelClass(value=3, name="a"))))
    remember("clean up", steps)
    assert recall("clean up", PostProcessing()) == steps


def test_the_memory_for_one_volume_is_a_preference(preferences):
    assert memory_share() == MEMORY_SHARE
    get_plugin_settings("napari-medseg").reading.memory_percent = 5
    assert memory_share() == 0.05
