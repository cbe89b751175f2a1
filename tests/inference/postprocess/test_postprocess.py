"""Every step gives what can be worked out by hand, and what SimpleITK, scikit-image and scipy give."""

import json

import numpy as np
import pytest
import SimpleITK
from pydantic import ValidationError
from scipy import ndimage
from skimage import measure

from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference import PredictOptions
from napari_medseg.inference.postprocess import (
    FillHoles,
    KeepLargest,
    Merge,
    PostProcessing,
    RemoveSmall,
    Smooth,
    postprocess,
)
from napari_medseg.inference.postprocess.apply import apply_step
from napari_medseg.inference.postprocess.smoothing import smooth
from napari_medseg.prediction import LabelMap
from napari_medseg.volume import Geometry, LabelClass

NAMES = {0: "background", 1: "liver", 2: "tumour", 7: "vessel"}
CLASSES = tuple(LabelClass(value=value, name=name) for value, name in NAMES.items())


def label_map(rows) -> LabelMap:
    return LabelMap(np.array(rows, np.uint8), CLASSES)


def speckled(shape=(17, 23, 19), seed=0) -> np.ndarray:
    """Return blobs of three classes with specks and holes, by a fixed seed."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(4, *shape)), (0, 1, 1, 1))
    return np.array([0, 1, 2, 7], np.uint8)[field.argmax(axis=0)]


def grid(shape, spacing) -> Geometry:
    return Geometry(shape, np.diag([*spacing, 1.0]))


def test_the_largest_component_of_each_class_stays():
    found = label_map([[1, 1, 0, 1, 2], [1, 0, 0, 0, 2], [0, 0, 7, 0, 0], [2, 0, 0, 7, 7]])
    kept = apply_step(found, KeepLargest())
    np.testing.assert_array_equal(kept.labels, [[1, 1, 0, 0, 2], [1, 0, 0, 0, 2], [0, 0, 7, 0, 0], [0, 0, 0, 7, 7]])
    only = apply_step(found, KeepLargest(classes=(2,)))
    np.testing.assert_array_equal(only.labels, [[1, 1, 0, 1, 2], [1, 0, 0, 0, 2], [0, 0, 7, 0, 0], [0, 0, 0, 7, 7]])
    two = apply_step(found, KeepLargest(components=2))
    np.testing.assert_array_equal(two.labels, found.labels)


def test_of_equal_components_the_first_stays():
    kept = apply_step(label_map([[0, 2, 0, 2, 0, 2]]), KeepLargest())
    np.testing.assert_array_equal(kept.labels, [[0, 2, 0, 0, 0, 0]])


def test_the_largest_component_is_that_of_simpleitk():
    labels = speckled()
    ours = apply_step(LabelMap(labels, CLASSES), KeepLargest()).labels
    for value in (1, 2, 7):
        numbers = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray((labels == value).astype(np.uint8)), True)
        largest = SimpleITK.GetArrayFromImage(SimpleITK.RelabelComponent(numbers)) == 1
        np.testing.assert_array_equal(ours == value, largest)


def test_small_objects_go_as_with_scikit_image():
    labels = speckled()
    ours = apply_step(LabelMap(labels, CLASSES), RemoveSmall(below_voxels=20, classes=(1, 7))).labels
    for value in (1, 7):
        kept = np.zeros(labels.shape, bool)
        for region in measure.regionprops(measure.label(labels == value, connectivity=3)):
            if region.area >= 20:
                kept[tuple(region.coords.T)] = True
        np.testing.assert_array_equal(ours == value, kept)
    np.testing.assert_array_equal(ours == 2, labels == 2)


def test_a_size_in_mm3_counts_the_voxel_s_volume():
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[0, 0, :4], labels[2, 2, :5] = 1, 1
    # A voxel has 0.3 mm³, so the components have 1.2 and 1.5 mm³.
    place = grid(labels.shape, (3.0, 0.5, 0.2))
    for size, left in ((1.2, 9), (1.3, 5), (1.5, 5), (1.6, 0)):
        kept = apply_step(LabelMap(labels, CLASSES), RemoveSmall(below_mm3=size), place).labels
        assert np.count_nonzero(kept) == left
    with pytest.raises(DataError, match="no volume in mm³"):
        apply_step(LabelMap(labels, CLASSES), RemoveSmall(below_mm3=1.0))


def test_holes_go_to_the_innermost_class_around_and_others_stay():
    found = label_map(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [1, 0, 0, 0, 0, 0, 1],
            [1, 0, 2, 2, 2, 0, 1],
            [1, 0, 2, 0, 2, 0, 1],
            [1, 0, 2, 2, 2, 0, 1],
            [1, 0, 0, 7, 0, 0, 1],
            [1, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 0],
            [7, 7, 7, 0, 2, 0, 2],
            [7, 0, 0, 0, 2, 2, 2],
        ]
    )
    filled = apply_step(found, FillHoles()).labels
    expected = found.labels.copy()
    expected[1:6, 1:6] = np.where(expected[1:6, 1:6] == 0, 1, expected[1:6, 1:6])
    expected[3, 3] = 2
    np.testing.assert_array_equal(filled, expected)
    outer = apply_step(found, FillHoles(classes=(1,))).labels
    expected[3, 3] = 1
    np.testing.assert_array_equal(outer, expected)


def test_a_hole_that_only_corners_close_is_closed():
    ring = label_map([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(apply_step(ring, FillHoles()).labels, [[0, 1, 0], [1, 1, 1], [0, 1, 0]])


def test_holes_of_one_class_are_those_of_simpleitk_and_scipy():
    labels = (np.random.default_rng(0).random((15, 16, 17)) > 0.4).astype(np.uint8)
    ours = apply_step(LabelMap(labels, CLASSES), FillHoles()).labels
    assert (ours > labels).any()
    np.testing.assert_array_equal(ours, ndimage.binary_fill_holes(labels))
    theirs = SimpleITK.BinaryFillhole(SimpleITK.GetImageFromArray(labels), False, 1)
    np.testing.assert_array_equal(ours, SimpleITK.GetArrayFromImage(theirs))


@pytest.mark.parametrize("length", [23, 150])
def test_smoothing_is_the_strongest_class_under_a_gaussian(length):
    labels, spacing = speckled((length, 15, 13)), (2.0, 1.0, 0.5)
    ours = apply_step(LabelMap(labels, CLASSES), Smooth(sigma_mm=1.5), grid(labels.shape, spacing)).labels
    sigma = [1.5 / s for s in spacing]
    strengths = np.stack([ndimage.gaussian_filter((labels == v).astype(float), sigma, mode="nearest") for v in NAMES])
    clear = np.diff(np.sort(strengths, axis=0)[-2:], axis=0)[0] > 1e-3
    assert clear.mean() > 0.9
    expected = np.array(list(NAMES))[strengths.argmax(axis=0)]
    np.testing.assert_array_equal(ours[clear], expected[clear])
    assert (ours != labels).any()


def test_smoothing_leaves_ties_straight_borders_and_other_classes():
    checks = label_map(np.indices((8, 8)).sum(axis=0) % 2)
    halves = label_map([[1, 1, 1, 1, 2, 2, 2, 2]] * 6)
    for found in (checks, halves):
        middle = (slice(None), slice(None)) if found is halves else (slice(3, 5), slice(3, 5))
        kept = smooth(found.labels, (1, 2), (20.0, 20.0) if found is checks else (1.0, 1.0))
        np.testing.assert_array_equal(kept[middle], found.labels[middle])
    speck = np.zeros((9, 9), np.uint8)
    speck[4, 4], speck[2, 2] = 1, 7
    np.testing.assert_array_equal(
        apply_step(label_map(speck), Smooth(classes=(1,))).labels, np.where(speck == 1, 0, speck)
    )


def test_classes_become_one():
    found = label_map([[0, 1, 2, 7]])
    merged = apply_step(found, Merge(classes=(1, 2), into=LabelClass(value=1, name="liver with tumour")))
    np.testing.assert_array_equal(merged.labels, [[0, 1, 1, 7]])
    assert [(c.value, c.name) for c in merged.classes] == [(0, "background"), (1, "liver with tumour"), (7, "vessel")]
    body = apply_step(found, Merge(into=LabelClass(value=300, name="body")))
    np.testing.assert_array_equal(body.labels, [[0, 300, 300, 300]])
    assert [c.value for c in body.classes] == [0, 300]
    dropped = apply_step(found, Merge(classes=(7,), into=CLASSES[0]))
    np.testing.assert_array_equal(dropped.labels, [[0, 1, 2, 0]])
    assert [c.value for c in dropped.classes] == [0, 1, 2]


def test_steps_come_one_after_the_other_and_leave_the_original():
    found = label_map([[1, 2, 0, 1], [1, 2, 0, 0]])
    before = found.labels.copy()
    processing = PostProcessing(steps=(Merge(classes=(2,), into=CLASSES[1]), KeepLargest()))
    np.testing.assert_array_equal(postprocess(found, processing).labels, [[1, 1, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_array_equal(found.labels, before)
    assert postprocess(found, PostProcessing()) is found


def test_nothing_there_is_nothing_to_do():
    empty = label_map(np.zeros((3, 4, 5)))
    for step in (KeepLargest(), RemoveSmall(below_voxels=5), FillHoles(), Smooth()):
        assert not apply_step(empty, step).labels.any()


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="names class 9") as caught:
        apply_step(label_map([[1]]), KeepLargest(classes=(9,)))
    assert "1, 2, 7" in caught.value.remedy
    steps = (Merge(classes=(7,), into=CLASSES[1]), FillHoles(classes=(7,)))
    with pytest.raises(ConfigError, match="'fill_holes' after the network names class 7"):
        postprocess(label_map([[7]]), PostProcessing(steps=steps))


def test_steps_survive_json_and_refuse_nonsense():
    steps = (
        KeepLargest(classes=(1,)),
        RemoveSmall(below_mm3=50),
        FillHoles(),
        Smooth(sigma_mm=2),
        Merge(into=CLASSES[1]),
    )
    options = PredictOptions(postprocessing=PostProcessing(steps=steps))
    assert PredictOptions.model_validate(json.loads(options.model_dump_json())) == options
    for wrong in ({"kind": "largest", "classes": [0]}, {"kind": "remove_small"}, {"kind": "melt"}, {"kind": "merge"}):
        with pytest.raises(ValidationError):
            PostProcessing.model_validate({"steps": [wrong]})
