"""An ensemble's probabilities are the mean of its members', and its uncertainty follows from them."""

import numpy as np
import pytest
import torch

from napari_medseg.errors import ConfigError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.models import Bundle, ModelSpec, build, ensemble
from napari_medseg.prediction import LabelClass, ProbabilityMap, UncertaintyMap
from napari_medseg.progress import Progress
from napari_medseg.volume import Geometry, Volume

CLASSES = tuple(LabelClass(value=value, name=name) for value, name in ((0, "background"), (2, "a"), (7, "b")))


def member(seed: int, **changes) -> Bundle:
    torch.manual_seed(seed)
    options = {"features": 4, "stages": 2}
    fields = {"name": f"m{seed}", "architecture": "unet", "options": options, "patch_size": (8, 8, 8), **changes}
    spec = ModelSpec(**{"classes": CLASSES, **fields})
    network = build(spec)
    with torch.no_grad():
        list(network.parameters())[-2].mul_(4)
    return Bundle.create(spec, network.state_dict())


MEMBERS = [member(0), member(1, axcodes="LIA", spacing=(1.5, 1.5, 1.5)), member(2, patch_size=(4, 8, 12))]


def scan() -> Volume:
    data = np.random.default_rng(0).normal(size=(10, 12, 14)).astype(np.float32)
    return Volume(data, Geometry(data.shape, np.diag([2.0, 1, 1, 1])), name="scan")


def outputs(bundle: Bundle, **options):
    *_, finished = predict(scan(), bundle, PredictOptions(device="cpu", **options))
    return finished.result


def probabilities(prediction) -> np.ndarray:
    return next(o.probabilities for o in prediction.outputs if isinstance(o, ProbabilityMap))


def uncertainty(prediction) -> np.ndarray:
    return next(o.uncertainty for o in prediction.outputs if isinstance(o, UncertaintyMap))


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-30))).sum(0) / np.log(len(p))


@pytest.fixture(scope="module")
def alone() -> np.ndarray:
    """Return the (member, class, z, y, x) probabilities of each member by itself."""
    return np.stack([probabilities(outputs(m, probabilities=True)) for m in MEMBERS])


def test_probabilities_are_the_mean_and_labels_the_strongest(alone):
    found = outputs(ensemble("e", MEMBERS), probabilities=True)
    mean = alone.mean(0)
    np.testing.assert_allclose(probabilities(found), mean, atol=1e-6)
    values = np.array([0, 2, 7])[mean.argmax(0)]
    np.testing.assert_array_equal(found.label_map.labels, values)
    assert len(np.unique(values)) == 3
    assert found.bundle == "e"


def test_members_may_count_more_than_others(alone):
    found = outputs(ensemble("e", MEMBERS, [1, 2, 5]), probabilities=True, uncertainty=True)
    mean = (alone[0] + 2 * alone[1] + 5 * alone[2]) / 8
    np.testing.assert_allclose(probabilities(found), mean, atol=1e-6)
    np.testing.assert_array_equal(found.label_map.labels, np.array([0, 2, 7])[mean.argmax(0)])
    np.testing.assert_allclose(uncertainty(found), entropy(mean), atol=1e-5)


def test_a_member_that_is_too_sure_is_softened(alone):
    # logits over a temperature of 2 give the square roots of the probabilities, up to a factor
    found = outputs(ensemble("e", MEMBERS, temperatures=[1, 2, 1]), probabilities=True, uncertainty=True)
    soft = np.sqrt(alone[1]) / np.sqrt(alone[1]).sum(axis=0)
    mean = (alone[0] + soft + alone[2]) / 3
    assert np.abs(soft - alone[1]).max() > 0.01
    np.testing.assert_allclose(probabilities(found), mean, atol=1e-6)
    np.testing.assert_allclose(uncertainty(found), entropy(mean), atol=1e-5)


def test_uncertainty_is_the_entropy_of_the_mean_or_what_members_disagree_about(alone):
    both = ensemble("e", MEMBERS)
    np.testing.assert_allclose(uncertainty(outputs(both, uncertainty=True)), entropy(alone.mean(0)), atol=1e-5)
    wanted = entropy(alone.mean(0)) - np.mean([entropy(p) for p in alone], axis=0)
    found = uncertainty(outputs(both, uncertainty=True, measure="mutual_information"))
    np.testing.assert_allclose(found, np.clip(wanted, 0, 1), atol=1e-5)
    assert found.max() > 0.01


def test_members_that_agree_have_nothing_in_dispute():
    twins = ensemble("twins", [MEMBERS[0], MEMBERS[0]])
    assert uncertainty(outputs(twins, uncertainty=True, measure="mutual_information")).max() < 1e-5
    np.testing.assert_array_equal(outputs(twins).label_map.labels, outputs(MEMBERS[0]).label_map.labels)


def test_one_model_has_no_members_that_disagree():
    with pytest.raises(ConfigError, match="m0 is one model"):
        outputs(MEMBERS[0], uncertainty=True, measure="mutual_information")


def test_an_ensemble_from_disk_gives_the_same_and_says_which_member_is_at_work(tmp_path):
    made = ensemble("e", MEMBERS[:2])
    loaded = Bundle.load(made.save(tmp_path / "e").path)
    np.testing.assert_array_equal(outputs(loaded).label_map.labels, outputs(made).label_map.labels)
    stages = {e.stage for e in predict(scan(), loaded, PredictOptions(device="cpu")) if isinstance(e, Progress)}
    assert {"Predicting (1 of 2 models)", "Predicting (2 of 2 models)"} <= stages


def test_a_region_is_honoured():
    whole, box = outputs(ensemble("e", MEMBERS)), ((2, 6), (0, 12), (3, 9))
    part = outputs(ensemble("e", MEMBERS), region=box, probabilities=True)
    inside = np.zeros(whole.label_map.labels.shape, bool)
    inside[2:6, :, 3:9] = True
    np.testing.assert_array_equal(part.label_map.labels, np.where(inside, whole.label_map.labels, 0))
    assert (probabilities(part)[0][~inside] == 1).all()
    assert (probabilities(part)[1:][:, ~inside] == 0).all()
