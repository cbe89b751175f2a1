"""What a map is worth: random weights, deletion and insertion, and what stands for absence."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.explain.baseline import baseline_of, settle
from napari_medseg.explain.curves import CurveSettings, curves_of
from napari_medseg.explain.question import Target
from napari_medseg.explain.result import Stage
from napari_medseg.explain.sanity import compare, judge, mean_of, with_random_weights
from napari_medseg.explain.scenes.scene import Piece, Scene

RNG = np.random.default_rng(0)


def test_the_same_map_fails_and_another_one_passes():
    first = RNG.normal(size=(1, 40, 40)).astype(np.float32)
    same = compare(first, 3 * first, planar=True)
    assert same.rank_correlation == pytest.approx(1)
    assert same.ssim == pytest.approx(1)
    assert judge([same], 1).verdict == "failed"
    assert judge([compare(first, -first, planar=True)], 1).verdict == "failed", "the sign alone is no difference"
    other = compare(first, RNG.normal(size=first.shape).astype(np.float32), planar=True)
    assert abs(other.rank_correlation) < 0.1
    assert judge([other], 1).verdict == "passed"
    assert judge([same, other], 1).verdict == "passed", "the last stage counts"
    assert judge([Stage("all", 0.6, 0.1, 0.1)], 1).verdict == "unclear"


def test_a_map_that_vanishes_is_another_map():
    first = RNG.normal(size=(5, 12, 12)).astype(np.float32)
    assert compare(first, np.zeros_like(first), planar=False).similarity == 0


def test_rank_correlation_by_hand():
    first, second = np.array([[[1.0, 2, 3, 4]]], np.float32), np.array([[[1.0, 3, 2, 4]]], np.float32)
    found = compare(first, second, planar=True)
    assert found.rank_correlation == pytest.approx(0.8)
    assert found.ssim is None, "too small for a window"
    assert mean_of([found, Stage("all", 0.4, 0.2, 0.3)]).rank_correlation == pytest.approx(0.6)


def test_all_weights_are_drawn_anew_and_the_network_stays():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(2, 1, 8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    ((words, other),) = with_random_weights(network, cascade=False, seed=1)
    assert words == "all"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for name, value in other.named_parameters():
        if before[name].any():
            assert not torch.equal(value, before[name])
        size, old = (float(tensor.detach().square().mean().sqrt()) for tensor in (value, before[name]))
        assert size == pytest.approx(old, rel=0.7)


def test_a_cascade_goes_from_the_last_layer_to_the_first():
    network = nn.Sequential(*(nn.Linear(4, 4) for _ in range(5)))
    before = [layer.weight.detach().clone() for layer in network]
    changed = []
    for words, other in with_random_weights(network, cascade=True, seed=1):
        changed.append((words, [not torch.equal(a.weight, b) for a, b in zip(other, before, strict=True)]))
    assert [sum(parts) for _words, parts in changed] == [1, 2, 3, 4, 5]
    assert changed[0] == ("4", [False, False, False, False, True])
    assert changed[-1][0] == "all"


def test_deletion_and_insertion_by_hand():
    """Ten voxels, each of which adds a tenth: any order gives straight lines; two that count for all give steps."""
    canvas = torch.ones(1, 1, 1, 10)
    weights = torch.zeros(10)
    weights[:2] = 0.5
    target = Target(lambda out: out, lambda out: out)
    scene = Scene(canvas, (Piece((slice(None),) * 3, target),), True, lambda maps: maps, "cue", dense=False)

    def answer(images, _number):
        return (images[:, 0, 0] * weights).sum(dim=1).double().numpy()

    settings = CurveSettings("mean", 10, 0, batch=4)
    found = curves_of(scene, weights.numpy()[None, None], torch.zeros_like(canvas), settings, answer)
    assert found.deletion.probabilities == pytest.approx([1, 0.5, *[0] * 9])
    assert found.insertion.probabilities == pytest.approx([0, 0.5, *[1] * 9])
    assert found.deletion.area == pytest.approx(0.1)
    assert found.insertion.area == pytest.approx(0.9)
    reverse = curves_of(scene, -weights.numpy()[None, None], torch.zeros_like(canvas), settings, answer)
    assert reverse.deletion.area > 0.8
    assert reverse.insertion.area < 0.2
    assert found.baseline == "mean"


def test_baselines():
    canvas = torch.rand(2, 3, 16, 20)
    mean = baseline_of(canvas, "mean", True, (1, 16, 20))
    torch.testing.assert_close(mean[1, 2, 3, 4], canvas[1].mean())
    black = baseline_of(canvas, "black", False, (3, 16, 20))
    torch.testing.assert_close(black[0, 0, 0, 0], canvas[0].min())
    flat = torch.full((1, 4, 8, 8), 3.0)
    torch.testing.assert_close(baseline_of(flat, "blur", False, (4, 8, 8)), flat)
    blurred = baseline_of(canvas, "blur", True, (1, 16, 20))
    assert blurred.std() < 0.5 * canvas.std()
    # Planes do not mix: a bright plane leaves the others as they are.
    lit = canvas.clone()
    lit[:, 1] += 100
    torch.testing.assert_close(baseline_of(lit, "blur", True, (1, 16, 20))[:, 0], blurred[:, 0])


def test_the_baseline_that_takes_the_class_away_is_found():
    def settled(probabilities):
        return settle("auto", lambda kind: kind, lambda kind: probabilities[kind], "image")[0]

    assert settled({"image": 0.9, "blur": 0.4, "mean": 0.1, "black": 0.0}) == "blur"
    assert settled({"image": 0.9, "blur": 0.9, "mean": 0.3, "black": 0.0}) == "mean"
    assert settled({"image": 0.9, "blur": 0.9, "mean": 0.7, "black": 0.6}) == "black"
    assert settle("mean", lambda kind: kind, lambda _kind: 1.0, "image")[0] == "mean"
