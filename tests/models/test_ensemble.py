"""Models for the same classes become one, on disk and in memory."""

import pytest
import torch

from napari_medseg.errors import BundleError
from napari_medseg.models import Bundle, ModelSpec, build, ensemble, install
from napari_medseg.models.ensemble import trainable
from napari_medseg.models.pipeline import Parts
from napari_medseg.prediction import LabelClass

CLASSES = tuple(LabelClass(value=value, name=name) for value, name in ((0, "background"), (2, "a"), (7, "b")))


def member(seed: int, **changes) -> Bundle:
    torch.manual_seed(seed)
    options = {"features": 2, "stages": 2}
    fields = {"name": f"m{seed}", "architecture": "unet", "options": options, "patch_size": (8, 8, 8), **changes}
    spec = ModelSpec(**{"classes": CLASSES, **fields})
    return Bundle.create(spec, build(spec).state_dict())


def test_an_ensemble_survives_the_disk_with_its_members(tmp_path):
    made = ensemble("both", [member(0, licence="MIT"), member(1, licence="CC-BY-4.0", citation="B et al.")])
    saved = made.save(tmp_path / "both")
    loaded = Bundle.load(saved.path)
    assert loaded.hash == made.hash == saved.hash
    assert loaded.spec == made.spec
    assert [m.spec.name for m in loaded.members] == ["m0", "m1"]
    assert [m.hash for m in loaded.members] == [m.hash for m in made.members]
    assert (loaded.spec.licence, loaded.spec.citation) == ("CC-BY-4.0 AND MIT", "B et al.")
    assert "Mean of 2 models" in (tmp_path / "both" / "docs" / "README.md").read_text()
    assert not (tmp_path / "both" / "configs" / "inference.json").exists()
    assert install(loaded).path == install(made).path
    with pytest.raises(BundleError, match="is not one network"):
        loaded.network()


def test_what_members_count_survives_the_disk(tmp_path):
    made = ensemble("both", [member(0), member(1)], [1, 3])
    assert Bundle.load(made.save(tmp_path / "both").path).spec.pipeline.shares == (0.25, 0.75)
    assert made.hash != ensemble("both", made.members).hash
    assert "Weighted mean of 2 models" in (tmp_path / "both" / "docs" / "README.md").read_text()
    for values in ([1], [1, 0]):
        with pytest.raises(ValueError, match=r"weights|greater than 0"):
            ensemble("both", made.members, values)
        with pytest.raises(ValueError, match=r"temperatures|greater than 0"):
            ensemble("both", made.members, temperatures=values)


def test_how_members_are_softened_survives_the_disk(tmp_path):
    made = ensemble("both", [member(0), member(1)], temperatures=[4, 1])
    assert Bundle.load(made.save(tmp_path / "both").path).spec.pipeline.temperatures == (4, 1)
    assert made.hash != ensemble("both", made.members).hash


def test_the_weights_are_those_of_all_members():
    made = ensemble("both", [member(0), member(1)])
    own = [each.state_dict() for each in made.members]
    weights = made.state_dict()
    assert len(weights) == len(own[0]) + len(own[1])
    assert all(torch.equal(value, own[int(name[0])][name[2:]]) for name, value in weights.items())


def test_the_first_network_of_an_ensemble_is_trained_further(tmp_path):
    saved = ensemble("both", [member(0), member(1)]).save(tmp_path / "both")
    assert trainable(saved).path == tmp_path / "both" / "members" / "00"
    one = member(3)
    assert trainable(one) is one
    odd = ensemble("odd", [member(0), member(1)])
    programs = tuple(
        Bundle(each.spec.model_copy(update={"architecture": "torchscript"}), each.weights) for each in odd.members
    )
    other = Bundle(odd.spec, b"", None, (programs[0], odd.members[1]))
    assert trainable(other) is odd.members[1]
    none = Bundle(odd.spec, b"", None, programs)
    assert trainable(none) is none


def test_another_order_or_member_is_another_model():
    a, b, c = (member(seed) for seed in range(3))
    hashes = {ensemble("e", members).hash for members in ([a, b], [b, a], [a, c], [a, b, c])}
    assert len(hashes) == 4


def test_a_missing_member_is_named(tmp_path):
    import shutil

    saved = ensemble("both", [member(0), member(1)]).save(tmp_path / "both")
    shutil.rmtree(saved.path / "members" / "01")
    with pytest.raises(BundleError, match="made of 2 models, but members/01 is missing"):
        Bundle.load(saved.path)


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(BundleError, match="two models or more"):
        ensemble("one", [member(0)])
    with pytest.raises(BundleError, match=r"m1 has the classes \[0, 2\], but m0 has \[0, 2, 7\]"):
        ensemble("e", [member(0), member(1, classes=CLASSES[:2])])
    with pytest.raises(BundleError, match="m1 takes 2 channels, but m0 takes 1"):
        ensemble("e", [member(0), member(1, channels=2)])
    parts = member(1).spec.model_copy(update={"pipeline": Parts(tables=({1: 2},))})
    with pytest.raises(BundleError, match="no probabilities"):
        ensemble("e", [member(0), Bundle(parts, b"")])
