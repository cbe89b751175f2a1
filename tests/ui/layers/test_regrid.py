"""Values moved between grids land on the voxels that arithmetic says."""

import numpy as np

from napari_medseg.ui.layers.regrid import pull
from napari_medseg.volume import Geometry

GRID = Geometry((4, 5, 6), np.diag([3.0, 2.0, 1.0, 1.0]))


def shifted(mm: float) -> Geometry:
    affine = GRID.affine.copy()
    affine[2, 3] += mm
    return Geometry(GRID.shape, affine)


def ramp() -> np.ndarray:
    return np.broadcast_to(np.arange(6, dtype=np.float32) * 10, GRID.shape).copy()


def test_half_a_voxel_of_shift_is_the_mean_of_neighbours() -> None:
    moved = pull(ramp(), GRID, shifted(0.5), linear=True, fill=-1)
    np.testing.assert_allclose(moved[0, 0, :5], [5, 15, 25, 35, 45])


def test_the_nearest_label_reaches_half_a_voxel_past_the_last_centre() -> None:
    labels = ramp().astype(np.uint8)
    np.testing.assert_array_equal(pull(labels, GRID, shifted(0.4), linear=False), labels)
    np.testing.assert_array_equal(pull(labels, GRID, shifted(-0.4), linear=False), labels)
    assert (pull(labels, GRID, shifted(0.6), linear=False, fill=7)[..., -1] == 7).all()


def test_leading_axes_are_moved_one_by_one() -> None:
    series = np.stack([ramp(), 2 * ramp()])
    np.testing.assert_allclose(pull(series, GRID, shifted(1), linear=True)[1, 0, 0, :5], [20, 40, 60, 80, 100])


def test_a_flipped_grid_flips_the_array() -> None:
    np.testing.assert_array_equal(pull(ramp(), GRID, GRID.flipped(2), linear=False), ramp()[..., ::-1])
