"""Volumes as layers, and back."""

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_medseg.errors import GeometryError
from napari_medseg.ui.layers import (
    KEY,
    Frame,
    frame_of,
    geometry_of,
    image_volume,
    tag_of,
    to_layer_tuples,
    widen_contrast_range,
)
from napari_medseg.ui.layers.images import robust_limits
from napari_medseg.volume import Geometry, LabelClass, Volume


def layer_of(volume: Volume, frame: Frame | None = None) -> Layer:
    (layer,) = to_layer_tuples(volume, frame)
    return Layer.create(*layer)


def test_the_volume_comes_back_voxel_for_voxel(make_volume, axcodes, tilt) -> None:
    volume = make_volume(axcodes, tilt)
    layer = layer_of(volume)
    assert layer.data is volume.data
    assert np.array_equal(layer.affine.affine_matrix, np.eye(4))
    assert np.array_equal(layer.rotate, np.eye(3))
    back = image_volume(layer)
    assert back.geometry is volume.geometry
    assert back.data is volume.data
    assert [f"{unit:~}" for unit in layer.units] == ["mm"] * 3
    assert layer.axis_labels == ("z", "y", "x")


@pytest.mark.parametrize("tilt", [(0, 0, 0), (15, -10, 20)])
def test_a_voxel_is_shown_where_a_radiologist_looks_for_it(make_volume, tilt) -> None:
    volume = make_volume("PSR", tilt, shape=(20, 20, 20))
    layer = layer_of(volume)
    centre = volume.geometry @ (9.5, 9.5, 9.5)
    middle = np.array(layer.data_to_world((9.5, 9.5, 9.5)))
    for step_mm, axis, sign in (((0, 0, 5), 0, -1), ((0, 5, 0), 1, -1), ((5, 0, 0), 2, -1)):
        moved = np.array(layer.data_to_world(volume.geometry.to_index(centre + step_mm))) - middle
        # Up and forward are up on the screen, the patient's right is on its left.
        assert np.sign(moved[axis]) == sign
        assert abs(moved[axis]) > 4.3
        assert np.linalg.norm(moved) == pytest.approx(5, abs=1e-3)


def test_a_plane_that_does_not_fit_the_frame_is_shown_in_its_own(make_volume) -> None:
    straight = np.array([[0, -0.5, 0, 40], [-0.7, 0, 0, 30], [0, 0, 1, 20], [0, 0, 0, 1.0]])
    plane = Geometry((40, 50), straight)
    oblique = frame_of([layer_of(make_volume("LPS", (25, 14, -19)))])
    layer = layer_of(Volume(np.zeros((40, 50), np.float32), plane), oblique)
    np.testing.assert_allclose(layer.scale, (0.7, 0.5))
    assert geometry_of(layer) is plane


def test_without_obliquity_the_world_reads_as_patient_coordinates(make_volume) -> None:
    volume = make_volume("AIR")
    position = layer_of(volume).data_to_world((1, 2, 3))
    right, anterior, superior = volume.geometry @ (1, 2, 3)
    assert position == pytest.approx((-superior, -anterior, -right))


def test_a_second_series_lies_in_the_frame_of_the_first(make_volume) -> None:
    first, second = make_volume("LPS", (25, 14, -19)), make_volume("PSR", (25, 14, -19))
    one = layer_of(first)
    other = layer_of(second, frame_of([one]))
    assert tag_of(other).shown_on is None
    point = first.geometry @ (2, 3, 4)
    there = other.data_to_world(second.geometry.to_index(point))
    np.testing.assert_allclose(there, one.data_to_world((2, 3, 4)), atol=1e-3)


def test_a_series_that_does_not_fit_is_resampled_and_says_so(make_volume) -> None:
    first = layer_of(make_volume("LPS"))
    volume = make_volume("PSR", (25, 14, -19), shape=(12, 13, 14))
    layer = layer_of(volume, frame_of([first]))
    tag = tag_of(layer)
    assert tag.shown_on is not None
    assert "resampled" in tag.volume.warnings[-1]
    assert layer.data.shape == tag.shown_on.shape
    # what is trained and predicted on is what was read
    assert image_volume(layer).data is volume.data
    assert geometry_of(layer) is volume.geometry


