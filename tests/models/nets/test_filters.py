import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_medseg.models.nets.filters import (
    Pyramid,
    context_bank,
    context_count,
    feature_count,
    filter_bank,
    reach,
    smooth,
)

SCALES = (1.0, 2.5)
NAMES = (
    "intensity",
    *(f"{name} {scale}" for scale in SCALES for name in ("mean", "slope", "contrast", "e1", "e2", "e3")),
)


def responses(
    image: np.ndarray, edges: tuple[float, ...] = (1.0, 1.0, 1.0), inner: object = None
) -> dict[str, np.ndarray]:
    found = filter_bank(Pyramid(torch.from_numpy(image)[None, None]), SCALES, edges, inner)  # type: ignore[arg-type]
    assert found.shape[1] == feature_count(3, 1, len(SCALES)) == len(NAMES)
    return dict(zip(NAMES, found[0].numpy(), strict=True))


def parabola(
    shape: tuple[int, int, int], curvatures: tuple[float, float, float], edges: tuple[float, ...]
) -> np.ndarray:
    z, y, x = np.meshgrid(*((np.arange(n) - n // 2) * e for n, e in zip(shape, edges, strict=True)), indexing="ij")
    return ((curvatures[0] * z**2 + curvatures[1] * y**2 + curvatures[2] * x**2) / 2).astype(np.float32)


def test_smoothing_is_that_of_scipy() -> None:
    image = np.random.default_rng(0).normal(size=(20, 24, 28)).astype(np.float32)
    wanted = ndimage.gaussian_filter(image, (1.0, 1.5, 2.0), mode="nearest", radius=(3, 5, 6))
    got = smooth(torch.from_numpy(image)[None, None], (1.0, 1.5, 2.0))[0, 0].numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("edges", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_eigenvalues_of_a_parabola_are_its_curvatures_per_unit_of_length(edges: tuple[float, ...]) -> None:
    found = responses(parabola((31, 41, 41), (0.5, -0.2, 0.1), edges), edges)
    middle = (15, 20, 20)
    for scale in SCALES:
        values = [found[f"e{k} {scale}"][middle] for k in (1, 2, 3)]
        np.testing.assert_allclose(values, [0.5, 0.1, -0.2], atol=1e-3)
        np.testing.assert_allclose(found[f"slope {scale}"][middle], 0, atol=1e-3)


def test_slope_of_a_ramp_is_its_steepness_per_unit_of_length() -> None:
    z, y, x = np.meshgrid(np.arange(31.0), np.arange(41.0), np.arange(41.0), indexing="ij")
    found = responses((3 * (2 * z) + 4 * y + 0 * x).astype(np.float32), (2.0, 1.0, 1.0))
    assert found["slope 1.0"][15, 20, 20] == pytest.approx(5, abs=1e-4)
    assert found["slope 2.5"][15, 20, 20] == pytest.approx(5, abs=1e-4)


def test_contrast_of_noise_is_its_standard_deviation() -> None:
    noise = np.random.default_rng(0).normal(scale=2, size=(40, 40, 40)).astype(np.float32)
    assert responses(noise)["contrast 2.5"].mean() == pytest.approx(2, rel=0.03)
    flat = responses(np.full((16, 16, 16), 7, np.float32))
    assert flat["contrast 1.0"].max() < 1e-2
    np.testing.assert_array_equal(flat["intensity"], 7)


@pytest.mark.parametrize("scales", [(1.0, 2.5), (5.0, 9.0)])
def test_a_part_has_the_features_it_has_in_the_whole(scales: tuple[float, ...]) -> None:
    image = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 2, 60, 64, 70)).astype(np.float32))
    edges = (1.5, 1.0, 1.0)
    box = (slice(25, 27), slice(30, 41), slice(0, 9))
    for bank in (filter_bank, context_bank):
        whole = bank(Pyramid(image), scales, edges)
        part = bank(Pyramid(image), scales, edges, box)
        torch.testing.assert_close(part, whole[(..., *box)], atol=2e-4, rtol=0)


def test_nothing_beyond_the_reach_has_an_influence() -> None:
    edges = (2.0, 1.0, 1.0)
    image = torch.zeros(1, 1, 48, 96, 96)
    around = reach((5.0,), edges)
    assert all(n < size // 2 for n, size in zip(around, image.shape[2:], strict=True))
    changed = image.clone()
    for axis, n in enumerate(around):
        index = [24, 48, 48]
        index[axis] += n + 1
        changed[0, 0, index[0], index[1], index[2]] = 1000
    centre = (slice(24, 25), slice(48, 49), slice(48, 49))
    torch.testing.assert_close(*(filter_bank(Pyramid(each), (5.0,), edges, centre) for each in (changed, image)))


def test_planes_and_single_slices_have_features_too() -> None:
    plane = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 30, 31)).astype(np.float32))
    assert filter_bank(Pyramid(plane), SCALES, (1.0, 1.0)).shape == (1, feature_count(2, 3, 2), 30, 31)
    thin = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 1, 30, 31)).astype(np.float32))
    found = filter_bank(Pyramid(thin), (1.0, 5.0), (1.0, 1.0, 1.0))
    assert found.shape[2:] == (1, 30, 31)
    assert torch.isfinite(found).all()


def test_context_says_to_which_side_it_gets_brighter() -> None:
    z, y, x = np.meshgrid(np.arange(60.0), np.arange(64.0), np.arange(64.0), indexing="ij")
    ramp = torch.from_numpy((3 * (2 * z) - 4 * y + 0 * x).astype(np.float32))[None, None]
    found = context_bank(Pyramid(ramp), (1.0, 4.0), (2.0, 1.0, 1.0))
    assert found.shape[1] == context_count(3, 1, 2) == 2 * 3 + 6
    slopes = found[0, :, 30, 32, 32]
    torch.testing.assert_close(slopes[:6], torch.tensor([3.0, -4.0, 0.0] * 2), atol=1e-3, rtol=0)
    # of the last scale also mean and magnitude
    assert float(slopes[6]) == pytest.approx(3 * 2 * 30 - 4 * 32, abs=2)
    assert float(slopes[7]) == pytest.approx(5, abs=1e-3)


def test_coarser_images_are_computed_once_and_shared_by_parts_of_a_batch() -> None:
    images = torch.arange(2 * 1 * 5 * 6, dtype=torch.float32).reshape(2, 1, 5, 6)
    pyramid = Pyramid(images)
    second = pyramid.only(slice(1, 2))
    found = second.part((slice(0, 5), slice(2, 6)), (2, 2))
    assert found.shape == (1, 1, 3, 2)
    assert float(found[0, 0, 0, 0]) == float(images[1, 0, :2, 2:4].mean())
    # the last row stands alone: nothing is made up beyond the border
    assert float(found[0, 0, 2, 1]) == float(images[1, 0, 4, 4:].mean())
    assert pyramid.part((slice(0, 2), slice(0, 2)), (2, 2)).shape == (2, 1, 1, 1)
    assert list(pyramid._coarser) == [(2, 2)] == list(second._coarser)
