"""A classifier learns what can be told, resumes bit for bit, and says how sure it is."""

import csv
import json

import numpy as np
import pytest
import torch

from napari_medseg.data.labelled import Pictures
from napari_medseg.data.labelled.answers import Classified, rows_of
from napari_medseg.errors import BundleError, Cancelled, ConfigError
from napari_medseg.inference import predict
from napari_medseg.inference.classify import classify
from napari_medseg.models import Bundle, build
from napari_medseg.progress import Control, EpochEnd, Finished, Step
from napari_medseg.tasks.kinds.classification import Classification
from napari_medseg.training import create_run, train
from napari_medseg.training.classification import ClassificationConfig, create_classification, images
from napari_medseg.training.classification.augment import Change, changed, mixed
from napari_medseg.training.classification.images import Material, Stack
from napari_medseg.training.classification.learner import ClassifierLearner
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.scoring import fitted_temperature
from napari_medseg.training.classification.session import Session
from napari_medseg.training.scored.pace import batch_numbers
from napari_medseg.training.scored.session import Standing
from napari_medseg.volume import Volume

QUICK = {
    "minutes": None,
    "architecture": "cnn_small",
    "width": 4,
    "batch_size": 8,
    "device": "cpu",
    "precision": "float32",
}


def write_npz(path, count=40, colour=False):
    """Class 1 has a bright disc in its middle, class 0 has none."""
    rng = np.random.default_rng(0)
    parts = {}
    for part, many in (("train", count), ("val", 16), ("test", 16)):
        labels = np.arange(many) % 2
        images = rng.integers(0, 60, (many, 12, 12), np.uint8)
        images[labels == 1, 4:8, 4:8] += 120
        parts[f"{part}_images"] = np.stack([images] * 3, axis=-1) if colour else images
        parts[f"{part}_labels"] = labels[:, None]
    np.savez(path, **parts)
    return path


def start(tmp_path, name="run", init=None, colour=False, **settings):
    source = write_npz(tmp_path / "data.npz", colour=colour)
    config = ClassificationConfig(**QUICK | settings)
    *_, done = create_classification(tmp_path / name, (source, None), config, init)
    return done.result


def cancel_after(run, step):
    control = Control()
    for event in train(run, control):
        if isinstance(event, Step) and event.step == step:
            control.cancel()


def test_a_planted_cue_is_learnt_and_predicted(tmp_path):
    run = start(tmp_path, epochs=8, learning_rate=0.01)
    events = list(train(run))
    result = events[-1].result
    assert result.scores["auc"] > 0.99
    assert any(isinstance(event, EpochEnd) and event.scores for event in events)
    bundle = Bundle.load(result.bundle)
    assert [c.name for c in bundle.spec.classes] == ["0", "1"]
    assert bundle.spec.intensity.kind == "fixed"
    assert len(bundle.spec.training_data) == 40
    dark, bright = np.full((12, 12), 30, np.uint8), np.full((12, 12), 30, np.uint8)
    bright[4:8, 4:8] = 150
    *_, done = classify(bundle, Pictures(("a", "b"), arrays=(np.stack([dark, bright]),)), device="cpu")
    found = done.result.probabilities
    assert found.argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_allclose(found.sum(axis=1), 1)
    records = [json.loads(line) for line in run.events.read_text().splitlines()]
    assert records[-1]["result"]["scores"]["auc"] == result.scores["auc"]