def test_a_resampled_series_has_each_value_at_its_place_in_the_patient(make_volume) -> None:
    volume = make_volume("PSR", (25, 14, -19), shape=(12, 13, 14))
    ramp = replace(volume, data=np.indices(volume.data.shape)[0].astype(np.float32))
    layer = layer_of(ramp, Frame.patient())
    middle = tuple(n // 2 for n in layer.data.shape)
    for index in (middle, tuple(n + 1 for n in middle), tuple(n - 2 for n in middle)):
        below, left, back = layer.data_to_world(index)
        slice_number = volume.geometry.to_index((-back, -left, -below))[0]
        assert layer.data[index] == pytest.approx(slice_number, abs=1e-3)


def test_a_sheared_series_is_resampled_even_when_it_is_the_first() -> None:
    # a gantry tilted by 22 degrees
    grid = Geometry((9, 30, 30), np.array([[0, 0, -1, 0], [1.2, -1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]]))
    layer = layer_of(Volume(np.ones(grid.shape, np.float32), grid))
    assert tag_of(layer).shown_on is not None
    assert "right angles" in image_volume(layer).warnings[-1]
    assert geometry_of(layer) is grid


def test_a_resampled_series_of_colours_keeps_them(make_volume) -> None:
    gray = make_volume("PSR", (25, 14, -19))
    colors = np.zeros((*gray.data.shape, 3), np.uint8)
    colors[..., 1] = 200
    layer = layer_of(replace(gray, data=colors, rgb=True), Frame.patient())
    assert layer.rgb
    assert layer.data[..., 1].max() == 200
    assert not layer.data[..., 0].any()


def test_time_and_other_leading_axes_come_first(make_volume) -> None:
    volume = make_volume()
    series = replace(volume, data=np.stack([volume.data] * 4), axes=("time",))
    layer = layer_of(series)
    assert layer.axis_labels == ("time", "z", "y", "x")
    assert layer.scale[0] == 1
    assert layer.translate[0] == 0
    np.testing.assert_array_equal(layer.scale[1:], layer_of(volume).scale)
    back = image_volume(layer)
    assert back.axes == ("time",)
    assert back.geometry is volume.geometry


def test_a_moving_plane_is_not_a_block() -> None:
    layer = layer_of(Volume(np.zeros((5, 8, 9), np.float32), None, axes=("time",)))
    back = image_volume(layer)
    assert back.axes == ("time",)
    assert back.spatial_shape == (8, 9)
    assert layer.axis_labels == ("time", "y", "x")


def test_an_image_without_geometry_gets_no_unit_and_no_spacing() -> None:
    volume = Volume(np.arange(20.0).reshape(4, 5), None, name="x-ray")
    layer = layer_of(volume)
    np.testing.assert_array_equal(layer.scale, 1)
    assert {f"{unit}" for unit in layer.units} == {"pixel"}
    assert image_volume(layer).geometry is None


def test_colour_planes() -> None:
    layer = layer_of(Volume(np.zeros((4, 5, 3), np.uint8), None, rgb=True))
    assert layer.rgb
    assert image_volume(layer).rgb
    assert image_volume(layer).spatial_shape == (4, 5)


def test_a_plane_with_geometry_is_shown_in_mm(make_volume) -> None:
    affine = np.array([[0, -0.5, 0, 40], [-0.7, 0, 0, 30], [0, 0, 1, 20], [0, 0, 0, 1.0]])
    plane = Geometry((4, 5), affine)
    layer = layer_of(Volume(np.zeros((4, 5), np.float32), plane))
    assert layer.ndim == 2
    np.testing.assert_allclose(layer.scale, (0.7, 0.5))
    np.testing.assert_allclose(layer.translate, (-30, -40))
    assert geometry_of(layer) is plane


@pytest.mark.parametrize("dtype", [">i2", ">f4", "?", "u2", "i4", "f8"])
def test_any_number_type_can_be_shown(dtype: str) -> None:
    data = (np.arange(60).reshape(3, 4, 5) % 2).astype(dtype)
    layer = layer_of(Volume(data, None))
    np.testing.assert_array_equal(layer.data, data)
    assert layer.data.dtype.isnative
    viewer = ViewerModel()
    viewer.add_layer(layer)


def test_lazy_series_stay_lazy(make_volume) -> None:
    volume = make_volume(shape=(30, 40, 50))
    touched: list[int] = []

    def load(block: np.ndarray, block_info=None) -> np.ndarray:
        touched.append(1)
        return block

    lazy = da.from_array(np.asarray(volume.data), chunks=(1, 40, 30)).map_blocks(load, dtype=np.float32)
    layers = to_layer_tuples(replace(volume, data=lazy))
    assert layers[0][0] is lazy
    assert 0 < len(touched) < 20


def test_the_window_of_the_file_is_the_contrast() -> None:
    layer = layer_of(Volume(np.linspace(-1000, 2000, 60).reshape(3, 4, 5), None, window=(-160, 240)))
    assert layer.contrast_limits == [-160, 240]


def test_contrast_ignores_outliers_and_what_is_no_number() -> None:
    values = np.random.default_rng(0).uniform(0, 100, (20, 64, 64))
    values[10, 3, 4] = 1e6
    values[9, :10] = np.nan
    values[8, 0, 0] = np.inf
    low, high = robust_limits(Volume(values, None))
    assert low == pytest.approx(0.5, abs=0.5)
    assert high == pytest.approx(99.5, abs=0.5)


@pytest.mark.parametrize(
    ("values", "limits"),
    [(np.zeros((3, 4, 5)), (0, 1)), (np.full((3, 4, 5), np.nan), (0, 1)), (np.eye(100)[None] * 9, (0, 9))],
)
def test_contrast_of_images_with_hardly_any(values, limits) -> None:
    assert robust_limits(Volume(values, None)) == limits


def test_the_contrast_slider_reaches_all_values() -> None:
    layer = layer_of(Volume(np.linspace(-1000, 2000, 60).reshape(3, 4, 5), None, window=(-160, 3000)))
    widen_contrast_range(layer)
    assert layer.contrast_limits == [-160, 3000]
    assert layer.contrast_limits_range == [-1000, 3000]


def test_only_our_own_images_get_a_wider_contrast_slider(make_volume) -> None:
    foreign = Image(np.zeros((3, 4, 5)), contrast_limits=(0, 9))
    for layer in (foreign, layer_of(make_volume(kind="labels")), layer_of(Volume(np.zeros((4, 5, 3)), None, rgb=True))):
        widen_contrast_range(layer)
    assert foreign.contrast_limits_range == [0, 9]


def test_labels_come_with_their_names_and_colours(make_volume) -> None:
    classes = (LabelClass(value=1, name="liver", color="#102030"), LabelClass(value=2, name="tumour"))
    layer = layer_of(make_volume(kind="labels", classes=classes))
    assert isinstance(layer, Labels)
    assert list(layer.features["name"]) == ["background", "liver", "tumour"]
    np.testing.assert_allclose(layer.get_color(1), np.array([16, 32, 48, 255]) / 255, atol=1e-6)
    assert layer.get_color(0) is None or layer.get_color(0)[3] == 0


def test_labels_without_names_are_numbered(make_volume) -> None:
    layer = layer_of(make_volume(kind="labels"))
    assert list(layer.features["name"]) == ["background", "class 1", "class 2"]


def test_objects_are_not_named_one_by_one() -> None:
    layer = layer_of(Volume(np.arange(1000, dtype=np.int32).reshape(10, 10, 10), None, kind="labels"))
    assert "name" not in layer.features


def test_labels_stored_as_floating_point_become_whole_numbers() -> None:
    layer = layer_of(Volume(np.array([[0.0, 1.0], [300.0, np.nan]]), None, kind="labels"))
    assert layer.data.dtype == np.uint16
    np.testing.assert_array_equal(layer.data, [[0, 1], [300, 0]])


def test_masks_are_labels() -> None:
    layer = layer_of(Volume(np.eye(4, dtype=bool), None, kind="labels"))
    assert layer.data.dtype == np.uint8
    assert list(layer.features["name"]) == ["background", "class 1"]


def test_fractions_are_no_labels() -> None:
    with pytest.raises(GeometryError, match=r"not whole numbers.*Open it as an image"):
        to_layer_tuples(Volume(np.array([[0.0, 0.5]]), None, kind="labels"))


def test_labels_that_are_mapped_for_reading_can_be_painted_on(make_volume) -> None:
    volume = make_volume(kind="labels")
    volume.data.setflags(write=False)
    layer = layer_of(volume)
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 2)
    assert layer.data[0, 0, 0] == 2


