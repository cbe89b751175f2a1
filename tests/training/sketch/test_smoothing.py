"""How far neighbours have a say, in images whose answer is known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.tasks import UNLABELLED
from napari_medseg.training.sketch.features import FeatureCache
from napari_medseg.training.sketch.smoothing import CANDIDATES, choose_smoothing


def network(smoothing: float = 0.0, dims: int = 3) -> SketchNetwork:
    return SketchNetwork(
        dims=dims,
        in_channels=1,
        out_channels=2,
        scales=(0.7, 1.6),
        edges=(1.0,) * dims,
        bins=4,
        hidden=8,
        smoothing=smoothing,
    )


def strokes(truth: NDArray[np.integer], seed: int) -> NDArray[np.int16]:
    """Paint short horizontal strokes, each as long as its class goes on, six voxels at most."""
    rng = np.random.default_rng(seed)
    target = np.full(truth.shape, UNLABELLED, np.int16)
    for index in (0, 1):
        for z, y, x in rng.permutation(np.argwhere(truth == index))[:30]:
            line = truth[z, y, x : x + 6]
            target[z, y, x : x + 6][: np.argmax(line != index) or len(line)] = index
    return target


def test_thin_layers_are_not_smoothed_away_and_noisy_organs_are() -> None:
    z, y, x = np.indices((24, 48, 48))
    layers = (y // 2 % 2).astype(np.int16)
    organ = ((z - 12) ** 2 + (y - 24) ** 2 + (x - 24) ** 2 < 144).astype(np.int16)
    noise = np.random.default_rng(0).normal(size=layers.shape)
    chosen = {}
    for name, truth, strength in (("layers", layers, 0.05), ("organ", organ, 2.0)):
        image = (truth + strength * noise).astype(np.float32)[None]
        cache = FeatureCache(network(), image, planar=False)
        chosen[name] = choose_smoothing([cache], [strokes(truth, 1)], 2, (1.0, 1.0, 1.0), 0)
    assert chosen["layers"] == 0.0
    assert chosen["organ"] >= 0.7
    assert set(chosen.values()) <= set(CANDIDATES)


@pytest.mark.parametrize("painted", [0, 1])
def test_too_few_strokes_tell_nothing(painted: int) -> None:
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    target = np.full(image.shape[1:], UNLABELLED, np.int16)
    target[2, 3, 2 : 2 + 4 * painted] = 0
    target[5, 9, 2 : 2 + 4 * painted] = 1
    cache = FeatureCache(network(), image, planar=False)
    assert choose_smoothing([cache], [target], 2, (1.0, 1.0, 1.0), 0) == 0.0


def test_planes_are_smoothed_within_themselves() -> None:
    _, y, x = np.indices((3, 64, 64))
    disc = ((y - 32) ** 2 + (x - 32) ** 2 < 400).astype(np.int16)
    noise = np.random.default_rng(0).normal(size=disc.shape)
    cache = FeatureCache(network(dims=2), (disc + 2 * noise).astype(np.float32)[None], planar=True)
    assert choose_smoothing([cache], [strokes(disc, 1)], 2, (1.0, 1.0), 0) >= 1.0


def test_smoothing_averages_probabilities_over_neighbours() -> None:
    plain, smoothing = network(), network(2.0)
    smoothing.load_state_dict(plain.state_dict())
    features = plain.features(torch.randn(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        single, around = plain.classify(features).softmax(dim=1), smoothing.classify(features)
    torch.testing.assert_close(around.exp().sum(dim=1), torch.ones(1, 12, 12, 12))
    assert float(around.exp().std()) < float(single.std())
    torch.testing.assert_close(around.exp().mean(), single.mean())
