"""Noise of known strength is measured, and transformed values come back without bias."""

import numpy as np
import pytest

from napari_medseg.volume.noise import noise_level
from napari_medseg.volume.stabilise import Stabiliser, stabiliser_for

SHAPE = (12, 64, 64)


def smooth(low=20.0, high=200.0):
    z, y, x = np.indices(SHAPE)
    wave = np.sin(y / 9 + z / 5) * np.cos(x / 11)
    return (low + (high - low) * (0.5 + 0.5 * wave)).astype(np.float32)


def noisy(image, kind, level, seed=0):
    random = np.random.default_rng(seed)
    if kind == "gaussian":
        return image + random.normal(0, level, image.shape).astype(np.float32)
    if kind == "rician":
        real, imaginary = (random.normal(0, level, image.shape) for _ in range(2))
        return np.hypot(image + real, imaginary).astype(np.float32)
    return (random.poisson(image) + random.normal(0, level, image.shape)).astype(np.float32)


@pytest.mark.parametrize("level", [1.0, 5.0, 20.0])
def test_noise_is_measured(level):
    assert noise_level(noisy(smooth(), "gaussian", level)) == pytest.approx(level, rel=0.1)
    assert noise_level(smooth()) < 0.3
    assert noise_level(np.zeros((3, 8, 8), np.float32)) == 0


def test_photon_noise_is_alike_everywhere_after_the_transform():
    image = smooth(5, 400)
    stabiliser = stabiliser_for(noisy(image, "poisson", 2.0), "poisson")
    assert stabiliser.gain == pytest.approx(1.0, rel=0.2)
    stable = np.stack([stabiliser.apply(noisy(image, "poisson", 2.0, seed)) for seed in range(40)])
    dark, bright = (stable.std(axis=0)[part].mean() for part in (image < 30, image > 300))
    assert dark == pytest.approx(1.0, abs=0.2)
    assert bright == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("kind", "level"), [("rician", 15.0), ("poisson", 2.0)])
def test_the_way_back_from_a_mean_has_no_bias(kind, level):
    image = smooth(10, 120)
    stabiliser = Stabiliser(kind, level)
    mean = np.mean([stabiliser.apply(noisy(image, kind, level, seed)) for seed in range(300)], axis=0)
    back = stabiliser.undo(mean.astype(np.float32))
    assert abs((back - image)[image < 30].mean()) < 0.6
    assert abs((back - image)[image > 90].mean()) < 0.6
    plain = np.mean([noisy(image, kind, level, seed) for seed in range(300)], axis=0)
    if kind == "rician":
        assert (plain - image)[image < 30].mean() > 3, "without it the dark would be too bright"
