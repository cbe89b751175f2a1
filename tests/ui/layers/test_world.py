"""The world's axes: right for a radiologist, exact for every orientation."""

import numpy as np
import pytest

from napari_medseg.ui.layers.world import Frame, in_plane, solid
from napari_medseg.volume import Geometry


def placed(frame: Frame, grid: Geometry, index: tuple[float, ...]) -> np.ndarray:
    place = frame.place(grid)
    return np.array(place.scale) * index + place.translate


def test_the_world_is_inferior_posterior_left() -> None:
    # RAS+ mm (1, 2, 3) is 3 mm up, 2 mm forward, 1 mm to the right.
    grid = Geometry((4, 5, 6), np.array([[0, 0, 1, 1.0], [0, 1, 0, 2], [1, 0, 0, 3], [0, 0, 0, 1]]))
    np.testing.assert_array_equal(placed(Frame.patient(), grid, (0, 0, 0)), (-3, -2, -1))
    # one voxel along each axis goes up, forward and right: negative scales
    assert Frame.patient().place(grid).scale == (-1, -1, -1)


def test_every_voxel_is_at_its_exact_place(make_volume, axcodes, tilt) -> None:
    grid = make_volume(axcodes, tilt).geometry
    frame = Frame.of(grid)
    assert frame.place(grid).residual_voxels < 1e-3
    for index in ((0, 0, 0), (3, 1, 4), tuple(n - 1 for n in grid.shape)):
        np.testing.assert_allclose(placed(frame, grid, index), frame.world_from_ras @ (grid @ index), atol=1e-3)


def test_the_frame_turns_the_patient_and_never_mirrors(make_volume, axcodes, tilt) -> None:
    rotation = Frame.of(make_volume(axcodes, tilt).geometry).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    # Up stays up, front stays front, left stays left.
    assert (np.diag(rotation) > 0.6).all()


def test_a_straight_series_has_the_patient_s_own_frame(make_volume, axcodes) -> None:
    np.testing.assert_array_equal(Frame.of(make_volume(axcodes).geometry).rotation, np.eye(3))


def test_noise_in_the_direction_cosines_is_no_obliquity(make_volume) -> None:
    grid = make_volume("LPS", (1e-5, 0, 1e-5)).geometry
    np.testing.assert_array_equal(Frame.of(grid).rotation, np.eye(3))


def test_the_grid_comes_back_from_scale_and_translate(make_volume, axcodes, tilt) -> None:
    grid = make_volume(axcodes, tilt).geometry
    frame = Frame.of(grid)
    place = frame.place(grid)
    assert frame.geometry(grid.shape, place.scale, place.translate).matches(grid, 1e-3)


def test_an_oblique_series_does_not_fit_the_patient_s_frame(make_volume) -> None:
    # 20 degrees over half of 7 voxels of 2.5 mm: several voxels of 0.8 mm
    assert Frame.patient().place(make_volume("LPS", (0, 20, 0)).geometry).residual_voxels > 1


def test_an_axis_at_right_angles_to_its_world_axis_never_fits() -> None:
    swapped = Geometry((4, 5, 6), np.eye(4))  # (x, y, z), against the contract of (z, y, x)
    assert Frame.patient().place(swapped).residual_voxels == np.inf


def test_the_covering_grid_holds_every_voxel_and_lies_along_the_world(make_volume) -> None:
    grid = make_volume("LPS", (25, 14, -19)).geometry
    frame = Frame.patient()
    cover = frame.covering(grid)
    inside = cover.to_index(grid.corners())
    assert (inside > -1e-6).all()
    assert (inside < np.array(cover.shape) - 1 + 1e-6).all()
    assert frame.place(cover).residual_voxels < 1e-9
    assert cover.spacing == pytest.approx(grid.spacing)


def test_a_sheared_series_sets_the_frame_of_its_nearest_rotation() -> None:
    tilted = Geometry((4, 5, 6), np.array([[0, 0, -1, 0], [1.2, -1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]]))
    frame = Frame.of(tilted)
    assert np.linalg.det(frame.rotation) == pytest.approx(1)
    assert frame.place(tilted).residual_voxels > 0.5


@pytest.mark.parametrize(
    ("columns", "normal", "signs"),
    [
        ([[-1, 0, 0], [0, -1, 0]], 0, (1, 1)),  # axial: rows to posterior, columns to left
        ([[0, 0, -1], [-1, 0, 0]], 1, (1, 1)),  # coronal: rows to inferior
        ([[0, 0, 1], [0, -1, 0]], 2, (-1, 1)),  # sagittal: rows to superior, columns to posterior
    ],
)
def test_a_plane_is_a_block_of_one_slice(columns, normal, signs) -> None:
    rows, cols = np.array(columns, dtype=float)
    if normal == 0:
        rows, cols = cols, rows
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = 2 * rows, 3 * cols, np.cross(rows, cols)
    plane = Geometry((4, 5), affine)
    assert solid(plane).shape[normal] == 1
    assert normal not in in_plane(plane)
    place = Frame.of(plane).place(plane)
    assert place.scale == (signs[0] * 2, signs[1] * 3)
    assert place.residual_voxels == 0