def test_a_foreign_layer_without_scale_has_no_place_in_space() -> None:
    volume = image_volume(Image(np.zeros((4, 5, 6))))
    assert volume.geometry is None
    assert "no position" in volume.warnings[0]


def test_a_foreign_layer_s_transform_is_taken_whole_and_said_to_be_a_guess() -> None:
    layer = Image(np.zeros((4, 5, 6)), scale=(3, 2, 1), translate=(10, 20, 30), units="mm")
    volume = image_volume(layer)
    np.testing.assert_allclose(volume.geometry @ (1, 1, 1), (-31, -22, -13))
    assert "not opened by this plugin" in volume.warnings[0]
    turned = Image(np.zeros((4, 5, 6)), affine=np.array([[1, 0, 0, 5], [0, 0, 1, 6], [0, 1, 0, 7], [0, 0, 0, 1.0]]))
    np.testing.assert_allclose(image_volume(turned).geometry @ (1, 2, 3), (-9, -9, -6))


def test_a_foreign_layer_in_other_units_is_converted() -> None:
    layer = Image(np.zeros((4, 5)), scale=(500, 250), units="um")
    assert image_volume(layer).geometry.spacing == pytest.approx((0.5, 0.25))


def test_a_foreign_layer_with_levels_is_taken_at_full_resolution() -> None:
    layer = Image([np.zeros((8, 16, 16)), np.zeros((4, 8, 8))], multiscale=True)
    assert image_volume(layer).spatial_shape == (8, 16, 16)


