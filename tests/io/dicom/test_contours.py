"""Polygons hold the centres of exactly the voxels of their mask."""

import numpy as np
import pytest
from skimage.draw import polygon2mask

from napari_medseg.io.dicom.out.contours import outlines


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the even-odd fill by an implementation of its own: crossings of a ray to the right."""
    inside = np.zeros(shape, bool)
    row, column = np.indices(shape)
    for polygon in polygons:
        for (r0, c0), (r1, c1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if r0 != r1:
                inside ^= ((r0 > row) != (r1 > row)) & (column < c0 + (row - r0) / (r1 - r0) * (c1 - c0))
    return inside


def ring() -> np.ndarray:
    mask = np.zeros((9, 11), bool)
    mask[1:8, 1:10] = True
    mask[3:6, 3:5] = mask[2:4, 6:8] = mask[5:7, 6:9] = False
    mask[4, 3] = True
    return mask


def island() -> np.ndarray:
    mask = np.zeros((9, 9), bool)
    mask[:] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    return mask


def chequers() -> np.ndarray:
    return np.indices((6, 7)).sum(axis=0) % 2 == 0


@pytest.mark.parametrize("mask", [ring(), island(), chequers(), np.ones((3, 4), bool)])
def test_a_ray_finds_the_voxels_again(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_noise_of_any_density_comes_back(share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((24, 31)) < share
    polygons = outlines(mask)
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)
    drawn = np.zeros(mask.shape, bool)
    for polygon in polygons:
        drawn ^= polygon2mask(mask.shape, polygon)
    np.testing.assert_array_equal(drawn, mask)


def test_parts_are_polygons_of_their_own_and_holes_are_not() -> None:
    assert len(outlines(ring())) == 1
    assert len(outlines(island())) == 2
    assert len(outlines(chequers())) == 21


def test_straight_lines_have_two_points() -> None:
    (polygon,) = outlines(np.ones((5, 8), bool))
    assert len(polygon) == 8


def test_an_empty_mask_has_no_outline() -> None:
    assert outlines(np.zeros((4, 5), bool)) == []
