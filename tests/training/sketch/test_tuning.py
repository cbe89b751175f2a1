"""How far neighbours have a say, in images whose answer is known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.models.nets.filters import Pyramid
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.tasks import UNLABELLED
from napari_medseg.training.sketch.features import FeatureCache
from napari_medseg.training.sketch.tuning import CANDIDATES, Tuned, tune


def network(smoothing: float = 0.0, dims: int = 3, context: tuple[float, ...] = ()) -> SketchNetwork:
    return SketchNetwork(
        dims=dims,
        in_channels=1,
        out_channels=2,
        scales=(0.7, 1.6),
        edges=(1.0,) * dims,
        bins=4,
        hidden=8,
        context=context,
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
        chosen[name] = tune(network(), [cache], [strokes(truth, 1)], 2, 0).smoothing
    assert chosen["layers"] == 0.0
    assert chosen["organ"] >= 0.7
    assert set(chosen.values()) <= set(CANDIDATES)


@pytest.mark.parametrize("painted", [0, 1])
def test_too_few_strokes_tell_nothing(painted: int) -> None:
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    target = np.full(image.shape[1:], UNLABELLED, np.int16)
    target[2, 3, 2 : 2 + 4 * painted] = 0
    target[5, 9, 2 : 2 + 4 * painted] = 1
    cache = FeatureCache(network(context=(3.0,)), image, planar=False)
    assert tune(network(context=(3.0,)), [cache], [target], 2, 0) == Tuned(wide=False, smoothing=0.0)


def test_planes_are_smoothed_within_themselves() -> None:
    _, y, x = np.indices((3, 64, 64))
    disc = ((y - 32) ** 2 + (x - 32) ** 2 < 400).astype(np.int16)
    noise = np.random.default_rng(0).normal(size=disc.shape)
    cache = FeatureCache(network(dims=2), (disc + 2 * noise).astype(np.float32)[None], planar=True)
    assert tune(network(dims=2), [cache], [strokes(disc, 1)], 2, 0).smoothing >= 1.0


def test_smoothing_averages_probabilities_over_neighbours() -> None:
    plain, smoothing = network(), network(2.0)
    smoothing.load_state_dict(plain.state_dict())
    features = plain.features(Pyramid(torch.randn(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0))))
    with torch.inference_mode():
        single, around = plain.classify(features).softmax(dim=1), smoothing.classify(features)
    torch.testing.assert_close(around.exp().sum(dim=1), torch.ones(1, 12, 12, 12))
    assert float(around.exp().std()) < float(single.std())
    torch.testing.assert_close(around.exp().mean(), single.mean())


CONTEXT = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0)


@pytest.mark.parametrize(("lies", "helps"), [("left", True), ("anywhere", False)])
def test_context_is_looked_at_where_left_out_strokes_are_told_by_it_alone(lies: str, helps: bool) -> None:
    _, _, x = np.indices((24, 48, 48))
    rng = np.random.default_rng(0)
    spots = ndimage.gaussian_filter(rng.normal(size=x.shape), 1.5) > 0
    truth = (spots & (x < 24) if lies == "left" else spots).astype(np.int16)
    # a body that is brighter on the left, so slowly that no surroundings tell
    image = (spots + 0.5 * rng.normal(size=x.shape) + 0.02 * (x < 24)).astype(np.float32)[None]
    image[..., :3] -= 5
    seen = network(context=CONTEXT)
    cache = FeatureCache(seen, image, planar=False)
    assert tune(seen, [cache], [strokes(truth, 1)], 2, 0).wide is helps


def test_a_network_that_looks_at_no_context_is_kept_without_it() -> None:
    wide, small = network(context=CONTEXT), network()
    image = torch.randn(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        with_context = wide(image)
        assert Tuned(wide=False).set(wide)
        assert not Tuned(wide=False, smoothing=1.0).set(wide)
        assert Tuned(wide=False).smoothing == 0.0
        wide.smoothing = 0.0
        small.load_state_dict(wide.weights())
        torch.testing.assert_close(small(image), wide(image))
        assert not torch.allclose(with_context, wide(image))


def test_context_is_not_looked_at_where_the_surroundings_tell_everything() -> None:
    z, y, x = np.indices((24, 48, 48))
    ball = ((z - 12) ** 2 + (y - 24) ** 2 + (x - 24) ** 2 < 100).astype(np.int16)
    target = np.full(ball.shape, UNLABELLED, np.int16)
    for at in (8, 12, 16):
        # all strokes of the ball lie in the middle, all others at the border: places would tell them too
        target[at, 24, 20:28], target[at, 2, 4:44], target[at, 45, 4:44] = 1, 0, 0
    image = (ball + 0.05 * np.random.default_rng(0).normal(size=ball.shape)).astype(np.float32)[None]
    seen = network(context=CONTEXT)
    assert not tune(seen, [FeatureCache(seen, image, planar=False)], [target], 2, 0).wide
