"""Numbers about a whole image do not depend on the chunks that it is read in."""

import numpy as np
import pytest

from napari_medseg.inference.statistics import mean_and_deviation, percentiles, smallest_and_largest

RNG = np.random.default_rng(0)
IMAGES = {
    "noise": RNG.normal(-3, 100, 10_001).astype(np.float32),
    "hounsfield": RNG.integers(-1024, 3000, 5_000).astype(np.float32),
    "mostly zero": np.where(RNG.random(3_001) < 0.9, 0.0, -RNG.random(3_001)).astype(np.float32),
    "tiny and huge": np.array([-3e38, -1e-38, -0.0, 0.0, 1e-38, 3e38], np.float32),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("parts", [1, 7])
def test_percentiles_are_exact(name, parts):
    image, shares = IMAGES[name], (0, 0.5, 37.3, 50, 99.5, 100)
    found = percentiles(lambda: [c for c in np.array_split(image, parts) if c.size], shares)
    np.testing.assert_allclose(found, np.percentile(image.astype(np.float64), shares), rtol=1e-12, atol=1e-45)


@pytest.mark.parametrize("name", ["noise", "hounsfield", "mostly zero"])
@pytest.mark.parametrize("nonzero", [False, True])
def test_moments_and_ends(name, nonzero):
    image = IMAGES[name]
    chosen = image[image != 0].astype(np.float64) if nonzero else image.astype(np.float64)

    def chunks():
        return np.array_split(image, 9)

    np.testing.assert_allclose(mean_and_deviation(chunks, nonzero), (chosen.mean(), chosen.std()), rtol=1e-6)
    assert smallest_and_largest(chunks) == (image.min(), image.max())


def test_of_nothing_there_is_no_spread():
    assert mean_and_deviation(lambda: [np.zeros(5, np.float32)], nonzero=True) == (0.0, 0.0)
