"""What a training of classes can be told: answers, facts, modalities, frozen stages, unlabelled images, folds."""

import csv
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from napari_medseg.data.labelled import Pictures
from napari_medseg.data.labelled.answers import rows_of
from napari_medseg.errors import ConfigError
from napari_medseg.inference.classify import classify
from napari_medseg.inference.classify_sources import chosen_pictures
from napari_medseg.io import write
from napari_medseg.models import Bundle, build
from napari_medseg.models.registry import network_def
from napari_medseg.progress import Control, Finished, Note
from napari_medseg.tasks.kinds.classification import Classification, log_probabilities, pseudo_loss
from napari_medseg.training import RunFolder, train
from napari_medseg.training.classification import ClassificationConfig, create_classification
from napari_medseg.training.classification.augment import patched
from napari_medseg.training.classification.folds import CrossValidation, cross_validation
from napari_medseg.training.classification.images import Stack, load_material
from napari_medseg.training.classification.learner import ClassifierLearner
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.stages import stages_of
from napari_medseg.training.classification.strong import KINDS, strongly_changed
from napari_medseg.volume import Volume

QUICK = {"minutes": None, "epochs": 8, "learning_rate": 0.01, "architecture": "cnn_small", "width": 4, "batch_size": 8,
         "device": "cpu", "precision": "float32", "intensity": False}  # fmt: skip
RNG = np.random.default_rng(0)


def noise(count: int = 1) -> np.ndarray:
    return RNG.integers(0, 60, (count, 12, 12), np.uint8)


def folder_of(images: np.ndarray, folder: Path, name: str = "i") -> Path:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        iio.imwrite(folder / f"{name}{number}.png", image)
    return folder


def table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def result_of(events):
    *_, done = events
    assert isinstance(done, Finished)
    return done.result


def trained(tmp_path: Path, images: Path, labels: Path | None, **settings) -> Bundle:
    config = ClassificationConfig(**QUICK | settings)
    run = result_of(create_classification(tmp_path / "run", (images, labels), config))
    return Bundle.load(result_of(train(run)).bundle)


