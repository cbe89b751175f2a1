"""Thick slices from fine voxels and back, with answers worked out by hand."""

import numpy as np
import pytest

from napari_medseg.volume import Geometry
from napari_medseg.volume.sampling import (
    AxisSampling,
    averaging_matrix,
    coarser,
    consistent,
    finer,
    refined,
    scaled,
)

ONE = AxisSampling(1)


def test_a_box_takes_means_and_parts_of_voxels():
    np.testing.assert_allclose(
        averaging_matrix(2, 3, AxisSampling(1.5, profile="box")), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]
    )
    with_gap = averaging_matrix(2, 6, AxisSampling(3, width=1, profile="box"))
    np.testing.assert_allclose(with_gap, [[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]])


def test_a_gaussian_is_half_as_high_at_half_its_width():
    (row,) = averaging_matrix(1, 7, AxisSampling(7, width=4))
    assert row.argmax() == 3
    np.testing.assert_allclose(row[[1, 5]], row[3] / 2)
    np.testing.assert_allclose(row.sum(), 1)


@pytest.mark.parametrize("factor", [2.0, 2.5, 3.0, 4.0])
def test_lines_stay_lines(factor):
    axis = AxisSampling(factor)
    fine = np.arange(40.0 * factor)
    thick = coarser(fine, [axis], [40])
    inner = slice(4, -4)
    np.testing.assert_allclose(thick[inner], ((np.arange(40) + 0.5) * factor - 0.5)[inner], atol=1e-3)
    back = finer(thick, [axis])
    far = int(5 * factor)
    np.testing.assert_allclose(back[far:-far], fine[far:-far], atol=1e-2)


@pytest.mark.parametrize(
    "axes", [[AxisSampling(3), ONE, ONE], [ONE, AxisSampling(2, profile="box"), AxisSampling(2.5)]]
)
def test_consistency_gives_the_slices_back_and_changes_nothing_that_agrees(axes):
    random = np.random.default_rng(0)
    shape = (8, 9, 10)
    thick = random.normal(size=shape).astype(np.float32)
    start = finer(thick, axes)
    done = consistent(start, thick, axes)
    assert np.abs(coarser(done, axes, shape) - thick).max() < 0.02
    assert np.abs(coarser(start, axes, shape) - thick).max() > 0.2
    again = consistent(done, thick, axes)
    assert np.abs(again - done).max() < 0.02


def test_the_fine_grid_lies_in_the_same_place():
    affine = np.array([[0, 0, -0.8, 10], [0, 0.7, 0, -20], [-5.0, 0, 0, 30], [0, 0, 0, 1]])
    grid = Geometry((6, 10, 12), affine, (2, 1, 0))
    fine = refined(grid, [AxisSampling(4), ONE, AxisSampling(2)])
    assert fine.shape == (24, 10, 24)
    assert fine.spacing == pytest.approx((1.25, 0.7, 0.4))
    assert fine.file_axes == grid.file_axes
    np.testing.assert_allclose(fine @ (-0.5, 0, -0.5), grid @ (-0.5, 0, -0.5), atol=1e-9)
    np.testing.assert_allclose(fine @ (23.5, 9, 23.5), grid @ (5.5, 9, 11.5), atol=1e-9)


def test_what_cannot_be_negative_comes_near_the_slices_without_being_so():
    truth = np.zeros((36, 10), np.float32)
    truth[12:20] = 100
    axes = [AxisSampling(3), ONE]
    thick = coarser(truth, axes, (12, 10))
    clipped = np.maximum(consistent(finer(thick, axes), thick, axes), 0)
    done = scaled(clipped, thick, axes, 20, 0.0)

    def missing(image):
        return np.abs(coarser(image, axes, thick.shape) - thick).max()

    assert done.min() == 0
    assert missing(clipped) > 1
    assert missing(done) < 0.3 * missing(clipped)
    np.testing.assert_allclose(scaled(clipped, thick, axes, 20, 100.0), clipped, atol=0.01)
    gaps = [AxisSampling(3, width=1, profile="box"), ONE]
    kept = scaled(clipped, coarser(truth, gaps, thick.shape), gaps, 3, 0.0)
    np.testing.assert_allclose(kept[::3], clipped[::3], atol=0.1)
