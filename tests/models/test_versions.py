from pathlib import Path

import pytest
import torch

from napari_medseg.errors import BundleError
from napari_medseg.models import Bundle, ModelSpec, build, library
from napari_medseg.models.versions import KEPT, replace, rollback, rollback_named, versions

SPEC = ModelSpec(name="my model", architecture="unet", options={"features": 4, "stages": 2}, patch_size=(8, 8, 8))


def bundle(seed: int, name: str = "my model") -> Bundle:
    torch.manual_seed(seed)
    return Bundle.create(SPEC.model_copy(update={"name": name}), build(SPEC).state_dict())


def test_a_new_model_takes_the_place_and_the_old_one_is_kept(tmp_path: Path) -> None:
    first = replace(bundle(1), tmp_path / "my-model")
    second = replace(bundle(2), tmp_path / "my-model")
    assert first.path == second.path == tmp_path / "my-model"
    assert Bundle.load(tmp_path / "my-model").hash == second.hash
    assert [Bundle.load(path).hash for path in versions(tmp_path / "my-model")] == [bundle(1).hash]
    assert replace(bundle(2), tmp_path / "my-model").hash == second.hash
    assert len(versions(tmp_path / "my-model")) == 1


def test_rollback_walks_back_and_loses_nothing(tmp_path: Path) -> None:
    place = tmp_path / "my-model"
    hashes = [replace(bundle(seed), tmp_path / "my-model").hash for seed in (1, 2, 3)]
    seen = [rollback(place).hash for _ in range(3)]
    assert seen == [hashes[1], hashes[0], hashes[2]]
    assert {Bundle.load(path).hash for path in versions(place)} == set(hashes[:2])


def test_only_the_newest_versions_are_kept(tmp_path: Path) -> None:
    hashes = [replace(bundle(seed), tmp_path / "my-model").hash for seed in range(KEPT + 3)]
    assert [Bundle.load(path).hash for path in versions(tmp_path / "my-model")] == hashes[-2:1:-1]


def test_without_a_version_before_there_is_nothing_to_roll_back_to(tmp_path: Path) -> None:
    made = replace(bundle(1), tmp_path / "my-model")
    with pytest.raises(BundleError, match="no version of my-model"):
        rollback(tmp_path / "my-model")
    assert Bundle.load(tmp_path / "my-model").hash == made.hash


def test_in_the_library_versions_are_no_models_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path))
    first = replace(bundle(1))
    replace(bundle(2))
    replace(bundle(3, "other"))
    assert [found.spec.name for found in library()] == ["my model", "other"]
    assert rollback_named("my model").hash == first.hash
