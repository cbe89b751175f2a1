"""Labels come back on the exact grid of the image that they were painted on, whoever made the layer."""

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_medseg.errors import GeometryError
from napari_medseg.ui.layers import Frame, frame_of, labels_on, labels_volume, new_labels, set_classes, to_layer_tuples
from napari_medseg.volume import Geometry, LabelClass, Volume

TUMOUR = LabelClass(value=3, name="tumour", color="#123456")


def opened(viewer: ViewerModel, volume: Volume) -> Layer:
    (layer,) = to_layer_tuples(volume, frame_of(viewer.layers))
    return viewer.add_layer(Layer.create(*layer))


def napari_button(viewer: ViewerModel, *selected: Layer) -> Labels:
    """Do what napari's own "new labels" button does."""
    viewer.layers.selection = set(selected)
    viewer._new_labels()
    return viewer.layers[-1]


def test_our_labels_are_on_the_image_s_grid(make_volume, some_axcodes, some_tilt) -> None:
    viewer, volume = ViewerModel(), make_volume(some_axcodes, some_tilt)
    labels = viewer.add_layer(new_labels(opened(viewer, volume), [TUMOUR]))
    labels.data[1, 2, 3] = 3
    found = labels_volume(labels)
    assert found.geometry is volume.geometry
    assert found.kind == "labels"
    assert found.classes == (TUMOUR,)
    assert np.argwhere(found.data).tolist() == [[1, 2, 3]]


def test_labels_of_napari_s_button_are_on_the_image_s_grid(make_volume, some_axcodes, some_tilt) -> None:
    viewer, volume = ViewerModel(), make_volume(some_axcodes, some_tilt)
    labels = napari_button(viewer, opened(viewer, volume))
    labels.data[1, 2, 3] = 3
    found = labels_volume(labels, viewer.layers)
    assert found.geometry is volume.geometry
    assert np.argwhere(found.data).tolist() == [[1, 2, 3]]


def test_labels_on_two_series_of_one_grid_are_on_that_grid_though_napari_flips_it(make_volume, some_axcodes) -> None:
    viewer, volume = ViewerModel(), make_volume(some_axcodes, (0, 20, 0))
    first = opened(viewer, volume)
    labels = napari_button(viewer, first, opened(viewer, volume))
    place = first.data_to_world((1, 2, 3))
    labels.data[tuple(np.rint(labels.world_to_data(place)).astype(int))] = 1
    found = labels_volume(labels, viewer.layers)
    assert found.geometry is volume.geometry
    assert np.argwhere(found.data).tolist() == [[1, 2, 3]]


def test_labels_on_two_series_of_other_grids_have_the_honest_grid_of_the_layer(make_volume) -> None:
    viewer = ViewerModel()
    volume = make_volume("LPS", (25, 14, -19))
    one = opened(viewer, volume)
    other = opened(viewer, make_volume("LPS", (25, 14, -19), shape=(20, 4, 9)))
    labels = napari_button(viewer, one, other)
    place = one.data_to_world((2, 3, 4))
    labels.data[tuple(np.rint(labels.world_to_data(place)).astype(int))] = 1
    found = labels_volume(labels, viewer.layers)
    (voxel,) = np.argwhere(found.data)
    apart = np.linalg.norm(found.geometry @ voxel - volume.geometry @ (2, 3, 4))
    assert apart <= np.linalg.norm(found.geometry.spacing) / 2


def test_labels_on_another_grid_are_brought_to_the_image_s_with_a_warning(make_volume) -> None:
    viewer = ViewerModel()
    volume = make_volume("LPS", (25, 14, -19))
    one = opened(viewer, volume)
    labels = napari_button(viewer, one, opened(viewer, make_volume("LPS", (25, 14, -19), shape=(20, 4, 9))))
    labels.data[:] = 1
    found = labels_on(labels, one)
    assert found.geometry == volume.geometry
    assert found.data.all()
    assert "another grid" in found.warnings[-1]


def test_labels_that_do_not_lie_on_the_image_are_refused(make_volume) -> None:
    viewer = ViewerModel()
    image = opened(viewer, make_volume())
    away = Labels(np.zeros((4, 5, 6), np.uint8), scale=(1, 1, 2), translate=(500, 0, 0), units="mm", name="away")
    with pytest.raises(GeometryError, match=r"away does not lie on LPS\. Make a labels layer"):
        labels_on(away, image)
    with pytest.raises(GeometryError, match="no common place"):
        labels_on(Labels(np.zeros((4, 5, 6), np.uint8)), image)


def test_labels_and_image_without_geometry_need_only_the_same_shape() -> None:
    image = Image(np.zeros((4, 5, 6)))
    found = labels_on(Labels(np.ones((4, 5, 6), np.uint8)), image)
    assert found.geometry is None
    assert found.data.all()
    with pytest.raises(GeometryError, match="no common place"):
        labels_on(Labels(np.ones((4, 5, 7), np.uint8)), image)


def test_labels_of_an_equal_series_are_taken_as_they_are(make_volume) -> None:
    viewer = ViewerModel()
    first, second = opened(viewer, make_volume()), opened(viewer, make_volume())
    labels = viewer.add_layer(new_labels(first, [TUMOUR]))
    labels.data[1, 2, 3] = 3
    found = labels_on(labels, second)
    assert not found.warnings
    assert np.argwhere(found.data).tolist() == [[1, 2, 3]]


