"""The unrolled network is gradient descent as long as its priors are nothing, with a blur that is its own adjoint."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.nets.unrolled import blurred
from napari_medseg.volume import sampling
from napari_medseg.volume.sampling import FWHM_PER_SIGMA

WIDTH = (1.0, 2.5, 6.0)


def spec_of(width):
    return ModelSpec(
        name="sharp", architecture="unrolled", options={"features": 4, "rounds": 3, "width": width},
        task="enhancement", dims=len(width), classes=(), axcodes=None, patch_size=(16,) * len(width),
    )  # fmt: skip


@pytest.fixture
def image():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 3, 12, 20)).astype(np.float32))


def test_the_blur_is_that_of_scipy_and_its_own_adjoint(image):
    sigma = [size / FWHM_PER_SIGMA for size in WIDTH]
    found = blurred(image, WIDTH)
    for number in range(2):
        wanted = gaussian_filter(image[number, 0].numpy(), sigma, mode="reflect", truncate=sampling.REACH)
        np.testing.assert_allclose(found[number, 0].numpy(), wanted, atol=1e-5)
        np.testing.assert_allclose(sampling.blurred(image[number, 0].numpy(), WIDTH), wanted, atol=1e-5)
    other = torch.flip(image, (0, 4)).double() ** 2
    left, right = (blurred(image.double(), WIDTH) * other).sum(), (image.double() * blurred(other, WIDTH)).sum()
    torch.testing.assert_close(left, right)


def test_it_starts_as_gradient_descent(image):
    network = build(spec_of(WIDTH)).eval()
    with torch.inference_mode():
        found = network(image)[0, 0].numpy()
    measured = image[0, 0].numpy()
    wanted = measured
    for _ in range(3):
        wanted = wanted - sampling.blurred(sampling.blurred(wanted, WIDTH) - measured, WIDTH)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_bundle_gives_it_back(tmp_path, image):
    spec = spec_of(WIDTH)
    network = build(spec).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    loaded = Bundle.load(Bundle.create(spec, network.state_dict()).save(tmp_path / "sharp").path).network().eval()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(image), network(image))
    assert loaded.width == WIDTH
