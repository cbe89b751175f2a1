"""A rectangle on the screen is a box of voxels of the image, and a surface lies on its labels."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_medseg.errors import DataError
from napari_medseg.results import Mesh
from napari_medseg.ui.layers import add_surface, frame_of, new_labels, tag_of, to_layer_tuples
from napari_medseg.ui.layers.regions import region_box
from napari_medseg.volume import LabelClass


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture(params=["straight", "flipped", "resampled"])
def image(request, viewer, make_volume):
    """Return an image that the viewer shows as it is, along flipped axes, or resampled."""
    shown = {
        "straight": [make_volume("LPS", shape=(12, 13, 14))],
        "flipped": [make_volume("PIR", (12, -9, 0), shape=(12, 13, 14))],
        "resampled": [make_volume("LPS", shape=(30, 30, 12)), make_volume("PSR", (25, 14, -19), shape=(12, 13, 14))],
    }
    for volume in shown[request.param]:
        (layer,) = to_layer_tuples(volume, frame_of(viewer.layers))
        viewer.add_layer(Layer.create(*layer))
    return viewer.layers[-1]


def world_of(image, indices):
    """Return where voxels of the image's own grid are in the world."""
    tag = tag_of(image)
    return (tag.geometry @ np.asarray(indices, dtype=float)) @ tag.frame.world_from_ras.T


def test_the_box_holds_what_was_drawn(viewer, image):
    ends = [(2, 3, 4), (7, 9, 8)]
    corners = [[ends[k][axis] for axis, k in enumerate(pick)] for pick in np.ndindex(2, 2, 2)]
    shapes = viewer.add_shapes([world_of(image, corners)], shape_type="path")
    assert region_box(shapes, image) == ((2, 8), (3, 10), (4, 9))


def test_what_is_flat_counts_all_along_its_axis_and_nothing_leaves_the_image(viewer, image):
    corners = [(5, 3, -20), (5, 3, 4), (5, 9, 4), (5, 9, -20)]
    shapes = viewer.add_shapes([world_of(image, corners)], shape_type="polygon")
    grid = tag_of(image).volume.spatial_shape
    assert region_box(shapes, image) == ((0, grid[0]), (3, 10), (0, 5))


def test_no_shape_and_a_shape_elsewhere_are_refused(viewer, image):
    shapes = viewer.add_shapes(ndim=3)
    with pytest.raises(DataError, match="holds no shape"):
        region_box(shapes, image)
    shapes.add_polygons(world_of(image, [(50, 50, 50), (60, 50, 50), (60, 60, 60)]))
    with pytest.raises(DataError, match="does not lie on"):
        region_box(shapes, image)


def test_a_surface_lies_where_its_voxels_are(viewer, image):
    labels = viewer.add_layer(new_labels(image, [LabelClass(value=1, name="organ", color="#102030")]))
    indices = np.array([[2, 3, 4], [7, 3, 4], [2, 9, 4], [2, 3, 8]], float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    points = (tag_of(labels).geometry @ indices).astype(np.float32)
    entry = LabelClass(value=1, name="organ", color="#102030")
    for _ in range(2):
        surface = add_surface(viewer, labels, Mesh(entry, points, faces))
    np.testing.assert_allclose(surface.vertices, world_of(labels, indices), atol=1e-3)
    assert [type(layer).__name__ for layer in viewer.layers].count("Surface") == 1
    np.testing.assert_allclose(surface.colormap.colors[0][:3], np.array([16, 32, 48]) / 255, atol=1e-6)