def test_labels_stored_the_other_way_round_are_turned_not_moved(make_volume) -> None:
    viewer, volume = ViewerModel(), make_volume("LPS", (12, -9, 0))
    image = opened(viewer, volume)
    labels = np.zeros(volume.data.shape, np.uint8)
    labels[1, 2, 3] = 3
    turned = Volume(np.flip(labels, (0, 2)), volume.geometry.flipped(0).flipped(2), name="atlas", kind="labels")
    found = labels_on(opened(viewer, turned), image)
    assert found.geometry is volume.geometry
    assert not found.warnings
    np.testing.assert_array_equal(found.data, labels)


def test_labels_read_from_a_file_come_back_exactly(make_volume, some_axcodes, some_tilt) -> None:
    viewer, volume = ViewerModel(), make_volume(some_axcodes, some_tilt, kind="labels")
    found = labels_volume(opened(viewer, volume))
    assert found.geometry is volume.geometry
    np.testing.assert_array_equal(found.data, volume.data)


class TestOfAResampledSeries:
    """The viewer shows a copy on other axes; what is saved is on the series' own grid."""

    @pytest.fixture
    def viewer(self, make_volume) -> ViewerModel:
        viewer = ViewerModel()
        opened(viewer, make_volume("LPS", shape=(40, 40, 20)))
        return viewer

    @pytest.fixture
    def volume(self, make_volume) -> Volume:
        return make_volume("PSR", (25, 14, -19), shape=(12, 13, 14))

    @pytest.mark.parametrize("ours", [True, False])
    def test_a_block_painted_on_the_copy_is_where_it_was_painted(self, viewer, volume, ours) -> None:
        image = opened(viewer, volume)
        labels = viewer.add_layer(new_labels(image, [TUMOUR])) if ours else napari_button(viewer, image)
        middle = image.world_to_data(Frame.patient().world_from_ras @ (volume.geometry @ (6, 6, 6)))
        around = tuple(slice(int(n) - 3, int(n) + 4) for n in np.rint(middle))
        labels.data[around] = 3
        found = labels_volume(labels, viewer.layers)
        assert found.geometry is volume.geometry
        assert found.data[6, 6, 6] == 3
        painted_ml = 7**3 * 0.8 * 1.1 * 2.5
        assert np.count_nonzero(found.data) * 0.8 * 1.1 * 2.5 == pytest.approx(painted_ml, rel=0.25)

    def test_labels_that_were_left_alone_come_back_exactly(self, viewer, make_volume) -> None:
        volume = make_volume("PSR", (25, 14, -19), shape=(12, 13, 14), kind="labels")
        np.testing.assert_array_equal(labels_volume(opened(viewer, volume)).data, volume.data)

    def test_only_corrected_voxels_change(self, viewer, make_volume) -> None:
        volume = make_volume("PSR", (25, 14, -19), shape=(12, 13, 14), kind="labels")
        layer = opened(viewer, volume)
        middle = np.rint(layer.world_to_data(Frame.patient().world_from_ras @ (volume.geometry @ (6, 6, 6)))).astype(
            int
        )
        layer.data[tuple(slice(n - 1, n + 2) for n in middle)] = 9
        found = labels_volume(layer)
        changed = found.data != volume.data
        assert (found.data[changed] == 9).all()
        assert 5 < changed.sum() < 100


def test_labels_on_a_time_series_are_of_space_alone(make_volume) -> None:
    viewer, still = ViewerModel(), make_volume()
    image = opened(viewer, replace(still, data=np.stack([still.data] * 3), axes=("time",)))
    labels = viewer.add_layer(new_labels(image, [TUMOUR]))
    assert labels.ndim == 3
    found = labels_volume(labels)
    assert found.geometry is still.geometry
    assert found.axes == ()


def test_napari_s_button_on_a_time_series_keeps_the_time(make_volume) -> None:
    viewer, still = ViewerModel(), make_volume()
    image = opened(viewer, replace(still, data=np.stack([still.data] * 3), axes=("time",)))
    found = labels_volume(napari_button(viewer, image), viewer.layers)
    assert found.axes == ("time",)
    assert found.geometry is still.geometry


def test_labels_on_a_colour_photograph() -> None:
    viewer = ViewerModel()
    image = opened(viewer, Volume(np.zeros((20, 30, 3), np.uint8), None, rgb=True))
    for labels in (new_labels(image, [TUMOUR]), napari_button(viewer, image)):
        assert labels_volume(labels, viewer.layers).spatial_shape == (20, 30)


def test_labels_on_a_plane_with_geometry() -> None:
    viewer = ViewerModel()
    plane = Geometry((4, 5), np.array([[0, -0.5, 0, 40], [-0.7, 0, 0, 30], [0, 0, 1, 20], [0, 0, 0, 1.0]]))
    image = opened(viewer, Volume(np.zeros((4, 5), np.float32), plane))
    for labels in (new_labels(image, [TUMOUR]), napari_button(viewer, image)):
        assert labels_volume(labels, viewer.layers).geometry is plane


def test_an_image_that_napari_converted_to_labels_keeps_its_grid(make_volume) -> None:
    viewer, volume = ViewerModel(), make_volume()
    image = opened(viewer, volume)
    labels = Labels((image.data > 0).astype(np.uint8), metadata=image.metadata, scale=image.scale,
                    translate=image.translate, units=image.units)  # fmt: skip
    found = labels_volume(labels)
    assert found.geometry is volume.geometry
    assert found.kind == "labels"
    assert found.units is None


def test_names_changed_in_the_layer_are_those_of_the_volume(make_volume) -> None:
    viewer = ViewerModel()
    labels = new_labels(opened(viewer, make_volume()), [TUMOUR])
    set_classes(labels, [TUMOUR, LabelClass(value=4, name="oedema")])
    assert [c.name for c in labels_volume(labels).classes] == ["tumour", "oedema"]
