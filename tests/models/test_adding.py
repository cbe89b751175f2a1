"""One function takes whatever a user points at."""

import json
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from napari_medseg.errors import BundleError, ConfigError
from napari_medseg.models import AddOptions, Bundle, ModelSpec, add, build, find, library, remove
from napari_medseg.models.importing.sources import recognise
from napari_medseg.models.library import library_folder

OPTIONS = {"features": 2, "stages": 2}
SPEC = ModelSpec(name="net", architecture="unet", options=OPTIONS, patch_size=(8, 8, 8))


def bundle(seed: int = 0, name: str = "net") -> Bundle:
    torch.manual_seed(seed)
    spec = SPEC.model_copy(update={"name": name})
    return Bundle.create(spec, build(spec).state_dict())


def brainchop(folder, name="tiny"):
    layer = {"kernel": 3, "padding": 1, "dilation": 1, "bias": True}
    layers = [
        {**layer, "in_channels": 1, "out_channels": 2},
        {"in_channels": 2, "out_channels": 2, "kernel": 1, "padding": 0, "dilation": 1, "bias": True},
    ]
    content = {"name": name, "activation": "ReLU", "layers": layers, "labels": ["Unknown", "brain"]}
    (folder / f"{name}.json").write_text(json.dumps(content))
    shapes = {"0.weight": (2, 1, 3, 3, 3), "0.bias": (2,), "2.weight": (2, 2, 1, 1, 1), "2.bias": (2,)}
    save_file({key: torch.ones(shape) for key, shape in shapes.items()}, folder / f"{name}.safetensors")
    return folder / f"{name}.json"


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder.parent))
    return path


def test_folders_and_zip_files_of_models(tmp_path):
    made = bundle().save(tmp_path / "made" / "net")
    assert recognise(tmp_path / "made" / "net").kind == "bundle"
    first = add(tmp_path / "made" / "net")
    assert first.path.parent == library_folder().resolve()
    assert add(tmp_path / "made").path == first.path
    assert add(zipped(made.path, tmp_path / "net.zip")).path == first.path
    assert [found.hash for found in library()] == [made.hash]
    assert add(made.path, AddOptions(name="Other")).spec.name == "Other"


def test_brainchop_by_file_and_by_folder(tmp_path):
    path = brainchop(tmp_path)
    assert recognise(path).kind == recognise(tmp_path).kind == "brainchop"
    assert add(path).spec.architecture == "meshnet"
    assert add(tmp_path).path == add(path).path
    brainchop(tmp_path, "second")
    with pytest.raises(BundleError, match="2 models in") as caught:
        add(tmp_path)
    assert "second.json, tiny.json" in caught.value.remedy


def test_what_would_not_be_read_is_refused(tmp_path):
    path = brainchop(tmp_path)
    with pytest.raises(ConfigError, match=r"tiny\.json says itself what it needs, so spacing cannot be set"):
        add(path, AddOptions(spec={"spacing": [1, 1, 1]}))
    with pytest.raises(ConfigError, match=r"tiny\.json has no folds"):
        add(path, AddOptions(folds=("0",)))
    assert library() == []


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_an_architecture(suffix, tmp_path):
    path, state = tmp_path / f"weights{suffix}", bundle().state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    fields = {"architecture": "unet", "options": OPTIONS, "patch_size": [8, 8, 8], "classes": ["background", "cell"]}
    found = add(path, AddOptions(spec=fields))
    assert (found.spec.name, found.spec.classes[1].name) == ("weights", "cell")
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.state_dict().items())
    with pytest.raises(ConfigError, match="does not say which network") as caught:
        add(path)
    assert "dynunet" in caught.value.remedy
    with pytest.raises(ConfigError, match="wings"):
        add(path, AddOptions(spec=fields | {"wings": 2}))


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "text.txt").write_text("no")
    (tmp_path / "some.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"text\.txt is no model"):
        add(tmp_path / "text.txt")
    with pytest.raises(BundleError, match=r"some\.json does not describe"):
        add(tmp_path / "some.json")
    with pytest.raises(BundleError, match="no model in"):
        add(tmp_path / "empty")
    with pytest.raises(BundleError, match="no file or folder"):
        add(tmp_path / "none" / "at all")


def test_a_zip_file_that_reaches_outside_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr("model/configs/metadata.json", "{}")
        packed.writestr("../../evil.txt", "x")
    with pytest.raises(BundleError, match="outside of its folder"):
        add(tmp_path / "evil.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("model/configs/metadata.json", " " * 40_000_000)
    with pytest.raises(BundleError, match="would become"):
        add(tmp_path / "bomb.zip")


def test_models_are_found_and_removed_by_name_or_folder(tmp_path):
    first, second = (add(bundle(seed).save(tmp_path / str(seed)).path) for seed in (0, 1))
    assert second.path.name == "net-2"
    assert find("net-2").hash == second.hash
    assert find("net").hash == first.hash
    assert remove("net-2") == library_folder() / "net-2"
    assert not second.path.exists()
    assert [found.hash for found in library()] == [first.hash]
    with pytest.raises(BundleError, match="None of your models is named 'net-2'") as caught:
        remove("net-2")
    assert "You have: net" in caught.value.remedy
    (first.path / "configs" / "metadata.json").write_text("{")
    assert library() == []
    remove("net")
    assert not first.path.exists()
    for outside in ("..", "../models/net", str(tmp_path / "0")):
        with pytest.raises(BundleError, match="None of your models"):
            remove(outside)
    assert (tmp_path / "0").is_dir()


def test_two_models_of_one_name_have_to_be_told_apart(tmp_path):
    for seed in (0, 1):
        add(bundle(seed, "liver CT").save(tmp_path / str(seed)).path)
    with pytest.raises(BundleError, match="2 of your models are named 'liver CT'"):
        find("liver CT")
