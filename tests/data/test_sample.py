import numpy as np
import pytest

from napari_medseg.data import BACKGROUND_VALUE, UNLABELLED, Sample, make_sample
from napari_medseg.data.grid import GridMap
from napari_medseg.data.sample import target_indices
from napari_medseg.errors import DataError
from napari_medseg.volume import LabelClass

CLASSES = (
    LabelClass(value=0, name="background"),
    LabelClass(value=3, name="liver"),
    LabelClass(value=700, name="spleen"),
)


def sample_of(labels: np.ndarray, scheme: str = "sparse") -> Sample:
    return make_sample(np.zeros((1, *labels.shape), np.float32), labels, CLASSES, scheme=scheme)  # type: ignore[arg-type]


def test_strokes_have_three_states() -> None:
    labels = np.array([[[0, BACKGROUND_VALUE, 3, 700]]], np.uint16)
    np.testing.assert_array_equal(sample_of(labels).target, [[[UNLABELLED, 0, 1, 2]]])


def test_finished_label_maps_are_annotated_everywhere() -> None:
    labels = np.array([[[0, 3, 700]]], np.uint16)
    np.testing.assert_array_equal(sample_of(labels, "dense").target, [[[0, 1, 2]]])


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_any_number_type_that_holds_whole_numbers_will_do(dtype: type) -> None:
    np.testing.assert_array_equal(target_indices(np.array([0, 3, 700], dtype), CLASSES, "dense"), [0, 1, 2])


@pytest.mark.parametrize("value", [1, 4, 699, 701, 65535, -1, -(2**31)])
def test_a_value_without_class_is_named(value: int) -> None:
    with pytest.raises(DataError, match=rf"case 7: .* {value}\b.*3 liver, 700 spleen"):
        target_indices(np.array([0, 3, value]), CLASSES, "sparse", "case 7")


def test_many_unknown_values_are_not_all_listed() -> None:
    with pytest.raises(DataError, match=r"1, 2, 4, .*\.\.\., but"):
        target_indices(np.arange(100), CLASSES, "sparse")


def test_background_of_strokes_is_no_value_of_finished_maps() -> None:
    with pytest.raises(DataError, match="255"):
        target_indices(np.array([255]), CLASSES, "dense")


def test_an_image_is_not_a_label_map() -> None:
    with pytest.raises(DataError, match="whole numbers"):
        target_indices(np.array([0.5]), CLASSES, "sparse")
    with pytest.raises(DataError, match="whole numbers"), np.errstate(invalid="ignore"):
        target_indices(np.array([np.nan]), CLASSES, "sparse")


def test_no_class_may_take_the_value_of_background() -> None:
    classes = (CLASSES[0], LabelClass(value=255, name="bone"))
    with pytest.raises(DataError, match="bone"):
        target_indices(np.array([255]), classes, "sparse")
    np.testing.assert_array_equal(target_indices(np.array([255]), classes, "dense"), [1])


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(1, 2, 4\).*\(1, 2, 3\)"):
        make_sample(np.zeros((1, 1, 2, 3), np.float32), np.zeros((1, 2, 4), np.uint8), CLASSES)


def test_places_that_the_labels_do_not_reach_are_unlabelled_also_in_finished_maps() -> None:
    grid = GridMap((1, 1, 2), (0, 1, 2), (np.array([0]), np.array([0]), np.array([0, 1, -1])))
    labels = np.array([[[0, 3]]], np.uint8)
    sample = make_sample(np.zeros((1, 1, 1, 3), np.float32), labels, CLASSES, scheme="dense", grid=grid)
    np.testing.assert_array_equal(sample.target, [[[0, 1, UNLABELLED]]])


def test_labels_stay_as_they_are() -> None:
    labels = np.array([[[0, 3, 255]]], np.uint8)
    labels.setflags(write=False)
    sample_of(labels).target[:] = 0
    np.testing.assert_array_equal(labels, [[[0, 3, 255]]])


def test_edits_enter_the_target_on_its_own_axes() -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    grid = GridMap(labels.shape, (2, 0, 1), (np.arange(4), np.array([1, 0]), np.arange(3)))
    sample = make_sample(np.zeros((1, 4, 2, 3), np.float32), labels, CLASSES, grid=grid)
    labels[0, 1:3, 2] = 3
    labels[1, 0, 0] = 255  # outside the box that is said to have changed

    sample.relabel(labels, (0, 1, 2), (1, 3, 3))

    expected = np.full((4, 2, 3), UNLABELLED)
    expected[2, 1, 1:3] = 1
    np.testing.assert_array_equal(sample.target, expected)
    sample.relabel(labels)
    assert sample.target[0, 0, 0] == 0


def test_a_wrong_edit_changes_nothing() -> None:
    labels = np.array([[[0, 3, 255]]], np.uint8)
    sample = sample_of(labels)
    with pytest.raises(DataError):
        sample.relabel(np.array([[[0, 9, 255]]], np.uint8))
    np.testing.assert_array_equal(sample.target, [[[UNLABELLED, 1, 0]]])