def test_a_run_that_broke_off_ends_in_the_same_weights(tmp_path):
    whole = start(
        tmp_path, "whole", epochs=2, checkpoint_seconds=0, mixup=0.2, cutmix=0.5, randaugment=1, flips="sideways"
    )
    *_, finished = train(whole)
    broken = start(
        tmp_path, "broken", epochs=2, checkpoint_seconds=0, mixup=0.2, cutmix=0.5, randaugment=1, flips="sideways"
    )
    with pytest.raises(Cancelled):
        cancel_after(broken, 4)
    *_, again = train(broken, resume=True)
    assert isinstance(again, Finished)
    first, second = (Bundle.load(e.result.bundle).state_dict() for e in (finished, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_images_that_are_too_many_for_the_memory_are_learnt_from_a_file(tmp_path, monkeypatch):
    first = list(train(start(tmp_path, "memory", epochs=1)))[-1].result.bundle
    monkeypatch.setattr(images, "MOST_BYTES", 100)
    run = start(tmp_path, "file", epochs=1)
    events = train(run)
    next(event for event in events if isinstance(event, Step))
    # 40 images of training and 16 of validation; those to test on need not be kept.
    assert np.load(run.path / "cache" / "images.npy", mmap_mode="r").shape == (56, 1, 12, 12)
    second = list(events)[-1].result.bundle
    one, other = (Bundle.load(path).state_dict() for path in (first, second))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (run.path / "cache").exists()


def test_other_data_than_the_run_began_with_is_refused(tmp_path):
    run = start(tmp_path, epochs=1)
    write_npz(tmp_path / "data.npz", count=42)
    with pytest.raises(ConfigError, match="have changed"):
        list(train(run))


def test_a_time_budget_becomes_steps(tmp_path):
    run = start(tmp_path, minutes=0.04, epochs=10_000, clock="processor")
    result = list(train(run))[-1].result
    assert 8 <= result.steps < 10_000
    assert result.seconds < 5


def test_looking_at_the_images_before_is_training_time(tmp_path):
    run = start(tmp_path, minutes=1.0, epochs=10_000, clock="processor")
    content = run.read(ClassificationRun)
    assert 0 < content.looked < 5
    # Of the 57 s that a minute holds, hardly any is left.
    run.config.write_text(content.model_copy(update={"looked": 56.5}).model_dump_json())
    result = list(train(run))[-1].result
    assert result.seconds > 56.5
    assert result.steps < 1000


def test_steps_that_became_slower_are_fewer(tmp_path):
    run = start(tmp_path, minutes=1.0, epochs=100)
    content = run.read(ClassificationRun)
    stack = Stack(torch.zeros((40, 1, 12, 12)), torch.eye(2)[torch.arange(40) % 2])
    network = build(content.spec)
    learner = ClassifierLearner(network, content.spec, content.train, Classification(), torch.device("cpu"), False)
    session = Session(run, content, Material(stack, stack, ()), learner)
    session.state = Standing(planned=100, every=1, step=40, seconds=39.0)
    list(session._score())
    # A minute holds 57 s of training; 18 s are left, less the moment of scoring, at a second a step.
    assert 55 <= session.state.planned <= 58


def test_init_keeps_the_network_and_a_frozen_body_stays(tmp_path):
    first = list(train(start(tmp_path, "first", epochs=1)))[-1].result.bundle
    body = Bundle.load(first).state_dict()
    settings = {"architecture": "auto", "width": None, "freeze": "head", "ema": 0.0, "epochs": 1}
    second = list(train(start(tmp_path, "second", init=first, **settings)))[-1].result.bundle
    after = Bundle.load(second).state_dict()
    changed_names = {name for name in body if not torch.equal(body[name], after[name])}
    assert changed_names == {name for name in body if name.startswith("14.")}


def test_freezing_needs_something_learnt(tmp_path):
    with pytest.raises(ConfigError, match="needs a pretrained network"):
        list(train(start(tmp_path, freeze="head")))


def test_colour_images_have_three_channels_and_class_names_come_from_tables(tmp_path):
    run = start(tmp_path, colour=True, epochs=1)
    assert json.loads(run.config.read_text())["spec"]["channels"] == 3
    with pytest.raises(ConfigError, match="already holds"):
        start(tmp_path)


def test_each_image_comes_once_per_epoch():
    seen = np.concatenate([batch_numbers(step, 10, 5, 3) for step in (2, 3)])
    assert sorted(seen) == list(range(10))
    assert batch_numbers(2, 10, 5, 3) != batch_numbers(0, 10, 5, 3)


def test_changes_follow_from_the_generator_and_keep_the_middle():
    images = torch.zeros((4, 1, 21, 21))
    images[..., 8:13, 8:13] = 1.0
    kinds = Change(flips="all", geometry=True, intensity=False)
    once, twice = (changed(images, kinds, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, twice)
    assert not torch.equal(once, images)
    assert (once[..., 10, 10] > 0.9).all()
    volumes = changed(images[:, :, None].expand(-1, -1, 5, -1, -1), kinds, torch.Generator().manual_seed(1))
    assert volumes.shape == (4, 1, 5, 21, 21)


def test_mixed_images_have_mixed_classes():
    images, target = torch.eye(4)[:, None, None], torch.eye(4)
    both, shares = mixed(images, target, 1.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(both[:, 0, 0], shares)


def test_temperature_undoes_logits_that_are_too_sure():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn((4000, 3), generator=rng)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=rng)[:, 0]
    assert fitted_temperature(3 * logits, torch.eye(3)[labels]) == pytest.approx(3, rel=0.1)
    # Three images that are right say little about how sure a network may be.
    assert 0.5 < fitted_temperature(5 * torch.eye(3), torch.eye(3)) < 1


def test_a_classification_is_no_segmentation(tmp_path):
    spec = start(tmp_path, epochs=1).read(ClassificationRun).spec
    bundle = Bundle.create(spec, build(spec).state_dict())
    with pytest.raises(BundleError, match="gives no label map"):
        list(predict(Volume(np.zeros((12, 12), np.float32), None), bundle))
    with pytest.raises(ConfigError, match="this trains a segmentation"):
        create_run(tmp_path / "other", spec, [])


def test_predictions_table(tmp_path):
    spec = Bundle.load(list(train(start(tmp_path, epochs=1)))[-1].result.bundle).spec
    rows = rows_of(Classified(("a.png",), np.array([[0.25, 0.75]])), spec)
    path = tmp_path / "p.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert path.read_text().split() == ["image,predicted,p_0,p_1", "a.png,1,0.25,0.75"]
