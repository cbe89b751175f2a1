import numpy as np
import pytest

from napari_medseg.data.grid import GridMap

STORED = np.arange(2 * 3 * 4).reshape(2, 3, 4)


def permuted_and_flipped() -> GridMap:
    """The grid (x, z, y) of a (z, y, x) array, with z reversed."""
    return GridMap(STORED.shape, (2, 0, 1), (np.arange(4), np.array([1, 0]), np.arange(3)))


def test_permutation_and_flip_move_every_voxel_exactly() -> None:
    np.testing.assert_array_equal(permuted_and_flipped().apply(STORED), STORED.transpose(2, 0, 1)[:, ::-1])


def test_identity_is_a_copy() -> None:
    moved = GridMap.identity(STORED.shape).apply(STORED)
    np.testing.assert_array_equal(moved, STORED)
    assert not np.shares_memory(moved, STORED)


def test_a_plane_becomes_a_volume_of_one_slice() -> None:
    plane = np.arange(6).reshape(2, 3)
    grid = GridMap.identity(plane.shape)
    np.testing.assert_array_equal(grid.apply(plane), plane[None])
    assert grid.box_of((1, 0), (2, 2)) == (slice(0, 1), slice(1, 2), slice(0, 2))


def test_places_outside_the_array_get_the_value_for_outside() -> None:
    grid = GridMap((1, 1, 2), (0, 1, 2), (np.array([0]), np.array([0]), np.array([-1, 0, 1, 1, -1])))
    np.testing.assert_array_equal(grid.apply(np.array([[[5, 6]]]), outside=9), [[[9, 5, 6, 6, 9]]])


@pytest.mark.parametrize(("start", "stop"), [((0, 0, 0), (2, 3, 4)), ((1, 1, 2), (2, 3, 3)), ((0, 2, 0), (1, 3, 4))])
def test_the_box_on_the_grid_shows_just_the_box_of_the_array(
    start: tuple[int, int, int], stop: tuple[int, int, int]
) -> None:
    marked = np.zeros(STORED.shape, bool)
    marked[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    grid = permuted_and_flipped()
    box = grid.box_of(start, stop)
    moved = grid.apply(marked)
    assert moved[box].all()
    assert moved.sum() == moved[box].size
    np.testing.assert_array_equal(grid.apply(STORED, box=box), grid.apply(STORED)[box])


def test_a_box_between_the_grid_points_is_empty() -> None:
    grid = GridMap((1, 1, 4), (0, 1, 2), (np.array([0]), np.array([0]), np.array([0, 3])))
    box = grid.box_of((0, 0, 1), (1, 1, 3))
    assert grid.apply(np.zeros((1, 1, 4)), box=box).size == 0
