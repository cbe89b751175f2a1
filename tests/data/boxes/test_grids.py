"""Boxes follow their image through flips, turns and other grids, and drawings and label maps, to the voxel."""

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.data.boxes import (
    Sphere,
    box_of_sphere,
    boxes_of_labels,
    boxes_of_rectangles,
    clipped,
    flipped,
    labels_of_boxes,
    onto_grid,
    rectangles_of_boxes,
    sphere_of_box,
    transposed,
)
from napari_medseg.data.boxes.drawing import on_slice
from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes
from napari_medseg.volume import Geometry, LabelClass

CLASSES = (LabelClass(value=1, name="cell"), LabelClass(value=4, name="bud"))


def boxes_of(*edges, labels=None):
    values = np.array(edges, float)
    return Boxes(values, np.ones(len(values)) if labels is None else np.array(labels), np.ones(len(values)), CLASSES)


@pytest.fixture
def blocks():
    """Return a label map with blocks of known place, and their boxes by class and start."""
    labels = np.zeros((6, 9, 12), np.uint8)
    labels[1:3, 2:7, 5:6] = 1
    labels[4:6, 0:1, 8:12] = 4
    labels[0:1, 8:9, 0:1] = 1
    return labels, boxes_of([[0, 8, 0], [1, 9, 1]], [[1, 2, 5], [3, 7, 6]], [[4, 0, 8], [6, 1, 12]], labels=[1, 1, 4])


def same(one, other):
    def listed(boxes):
        return sorted(zip(boxes.labels.tolist(), boxes.edges.tolist(), strict=True))

    assert listed(one) == listed(other)


def test_boxes_hold_their_voxels_exactly(blocks):
    labels, expected = blocks
    found = boxes_of_labels(labels, (LabelClass(value=0, name="background"), *CLASSES))
    same(found, expected)
    np.testing.assert_array_equal(labels_of_boxes(found, labels.shape), labels)
    assert len(boxes_of_labels(labels, CLASSES, least=2)) == 2
    assert found.sizes.tolist()[0] == [1, 1, 1]


def test_values_that_number_things_are_one_box_each():
    labels = np.zeros((5, 5), np.uint16)
    labels[0, 0] = labels[4, 4] = 300
    labels[2, 1:3] = 7
    found = boxes_of_labels(labels, CLASSES, instances=True)
    same(found, boxes_of([[2, 1], [3, 3]], [[0, 0], [5, 5]]))
    numbered = labels_of_boxes(boxes_of([[0, 0], [2, 2]], [[3, 3], [5, 5]]), (5, 5), instances=True)
    assert (numbered[1, 1], numbered[4, 3], numbered[2, 2]) == (1, 2, 0)


def test_parts_that_touch_at_a_corner_are_one():
    same(boxes_of_labels(np.eye(3, dtype=np.uint8), CLASSES), boxes_of([[0, 0], [3, 3]]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flip_of_boxes_is_that_of_the_image(blocks, axis):
    labels, boxes = blocks
    same(flipped(boxes, axis, labels.shape[axis]), boxes_of_labels(np.flip(labels, axis), CLASSES))


def test_a_turn_of_boxes_is_that_of_the_image(blocks):
    labels, boxes = blocks
    same(transposed(boxes, (2, 0, 1)), boxes_of_labels(labels.transpose(2, 0, 1), CLASSES))


def test_boxes_are_cut_at_the_border():
    boxes = boxes_of([[-2, 1], [2, 3]], [[7, 7], [9, 9]], [[3, 3], [4, 4]])
    assert clipped(boxes, (5, 5)).edges.tolist() == [[[0, 1], [2, 3]], [[3, 3], [4, 4]]]
    assert len(clipped(boxes, (5, 5), least=0.6)) == 1


def test_permuted_flipped_and_anisotropic_grids_are_exact(blocks):
    labels, boxes = blocks
    affine = np.array([[0, 0, 0.7, 11], [0, -0.7, 0, 3], [2.5, 0, 0, -40], [0, 0, 0, 1.0]])
    source = Geometry(labels.shape, affine)
    target, turn = source.reoriented("RIA")
    moved = nib.orientations.apply_orientation(labels, turn)
    found = onto_grid(boxes, source, target)
    same(found, boxes_of_labels(moved, CLASSES))
    same(onto_grid(found, target, source), boxes)
    np.testing.assert_allclose(boxes.sizes_mm(source)[1], [5, 3.5, 0.7])
    # Twice as fine: the same edges lie at twice the numbers.
    fine = Geometry((12, 18, 24), affine @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 0.5, -0.25],
                                                     [0, 0, 0, 1]]))  # fmt: skip
    np.testing.assert_allclose(onto_grid(boxes, source, fine).edges, boxes.edges * 2, atol=1e-12)


