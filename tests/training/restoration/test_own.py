"""A volume's own slices teach how it looks across them; noise is told from the image by the image alone."""

import numpy as np
import pytest

from napari_medseg.errors import DataError
from napari_medseg.evaluate.images import psnr
from napari_medseg.inference.restoration.options import OwnNoiseOptions, OwnOptions
from napari_medseg.progress import Finished
from napari_medseg.training.restoration.own import plan_axis, refine_own
from napari_medseg.training.restoration.own_noise import clean_own
from napari_medseg.volume import Geometry, Volume
from napari_medseg.volume.sampling import AxisSampling, coarser, finer

SMALL = {"minutes": None, "features": 8, "blocks": 2, "views": 1, "precision": "float32", "device": "cpu"}


def blocks(shape, seed=0):
    """Return boxes of random size, place and brightness: sharp edges, alike along all axes."""
    random = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    for _ in range(60):
        size = random.integers(4, 12, 3)
        start = [random.integers(0, n - 3) for n in shape]
        image[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = random.uniform(0, 100)
    return image


def result_of(events):
    return next(event.result for event in events if isinstance(event, Finished))


@pytest.fixture(scope="module")
def truth():
    return blocks((36, 40, 44))


def test_it_learns_more_than_interpolation_knows(truth):
    axes = [AxisSampling(1), AxisSampling(2), AxisSampling(1)]
    thick = coarser(truth, axes, (36, 20, 44))
    grid = Geometry(thick.shape, np.diag([1, 2, 1, 1.0]))
    options = OwnOptions(steps=60, **SMALL)
    restored, bundle = result_of(refine_own(Volume(thick, grid, name="MR 1"), options))
    found = np.asarray(restored.image.data)
    assert found.shape == truth.shape
    gain = psnr(found, truth) - psnr(finer(thick, axes), truth)
    assert gain > 1, gain
    assert restored.report["residual"] < restored.report["noise"]
    assert restored.report["residual"] < 0.7 * restored.report["residual_before"]
    assert bundle.spec.options["factor"] == [2, 1]
    # Where the answers from several sides are apart, the error is larger.
    spread = np.asarray(restored.spread.data)
    error = np.abs(found - truth)
    unsure = spread > np.quantile(spread, 0.9)
    assert error[unsure].mean() > 2 * error[~unsure].mean()
    again, _ = result_of(refine_own(Volume(thick, grid, name="MR 1"), options))
    np.testing.assert_array_equal(np.asarray(again.image.data), found)


def test_what_is_wanted_of_the_slices():
    volume = Volume(np.zeros((10, 20, 20)), Geometry((10, 20, 20), np.diag([5.0, 1, 1, 1])), name="CT 2")
    assert plan_axis(volume, OwnOptions()) == (0, AxisSampling(4.0, 4.0))
    assert plan_axis(volume, OwnOptions(spacing_mm=2.0, thickness_mm=3.0)) == (0, AxisSampling(2.5, 1.5))
    nearly = Volume(np.zeros((10, 20, 20)), Geometry((10, 20, 20), np.diag([3.0, 0.995, 0.995, 1])), name="MR 1")
    assert plan_axis(nearly, OwnOptions())[1].factor == 3
    thin = Volume(np.zeros((10, 20, 20)), Geometry((10, 20, 20), np.eye(4)), name="CT 2")
    with pytest.raises(DataError, match="Give a factor"):
        plan_axis(thin, OwnOptions())
    assert plan_axis(thin, OwnOptions(factor=2, thick=2))[0] == 2
    with pytest.raises(DataError, match="plane image"):
        plan_axis(Volume(np.zeros((8, 8)), None), OwnOptions())


@pytest.mark.parametrize("learning", ["recorrupted", "noise2void"])
def test_noise_is_removed_without_clean_images(truth, learning):
    noisy = truth + np.random.default_rng(3).normal(0, 10, truth.shape).astype(np.float32)
    options = OwnNoiseOptions(learning=learning, minutes=None, steps=120, views=1, precision="float32", device="cpu")
    volume = Volume(noisy[:, :, :40], Geometry((36, 40, 40), np.eye(4)), name="MR 1")
    restored, bundle = result_of(clean_own(volume, options))
    gain = psnr(np.asarray(restored.image.data), truth[:, :, :40]) - psnr(noisy[:, :, :40], truth[:, :, :40])
    assert gain > 3, gain
    assert restored.image.derivation.startswith("SYNTHESISED: denoised")
    assert bundle.spec.channels == 3