def test_a_layer_that_the_user_moved_is_not_where_its_tag_says(make_volume) -> None:
    layer = layer_of(make_volume())
    layer.translate = layer.translate + 10
    assert tag_of(layer) is None
    np.testing.assert_allclose(geometry_of(layer) @ (0, 0, 0), make_volume().geometry @ (0, 0, 0) - 10, atol=1e-3)
    assert "was moved" in image_volume(layer).warnings[-1]


@pytest.mark.parametrize("tilt", [(0, 0, 0), (25, 14, -19)])
def test_a_layer_that_the_user_cropped_is_where_its_voxels_are(make_volume, tilt) -> None:
    volume = make_volume("PIR", tilt, modality="MR")
    layer = layer_of(volume)
    layer.data = layer.data[2:]
    layer.translate = layer.data_to_world((2, 0, 0))
    assert tag_of(layer) is None
    found = image_volume(layer)
    assert found.geometry.matches(volume.geometry.cropped((2, 0, 0), volume.geometry.shape))
    assert found.modality == "MR"


def test_a_position_in_mm_is_a_position_even_at_the_origin() -> None:
    assert geometry_of(Image(np.zeros((4, 5, 6)), units="mm")).spacing == (1, 1, 1)


def test_series_with_and_without_time_agree_on_their_units(make_volume) -> None:
    viewer, still = ViewerModel(), make_volume()
    viewer.add_layer(layer_of(still))
    viewer.add_layer(layer_of(replace(still, data=np.stack([still.data] * 3), axes=("time",))))
    assert viewer.layers.extent.units is not None


def test_a_duplicate_keeps_its_geometry(make_volume) -> None:
    from copy import deepcopy

    volume = make_volume("PSR", (25, 14, -19))
    copy = Layer.create(*deepcopy(layer_of(volume).as_layer_data_tuple()))
    assert copy.metadata[KEY] is not None
    assert geometry_of(copy) == volume.geometry