def test_each_of_several_classes_is_learnt_by_itself(tmp_path):
    truth = np.array([[k % 2, k // 2 % 2] for k in range(48)])
    images = noise(48)
    images[truth[:, 0] == 1, 2:5, 2:5] += 150
    images[truth[:, 1] == 1, 8:11, 8:11] += 150
    folder = folder_of(images, tmp_path / "images")
    rows = [{"image": f"i{k}", "left": a, "right": b} for k, (a, b) in enumerate(truth)]
    bundle = trained(tmp_path, folder, table(tmp_path / "t.csv", rows), class_weights="balanced")
    assert (bundle.spec.output, bundle.spec.outputs) == ("several", 2)
    test = noise(4)
    test[[1, 3], 2:5, 2:5] += 150
    test[2:, 8:11, 8:11] += 150
    found = result_of(classify(bundle, Pictures(("a", "b", "c", "d"), arrays=(test,)), device="cpu"))
    assert [row[1] for row in rows_of(found, bundle.spec)[1:]] == ["", "left", "right", "left|right"]
    with pytest.raises(ConfigError, match="which is not single"):
        list(
            create_classification(
                tmp_path / "other", (folder, tmp_path / "t.csv"), ClassificationConfig(answer="single")
            )
        )


def test_grades_are_ordered(tmp_path):
    grade = np.arange(40) % 4
    rows = [{"image": f"i{k}", "label": g} for k, g in enumerate(grade)]
    folder = folder_of((noise(40) + 50 * grade[:, None, None]).astype(np.uint8), tmp_path / "images")
    bundle = trained(tmp_path, folder, table(tmp_path / "t.csv", rows), answer="ordinal")
    assert (bundle.spec.output, bundle.spec.outputs) == ("ordered", 3)
    assert bundle.spec.metrics["kappa"] > 0.8
    logits = torch.randn((5, 3), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_probabilities(logits, "ordered").exp().sum(dim=1), torch.ones(5))
    # The first channel is the chance to be above grade 0.
    torch.testing.assert_close(log_probabilities(logits, "ordered").exp()[:, 1:].sum(dim=1), logits[:, 0].sigmoid())


def test_what_only_the_table_knows_is_learnt(tmp_path):
    rows = [
        {"image": f"i{k}", "label": "ab"[k % 2], "age": 30 + 40 * (k % 2), "sex": "mf"[k // 2 % 2]} for k in range(40)
    ]
    folder = folder_of(noise(40), tmp_path / "images")
    bundle = trained(tmp_path, folder, table(tmp_path / "t.csv", rows), covariates=("age", "sex"))
    assert [c.name for c in bundle.spec.covariates] == ["age", "sex"]
    assert bundle.spec.metrics["auc"] > 0.95
    new = table(tmp_path / "new.csv", [{"image": "i0", "age": 72, "sex": "f"}, {"image": "i1", "age": 31, "sex": ""}])
    (chosen,) = chosen_pictures(bundle, [folder], new)
    found = result_of(classify(bundle, chosen.pictures, device="cpu", facts=chosen.facts))
    assert [row[1] for row in rows_of(found, bundle.spec)[1:]] == ["b", "a"]
    events = list(classify(bundle, chosen.pictures, device="cpu"))
    assert any(isinstance(e, Note) and "age, sex" in e.text for e in events)


def test_a_second_modality_and_regions_are_learnt(tmp_path):
    first, second = noise(32), noise(32)
    second[::2, 4:8, 4:8] += 120
    folder = folder_of(first, tmp_path / "images")
    folder_of(second, folder, "j")
    rows = [{"image": f"i{k}", "image2": f"j{k}", "label": "ba"[k % 2]} for k in range(32)]
    bundle = trained(tmp_path, folder, table(tmp_path / "t.csv", rows))
    assert (bundle.spec.channels, bundle.spec.images) == (2, 2)
    assert bundle.spec.metrics["auc"] > 0.95


def test_slices_and_regions_are_predicted_one_by_one(tmp_path):
    images = noise(32)
    images[::2] += 120
    rows = [{"image": f"i{k}", "label": "ba"[k % 2]} for k in range(32)]
    folder = folder_of(images, tmp_path / "images")
    bundle = trained(tmp_path, folder, table(tmp_path / "t.csv", rows), image_size=12)
    volume = noise(3)
    volume[1] += 120
    maps = tmp_path / "maps"
    maps.mkdir()
    labels = np.zeros((3, 12, 12), np.uint8)
    labels[1, 2:6, 2:6], labels[2, 6:9, 6:9] = 1, 1
    write(Volume(volume, None), tmp_path / "v.nii")
    write(Volume(labels, None, kind="labels"), maps / "v.nii")
    (whole,) = chosen_pictures(bundle, [tmp_path / "v.nii"])
    found = result_of(classify(bundle, whole.pictures, device="cpu"))
    assert [row[:2] for row in rows_of(found, bundle.spec)[1:]] == [
        ["v.nii:0", "a"],
        ["v.nii:1", "b"],
        ["v.nii:2", "a"],
    ]
    (parts,) = chosen_pictures(bundle, [tmp_path / "v.nii"], regions=maps)
    found = result_of(classify(bundle, parts.pictures, device="cpu"))
    assert [row[:2] for row in rows_of(found, bundle.spec)[1:]] == [["v.nii#1", "b"], ["v.nii#2", "a"]]


def test_stages_go_from_the_last_layer_to_the_first_and_learn_at_their_own_rates(tmp_path):
    spec = _spec("resnet18", 32)
    network = build(spec)
    stages = stages_of(network, spec)
    assert {id(p) for p in stages[0]} == {id(p) for p in network.fc.parameters()}
    assert {id(p) for p in stages[1]} == {id(p) for p in network.layer4.parameters()}
    assert any(p is network.conv1.weight for p in stages[-1])
    assert sum(map(len, stages)) == len(list(network.parameters()))
    config = ClassificationConfig(
        **QUICK | {"body_rate": 0.5, "stage_rate": 0.1, "optimizer": "sgd", "weight_decay": 0}
    )
    learner = ClassifierLearner(network, spec, config, Classification(), torch.device("cpu"), pretrained=True)
    before = [[p.detach().clone() for p in stage] for stage in learner.stages]
    batch = Stack(torch.randn(8, 1, 32, 32), torch.eye(2)[torch.arange(8) % 2])
    learner.step(batch, 0.1, 0, free=2)
    changed = [
        any(not torch.equal(p, q) for p, q in zip(*pair, strict=True))
        for pair in zip(before, learner.stages, strict=True)
    ]
    assert changed == [True, True, False, False, False, False]
    found = [group["lr"] for group in learner._optimizer.param_groups]
    assert found == pytest.approx([0.1, 0.05, 0.005, 0.0005, 0.00005, 0.000005])


def test_a_patch_takes_its_share_of_the_class():
    images, target = torch.zeros(2, 1, 20, 20), torch.eye(2)
    images[1] = 1
    for seed in range(5):
        both, shares = patched(images, target, 1.0, torch.Generator().manual_seed(seed))
        for image, share in zip(both, shares, strict=True):
            assert float(image.mean()) == pytest.approx(float(share[1]), abs=1e-6)


def test_strong_changes_follow_from_the_generator_and_do_nothing_at_no_strength():
    images = torch.randn((3, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    once, twice = (strongly_changed(images, 2, 1.0, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, twice)
    assert all(not torch.equal(a, b) for a, b in zip(once, images, strict=True))
    volume = torch.randn((1, 6, 7, 8), generator=torch.Generator().manual_seed(0))
    for kind in KINDS:
        for image in (images[0], volume):
            torch.testing.assert_close(kind(image, 0.0, torch.Generator()), image, atol=1e-5, rtol=0)
            assert kind(image, 1.0, torch.Generator().manual_seed(0)).shape == image.shape


def test_only_sure_answers_are_taken_for_true():
    weak = torch.tensor([[4.0, 0.0], [0.1, 0.0]])
    strong = torch.zeros(2, 2, requires_grad=True)
    loss = pseudo_loss(weak, strong, 0.95)
    assert float(loss.detach()) == pytest.approx(np.log(2) / 2)
    loss.backward()
    assert strong.grad is not None
    assert (strong.grad[0, 0] < 0, float(strong.grad[1].abs().sum())) == (True, 0)
    several = pseudo_loss(torch.tensor([[4.0, -4.0, 0.0]]), torch.zeros(1, 3), 0.95, "several")
    assert float(several) == pytest.approx(2 * np.log(2) / 3)


def test_unlabelled_images_are_learnt_from_but_not_those_that_are_held_out(tmp_path):
    images = noise(24)
    images[::2, 4:8, 4:8] += 120
    folder = folder_of(images, tmp_path / "images")
    rows = [{"image": f"i{k}", "label": "ba"[k % 2]} for k in range(24)]
    labels = table(tmp_path / "t.csv", rows)
    more = folder_of(np.concatenate([images, noise(4)]), tmp_path / "more")
    config = ClassificationConfig(**QUICK | {"epochs": 2, "unlabelled": more})
    run = result_of(create_classification(tmp_path / "run", (folder, labels), config))
    *notes, material = _collect(load_material(run.read(ClassificationRun), tmp_path / "cache", Control()))
    assert material.unlabelled is not None
    assert len(material.unlabelled) == len(material.train) + 4
    assert any("also held out" in note.text for note in notes if isinstance(note, Note))
    plain = result_of(
        create_classification(tmp_path / "plain", (folder, labels), ClassificationConfig(**QUICK | {"epochs": 2}))
    )
    first, second = (Bundle.load(result_of(train(r)).bundle).state_dict() for r in (run, plain))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_every_image_is_judged_by_a_model_that_never_saw_it(tmp_path):
    images = noise(24)
    images[::2, 4:8, 4:8] += 120
    images[3] = images[1]
    folder = folder_of(images, tmp_path / "images")
    labels = table(tmp_path / "t.csv", [{"image": f"i{k}", "label": "ba"[k % 2]} for k in range(24)])
    config = ClassificationConfig(**QUICK | {"epochs": 4})
    found = result_of(cross_validation(tmp_path / "cv", (folder, labels), config, 2))
    assert isinstance(found, CrossValidation)
    assert found.report.images == 24
    assert found.report.scores["accuracy"] == pytest.approx(np.mean(_right(found.predictions)))
    runs = [RunFolder(tmp_path / "cv" / f"fold{k}").read(ClassificationRun) for k in (1, 2)]
    sums = [set(Bundle.load(path).spec.training_data) for path in found.bundles]
    assert [run.fold for run in runs] == [(0, 2), (1, 2)]
    # 12 images are kept out of each model, and some of the others for its validation; equal images are in one fold.
    assert all(len(one) <= 12 for one in sums)
    assert not sums[0] & sums[1]
    again = result_of(cross_validation(tmp_path / "cv", (folder, labels), config, 2))
    assert again.report == found.report


def _right(predictions: Path) -> list[bool]:
    with predictions.open() as file:
        return [row["predicted"] == "ba"[int(row["image"][1:-4]) % 2] for row in csv.DictReader(file)]


def _collect(events):
    while True:
        try:
            yield next(events)
        except StopIteration as done:
            yield done.value
            return


def _spec(architecture: str, edge: int):
    from napari_medseg.models import ModelSpec

    spec = ModelSpec(name="x", architecture=architecture, task="classification", dims=2, patch_size=(edge, edge))
    assert network_def(spec)
    return spec