def test_an_oblique_grid_holds_the_whole_box():
    turn = np.eye(4)
    turn[:2, :2] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    found = onto_grid(boxes_of([[4.5, 4.5, 4.5], [6.5, 6.5, 6.5]]), Geometry((10,) * 3, np.eye(4)),
                      Geometry((20,) * 3, turn))  # fmt: skip
    np.testing.assert_allclose(found.sizes, [[2 * np.sqrt(2), 2 * np.sqrt(2), 2]])


def test_a_plane_with_geometry():
    source = Geometry((8, 6), np.diag([0.5, 0.5, 1, 1]))
    target = source.flipped(1)
    found = onto_grid(boxes_of([[1, 1], [3, 2]]), source, target)
    assert found.edges.tolist() == [[[1, 4], [3, 5]]]
    assert found.sizes_mm(source).tolist() == [[1.0, 0.5]]


def test_drawn_corners_are_half_a_pixel_before_the_edges():
    drawn = [np.array([[1.5, 3.5], [1.5, 9.5], [4.5, 9.5], [4.5, 3.5]]), np.array([[0.0, 1.0], [2.25, 0.5]])]
    edges = boxes_of_rectangles(drawn)
    assert edges.tolist() == [[[2, 4], [5, 10]], [[0.5, 1.0], [2.75, 1.5]]]
    again = boxes_of_rectangles(rectangles_of_boxes(edges))
    np.testing.assert_array_equal(again, edges)
    assert rectangles_of_boxes(edges)[0].tolist() == drawn[0].tolist()


def test_rectangles_in_volumes_reach_over_their_slices():
    flat = np.array([[3.0, 1.5, 2.5], [3.0, 1.5, 6.5], [3.0, 4.5, 6.5], [3.0, 4.5, 2.5]])
    assert boxes_of_rectangles([flat]).tolist() == [[[3, 2, 3], [4, 5, 7]]]
    edges = boxes_of_rectangles([flat], [(2, 5)])
    assert edges.tolist() == [[[2, 2, 3], [6, 5, 7]]]
    assert [on_slice(edges, z).tolist() for z in (1, 2, 5, 6)] == [[False], [True], [True], [False]]
    assert rectangles_of_boxes(edges, 4)[0].tolist() == (flat + np.array([1, 0, 0])).tolist()
    assert rectangles_of_boxes(edges, 6) == []
    np.testing.assert_array_equal(boxes_of_rectangles(rectangles_of_boxes(edges)), edges)
    # A rectangle on another plane is thick across that plane.
    coronal = flat[:, [1, 0, 2]]
    assert boxes_of_rectangles([coronal], [(3, 3)]).tolist() == [[[2, 3, 3], [5, 4, 7]]]
    with pytest.raises(DataError, match="no extent"):
        boxes_of_rectangles([flat[:2]])


@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_spheres_in_the_patient(tilt):
    cos, sin = np.cos(tilt), np.sin(tilt)
    lps = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]]) @ np.diag([0.7, 0.7, 2.5])
    affine = np.eye(4)
    # The array is (z, y, x); RAS is LPS with x and y turned.
    affine[:3, :3] = (np.diag([-1, -1, 1.0]) @ lps)[:, ::-1]
    affine[:3, 3] = [100, 50, -200]
    grid = Geometry((60, 100, 100), affine)
    index = np.array([20.0, 40, 30])
    centre_lps = (grid @ index) * [-1, -1, 1]
    edges = box_of_sphere(Sphere(tuple(centre_lps), 10.0), grid)
    np.testing.assert_allclose(edges.mean(axis=0), index + 0.5)
    np.testing.assert_allclose(edges[1] - edges[0], np.array([4, 10 / 0.7, 10 / 0.7]), atol=1e-9)
    # Voxels of a filled sphere never leave the box, and touch it to within one voxel.
    places = np.indices(grid.shape).reshape(3, -1).T
    inside = places[np.linalg.norm((grid @ places) * [-1, -1, 1] - centre_lps, axis=1) <= 5]
    assert (inside.min(axis=0) >= edges[0] - 0.5).all()
    assert (inside.max(axis=0) <= edges[1] - 0.5).all()
    assert (np.abs(inside.min(axis=0) - edges[0]) < 1.5).all()
    back = sphere_of_box(edges, grid)
    np.testing.assert_allclose(back.centre_lps_mm, centre_lps)
    assert back.diameter_mm == pytest.approx(10)


def test_boxes_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="ends before it starts"):
        boxes_of([[2, 2], [1, 3]])
    with pytest.raises(DataError, match="no name"):
        boxes_of([[0, 0], [1, 1]], labels=[3])
    with pytest.raises(DataError, match="edges"):
        Boxes(np.zeros((2, 4)), np.ones(2), np.ones(2), CLASSES)
