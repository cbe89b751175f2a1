"""The user's models are kept in one place, under their names, and none is lost."""

import logging
from pathlib import Path

import pytest
import torch

from napari_medseg.models import Bundle, ModelSpec, build, install, library, library_folder


def bundle(name: str, seed: int = 0) -> Bundle:
    torch.manual_seed(seed)
    spec = ModelSpec(name=name, architecture="unet", options={"features": 2, "stages": 2}, patch_size=(8, 8, 8))
    return Bundle.create(spec, build(spec).state_dict())


def test_the_place_follows_the_environment(medseg_home, monkeypatch):
    assert library_folder() == medseg_home / "models"
    monkeypatch.delenv("NAPARI_MEDSEG_HOME")
    assert library_folder().parts[-2:] == ("napari-medseg", "models")


def test_an_empty_library():
    assert library() == []


def test_models_are_listed_by_name():
    installed = [install(bundle(name)) for name in ("spleen", "Liver")]
    assert [found.spec.name for found in library()] == ["Liver", "spleen"]
    assert {found.hash for found in library()} == {found.hash for found in installed}


def test_the_same_model_is_installed_once_and_another_of_its_name_beside_it():
    first, again, other = install(bundle("liver")), install(bundle("liver")), install(bundle("liver", seed=1))
    assert first.path == again.path
    assert other.path.name == "liver-2"
    assert install(bundle("liver", seed=1)).path == other.path
    assert len(library()) == 2


@pytest.mark.parametrize("name", ["../../escape", "a/b:c", "...", "Leber über"])
def test_names_cannot_leave_the_library(name):
    path = install(bundle(name)).path
    assert path.parent == library_folder()
    assert library()[0].spec.name == name


def test_a_damaged_model_is_left_out_with_a_line_in_the_log(caplog):
    good, bad = install(bundle("good")), install(bundle("bad"))
    Path(bad.path / "models" / "model.pt").unlink()
    with caplog.at_level(logging.WARNING):
        assert [found.path for found in library()] == [good.path]
    assert "bad has no weights" in caplog.text
    assert install(bundle("bad")).path.name == "bad-2"
