"""A project's model gives way to a new one only where that was found no worse, and comes back on request."""

import json

import numpy as np
import pytest

from napari_medseg.errors import BundleError, ReadError
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.library import bundles_in
from napari_medseg.project.models import HISTORY, go_back, keep_model, load_history
from napari_medseg.training import RunFolder
from napari_medseg.training.gate import Verdict

SPEC = ModelSpec(name="brain tissues", architecture="unet", options={"features": 4, "stages": 2, "residual_units": 1})


@pytest.fixture
def run(tmp_path):
    """Return a function that gives a finished run, whose model differs from the others' in its description."""

    def make(name):
        folder = RunFolder(tmp_path / "study" / "runs" / name)
        spec = SPEC.model_copy(update={"description": name})
        Bundle.create(spec, spec_weights(spec)).save(folder.bundle)
        np.savez(folder.labelled, known=np.array([name == "one"]))
        return folder

    return make


def spec_weights(spec):
    from napari_medseg.models.registry import build

    return build(spec).state_dict()


def test_versions_verdicts_and_the_way_back(run, tmp_path):
    models = tmp_path / "study" / "models"
    first = keep_model(models, run("one"), None)
    assert first.path == models / "brain-tissues"
    accepted = keep_model(models, run("two"), Verdict(True, "No worse than brain tissues.", "brain tissues"))
    assert accepted.spec.description == "two"
    refused = keep_model(models, run("three"), Verdict(False, "Worse than brain tissues.", "brain tissues"))
    assert refused is None
    (now,) = bundles_in(models)
    assert now.spec.description == "two"
    assert not np.load(models / "brain-tissues" / "labelled.npz")["known"].any()

    assert go_back(models, now.path).spec.description == "one"
    assert np.load(models / "brain-tissues" / "labelled.npz")["known"].all()
    told = load_history(models)
    assert [(entry.run, entry.what) for entry in told] == [
        ("one", "first"),
        ("two", "accepted"),
        ("three", "refused"),
        ("", "went back"),
    ]
    assert told[2].why == "Worse than brain tissues."
    assert told[3].hash == first.hash
    assert go_back(models, now.path).spec.description == "two", "nothing was lost"


def test_a_single_version_has_no_way_back(run, tmp_path):
    models = tmp_path / "study" / "models"
    kept = keep_model(models, run("one"), None)
    with pytest.raises(BundleError, match="no version"):
        go_back(models, kept.path)
    assert [entry.what for entry in load_history(models)] == ["first"]


def test_a_damaged_history_is_told(tmp_path):
    (tmp_path / HISTORY).write_text(json.dumps({"version": 1, "entries": [{}]}))
    with pytest.raises(ReadError, match="not understood"):
        load_history(tmp_path)
