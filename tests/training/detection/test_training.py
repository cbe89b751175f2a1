"""A detector learns planted things, resumes bit for bit, and its settings follow from the boxes."""

import csv

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from napari_medseg.data.boxes.opening import single_image
from napari_medseg.errors import Cancelled, ConfigError, DataError
from napari_medseg.inference.detection.detect import detect
from napari_medseg.inference.detection.options import DetectOptions
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, EpochEnd, Finished, Step
from napari_medseg.training import train
from napari_medseg.training.detection import DetectionConfig, create_detection
from napari_medseg.training.detection.anchors import fitted_anchors, fitted_spacing, fitted_strides, fitted_zoom
from napari_medseg.training.detection.material import split
from napari_medseg.training.detection.run import DetectionRun

QUICK = {"minutes": None, "width": 8, "body": 4, "strides": 4, "batch_size": 4, "zoom": 1.0, "device": "cpu",
         "precision": "float32", "checkpoint_seconds": 0, "hold_out": 0.2}  # fmt: skip


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Return images with bright and dark squares, and the table of their boxes."""
    folder = tmp_path_factory.mktemp("squares")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    rows = [["image", "label", "xmin", "ymin", "xmax", "ymax"]]
    for number in range(20):
        image = rng.integers(90, 120, (48, 64), np.uint8)
        for half, (label, value) in enumerate((("bright", 220), ("dark", 10))):
            edge = int(rng.integers(9, 13))
            y, x = int(rng.integers(2, 34)), int(rng.integers(2, 18)) + 32 * half
            image[y : y + edge, x : x + edge] = value
            rows.append([f"{number:02}", label, x, y, x + edge, y + edge])
        iio.imwrite(folder / "images" / f"{number:02}.png", image)
    with (folder / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "images", folder / "boxes.csv"


def start(folder, squares, init=None, **settings):
    *_, made = create_detection(folder, squares, DetectionConfig(**QUICK | settings), init)
    assert isinstance(made, Finished)
    return made.result


def cancel_after(run, control, step):
    for event in train(run, control):
        if isinstance(event, Step) and event.step == step:
            control.cancel()


@pytest.mark.parametrize(("architecture", "least"), [("onestage", 0.9), ("retinanet", 0.5)])
def test_planted_squares_are_found(tmp_path, squares, architecture, least):
    run = start(tmp_path / "run", squares, architecture=architecture, epochs=30, learning_rate=0.01)
    events = list(train(run))
    result = events[-1].result
    assert result.scores["map50"] > least
    assert any(isinstance(event, EpochEnd) and event.scores for event in events)
    spec = Bundle.load(result.bundle).spec
    assert [c.name for c in spec.classes] == ["bright", "dark"]
    assert len(spec.training_data) == 16
    assert not (run.path / "cache").exists()


def test_a_run_that_broke_off_ends_in_the_same_weights(tmp_path, squares):
    settings = {"epochs": 2, "rotation": 10, "loss": "focal", "matching": "atss"}
    whole = start(tmp_path / "whole", squares, **settings)
    *_, finished = train(whole)
    broken, control = start(tmp_path / "broken", squares, **settings), Control()
    with pytest.raises(Cancelled):
        cancel_after(broken, control, 3)
    *_, again = train(broken, resume=True)
    first, second = (Bundle.load(event.result.bundle).state_dict() for event in (finished, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_model_is_trained_further_for_other_classes(tmp_path, squares):
    run = start(tmp_path / "one", squares, epochs=1)
    bundle = list(train(run))[-1].result.bundle
    others = tmp_path / "others.csv"
    others.write_text(squares[1].read_text().replace("dark", "black").replace("bright", "black"))
    *_, made = create_detection(
        tmp_path / "two", (squares[0], others), DetectionConfig(minutes=None, epochs=1, device="cpu"), bundle
    )
    spec = list(train(made.result))[-1].result.bundle
    assert [c.name for c in Bundle.load(spec).spec.classes] == ["black"]
    with pytest.raises(ConfigError, match="are those of"):
        list(create_detection(tmp_path / "three", (squares[0], others), DetectionConfig(zoom=2.0), bundle))


def test_r_cnns_take_steps_and_keep_the_last_weights(tmp_path, squares):
    run = start(tmp_path / "run", squares, architecture="fasterrcnn", epochs=1, batch_size=16, hold_out=0, ema=0)
    result = list(train(run))[-1].result
    assert (result.scores, result.step) == ({}, 1)


def test_a_mask_r_cnn_learns_and_finds_masks(tmp_path, squares):
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in sorted(squares[0].iterdir())[:6]:
        image = iio.imread(path)
        iio.imwrite(labels / path.name, np.where(image > 200, 1, np.where(image < 50, 2, 0)).astype(np.uint8))
    run = start(tmp_path / "run", (squares[0], labels), architecture="maskrcnn", strides=(4, 8), epochs=1, hold_out=0)
    for event in train(run):
        last = event
    bundle = Bundle.load(last.result.bundle)
    assert [c.name for c in bundle.spec.classes] == ["1", "2"]
    image = single_image(squares[0] / "00.png", "00")
    *_, done = detect(image, bundle, DetectOptions(threshold=0, most=5, flips=True))
    found = done.result.boxes
    assert found.masks.shape == (len(found), 28, 28)
    assert 0 <= found.masks.min() <= found.masks.max() <= 1


def test_a_time_budget_becomes_steps(tmp_path, squares):
    run = start(tmp_path / "run", squares, minutes=0.04, epochs=100_000, clock="processor")
    result = list(train(run))[-1].result
    assert 8 < result.steps < 2000
    assert result.seconds < 10


def test_other_boxes_than_the_run_began_with_are_refused(tmp_path, squares):
    table = tmp_path / "boxes.csv"
    table.write_text(squares[1].read_text())
    run = start(tmp_path / "run", (squares[0], table), epochs=1)
    table.write_text("\n".join(squares[1].read_text().splitlines()[:-1]))
    with pytest.raises(ConfigError, match="have changed"):
        list(train(run))


def test_planes_with_boxes_of_volumes_are_refused(tmp_path, squares):
    table = tmp_path / "boxes.csv"
    table.write_text("image,label,xmin,ymin,zmin,xmax,ymax,zmax\n00,a,1,1,1,4,4,4\n")
    with pytest.raises(DataError, match="The images have 2 axes, their boxes have 3"):
        start(tmp_path / "run", (squares[0], table))


def test_patients_and_equal_images_stay_together():
    groups, digests = ["a", "b", "a", "", ""], ["1", "2", "3", "4", "4"]
    for seed in range(8):
        train_part, val = split([""] * 5, groups, digests, 0.4, seed)
        assert sorted(train_part + val) == [0, 1, 2, 3, 4]
        assert (0 in val) == (2 in val)
        assert (3 in val) == (4 in val)
    assert split(["train", "val", "train", "train", "val"], ["a", "b", "a", "", "c"], digests, 0.1, 0) == (
        [0, 2, 3], [1, 4],
    )  # fmt: skip
    with pytest.raises(DataError, match="leaks"):
        split(["train", "val", "val", "train", "train"], groups, digests, 0.1, 0)


def test_sizes_follow_from_the_boxes(tmp_path, squares):
    assert fitted_zoom(np.full((4, 2), 10.0), np.ones(4), np.full((3, 2), 500), "cpu", None) == 2.0
    assert fitted_zoom(np.full((4, 2), 10.0), np.ones(4), np.full((3, 2), 5000), "cpu", None) == 1.0
    assert fitted_spacing(np.full((4, 3), 6.0), np.array([[3.0, 0.7, 0.7], [1.0, 0.6, 0.6]])) == (1.0, 1.0, 1.0)
    assert fitted_strides(np.full((4, 3), 100.0)) == (4, 8, 16)
    sizes = np.concatenate([np.full((10, 2), 10.0), np.tile([[20.0, 80]], (10, 1)), np.tile([[80.0, 20]], (10, 1))])
    [level] = fitted_anchors(sizes, 1, 3, 0)
    assert sorted(level) == [(10.0, 10.0), (20.0, 80.0), (80.0, 20.0)]
    assert len(fitted_anchors(sizes[:3], 1, 3, 0)[0]) == 3
    spec = start(tmp_path / "run", squares, zoom=None, strides=None).read(DetectionRun).spec
    assert (spec.zoom, spec.options["strides"], spec.patch_size) == (2.0, [8], (96, 128))
