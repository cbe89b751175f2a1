"""The visible slice is an array index, whatever the sign of the scale."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_medseg.ui.layers import (
    frame_of,
    go_to,
    go_to_slice,
    new_labels,
    show_plane,
    tag_of,
    to_layer_tuples,
    visible_slice,
    voxel_at,
)
from napari_medseg.ui.layers.outline import outline_box
from napari_medseg.ui.layers.regions import region_box


def opened(viewer: ViewerModel, volume) -> Layer:
    (layer,) = to_layer_tuples(volume, frame_of(viewer.layers))
    return viewer.add_layer(Layer.create(*layer))


@pytest.mark.parametrize(("order", "axis"), [((0, 1, 2), 0), ((1, 0, 2), 1), ((2, 0, 1), 2)])
def test_every_slice_of_every_orientation(make_volume, some_axcodes, order, axis) -> None:
    viewer, volume = ViewerModel(), make_volume(some_axcodes, (12, -9, 0))
    layer = opened(viewer, volume)
    viewer.dims.order = order
    for index in range(layer.data.shape[axis]):
        viewer.dims.set_point(axis, layer.data_to_world([index] * 3)[axis])
        assert visible_slice(viewer, layer) == (axis, index)


def test_the_slider_s_first_step_is_the_last_slice_where_the_scale_is_negative(make_volume) -> None:
    viewer, volume = ViewerModel(), make_volume("LPS")  # slices go up, the world goes down
    layer = opened(viewer, volume)
    assert layer.scale[0] < 0
    viewer.dims.set_current_step(0, 0)
    assert visible_slice(viewer, layer) == (0, 7)
    np.testing.assert_array_equal(viewer.dims.displayed, (1, 2))


def test_in_3d_it_is_the_slice_of_the_outermost_axis(make_volume) -> None:
    viewer = ViewerModel()
    layer = opened(viewer, make_volume())
    viewer.dims.set_point(0, layer.data_to_world((2, 0, 0))[0])
    viewer.dims.ndisplay = 3
    assert visible_slice(viewer, layer) == (0, 2)


def test_time_is_no_slice(make_volume) -> None:
    from dataclasses import replace

    viewer, still = ViewerModel(), make_volume()
    layer = opened(viewer, replace(still, data=np.stack([still.data] * 3), axes=("time",)))
    viewer.dims.set_point(1, layer.data_to_world((0, 3, 0, 0))[1])
    viewer.dims.set_point(0, 2)
    assert visible_slice(viewer, layer) == (0, 3)


def test_beside_the_volume_it_is_the_nearest_slice(make_volume) -> None:
    viewer = ViewerModel()
    layer = opened(viewer, make_volume("RPI", shape=(6, 7, 8)))
    viewer.add_points([[-1000, 0, 0], [1000, 0, 0]])
    viewer.dims.set_point(0, -1000)
    assert visible_slice(viewer, layer)[1] in (0, 7)


def test_a_plane_has_one_slice() -> None:
    viewer = ViewerModel()
    assert visible_slice(viewer, viewer.add_image(np.zeros((5, 6)))) == (0, 0)


def test_of_a_resampled_series_it_is_the_slice_through_the_point_of_view(make_volume) -> None:
    viewer = ViewerModel()
    opened(viewer, make_volume("LPS", shape=(40, 40, 20)))
    layer = opened(viewer, make_volume("LPS", (12, -9, 0), shape=(20, 20, 10)))
    grid = tag_of(layer).geometry
    assert tag_of(layer).shown_on is not None
    right, anterior, superior = grid @ (6, 9, 11)
    viewer.dims.set_point((0, 1, 2), (-superior, -anterior, -right))
    for order, axis, index in (((0, 1, 2), 0, 6), ((1, 0, 2), 1, 9), ((2, 0, 1), 2, 11)):
        viewer.dims.order = order
        found = visible_slice(viewer, layer)
        assert found[0] == axis
        assert abs(found[1] - index) <= 1


@pytest.mark.parametrize(("plane", "across"), [("axial", "S"), ("coronal", "P"), ("sagittal", "L")])
def test_a_plane_is_shown_across_its_axis_through_the_place_looked_at(make_volume, plane, across) -> None:
    viewer, volume = ViewerModel(), make_volume("SPL")
    layer = opened(viewer, volume)
    viewer.dims.ndisplay = 3
    viewer.dims.point = layer.data_to_world((2, 3, 1))
    show_plane(viewer, plane)
    axis = "SPL".index(across)
    assert viewer.dims.ndisplay == 2
    assert visible_slice(viewer, layer) == (axis, (2, 3, 1)[axis])
    # of the two axes on the screen, the one that is nearer to the feet or the back goes down
    assert list(viewer.dims.displayed) == [other for other in range(3) if other != axis]


def test_time_stays_a_slider_when_the_plane_changes(make_volume) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 6, 7, 8)))
    show_plane(viewer, "sagittal")
    assert viewer.dims.order == (0, 3, 1, 2)


def test_an_image_of_two_axes_has_one_view_only() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((7, 8)))
    show_plane(viewer, "coronal")
    assert viewer.dims.order == (0, 1)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("axcodes", ["LPS", "ASL"])
@pytest.mark.parametrize("resampled", [False, True])
def test_going_to_a_slice_shows_that_slice(make_volume, axcodes, order, resampled) -> None:
    viewer = ViewerModel()
    if resampled:
        opened(viewer, make_volume("LPS", shape=(30, 30, 12)))
    layer = opened(viewer, make_volume(axcodes, (25, 14, -19), shape=(12, 13, 14)))
    viewer.dims.order = order
    axis, _ = visible_slice(viewer, layer)
    for index in range(tag_of(layer).volume.spatial_shape[axis]):
        go_to_slice(viewer, layer, axis, index)
        if not resampled:
            assert visible_slice(viewer, layer) == (axis, index)
        else:  # the sliders stop at whole steps of the grid that is shown
            assert abs(visible_slice(viewer, layer)[1] - index) <= 1


def test_going_to_a_voxel_keeps_the_time_and_may_centre_it(make_volume) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 4, 5, 6)))
    layer = opened(viewer, make_volume("LPS"))
    viewer.dims.set_point(0, 2)
    go_to(viewer, layer, (3, 4, 5), centre=True)
    assert voxel_at(viewer, layer) == (3, 4, 5)
    assert viewer.dims.point[0] == 2
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], layer.data_to_world((3, 4, 5))[-2:])
    assert voxel_at(viewer, layer, (0, 1e6, -1e6, 0))[0] in (0, 7)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("axcodes", ["LPS", "IAR"])
def test_a_box_is_outlined_where_it_is(make_volume, axcodes, order) -> None:
    viewer = ViewerModel()
    image = opened(viewer, make_volume(axcodes))
    labels = viewer.add_layer(new_labels(image, []))
    viewer.dims.order = order
    outline_box(viewer, labels, (0, 0, 0), (1, 2, 3))
    shapes = outline_box(viewer, labels, (1, 2, 3), (4, 6, 5))
    assert [layer for layer in viewer.layers if layer.name == shapes.name] == [shapes]
    assert region_box(shapes, labels) == ((1, 4), (2, 6), (3, 5))
    assert len(shapes.data) == (3, 4, 2)[order[0]]


def test_a_box_in_a_plane_is_one_rectangle() -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros((6, 7), np.uint8), scale=(2, 0.5))
    shapes = outline_box(viewer, labels, (1, 2), (4, 6))
    np.testing.assert_allclose(shapes.data[0].min(axis=0), (1, 0.75), atol=0.03)
    np.testing.assert_allclose(shapes.data[0].max(axis=0), (7, 2.75), atol=0.03)
