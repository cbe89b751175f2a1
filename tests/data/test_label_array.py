"""Label maps come with their axes in any order and direction, and lie on their image all the same."""

from itertools import permutations, product

import numpy as np
import pytest

from napari_medseg.data.label_array import labels_on
from napari_medseg.errors import DataError, GeometryError
from napari_medseg.volume import Geometry, Volume

SHAPE = (3, 4, 5)
VALUES = np.arange(60, dtype=np.uint8).reshape(SHAPE)


def oblique() -> Geometry:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    affine = np.array(
        [[0, -0.8 * sine, 0.7 * cosine, 5], [0, 0.8 * cosine, 0.7 * sine, -9], [4, 0, 0, 2], [0, 0, 0, 1]]
    )
    return Geometry(SHAPE, affine)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_same_voxels_are_turned_whichever_way_they_are_stored(order) -> None:
    for flips in product((False, True), repeat=3):
        axes = [axis for axis in range(3) if flips[axis]]
        grid, values = oblique().transposed(order), np.flip(VALUES.transpose(order), axes)
        for axis in axes:
            grid = grid.flipped(axis)
        stored = Volume(values, grid, kind="labels")
        np.testing.assert_array_equal(labels_on(stored, SHAPE, oblique(), "head"), VALUES)


def test_a_map_on_the_same_axes_is_not_copied() -> None:
    assert np.shares_memory(labels_on(Volume(VALUES, oblique()), SHAPE, oblique(), "head"), VALUES)


def test_a_plane_is_a_block_of_one_slice() -> None:
    grid = oblique().cropped((1, 0, 0), (2, 4, 5))
    plane = Geometry((4, 5), grid.affine[:, [1, 2, 0, 3]])
    for stored, shape, place in ((VALUES[1], (1, 4, 5), grid), (VALUES[1:2], (4, 5), plane)):
        own = plane if stored.ndim == 2 else grid
        np.testing.assert_array_equal(labels_on(Volume(stored, own), shape, place, "head"), VALUES[1].reshape(shape))
        np.testing.assert_array_equal(labels_on(Volume(stored, None), shape, place, "head"), VALUES[1].reshape(shape))


def test_elsewhere_is_refused_and_said_how_far() -> None:
    affine = oblique().affine.copy()
    affine[0, 3] += 2.5
    with pytest.raises(GeometryError, match=r"head: the labels lie elsewhere in space, up to 2\.5 mm, than"):
        labels_on(Volume(VALUES, Geometry(SHAPE, affine)), SHAPE, oblique(), "head")
    with pytest.raises(GeometryError, match=r"have \(3, 4, 4\) voxels"):
        labels_on(Volume(VALUES[..., :4], oblique().cropped((0, 0, 0), (3, 4, 4))), SHAPE, oblique(), "head")
    with pytest.raises(DataError, match=r"the regions have \(3, 4\) voxels"):
        labels_on(Volume(VALUES[..., 0], None), SHAPE, None, "head", "regions")
