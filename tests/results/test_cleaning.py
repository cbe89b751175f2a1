"""Cleaning up in parts is what post-processing at once is, and says what it changed."""

import numpy as np
import pytest

from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.inference.postprocess import (
    FillHoles,
    KeepLargest,
    Merge,
    PostProcessing,
    RemoveSmall,
    Smooth,
    postprocess,
)
from napari_medseg.progress import Control
from napari_medseg.results import change_map, changes, clean
from napari_medseg.results.label_map import label_map
from napari_medseg.volume import Geometry, LabelClass, Volume

GRID = Geometry((10, 20, 20), np.diag([3.0, 1.0, 1.0, 1.0]))
CLASSES = (LabelClass(value=1, name="liver"), LabelClass(value=4, name="tumour"))


def result_of(steps):
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


@pytest.fixture
def noisy():
    """Return a block of liver with a hole, a speck of liver and a speck of tumour."""
    data = np.zeros(GRID.shape, np.uint8)
    data[2:8, 4:12, 4:12] = 1
    data[5, 8, 8] = 0
    data[1, 1, 1] = 1
    data[8, 16, 16:18] = 4
    data[9, 19, 19] = 4
    return Volume(data, GRID, name="seg", kind="labels", classes=CLASSES)


def test_the_change_is_counted_per_class_in_voxels_and_ml(noisy):
    before = label_map(noisy)
    after = result_of(clean(label_map(noisy), PostProcessing(steps=(KeepLargest(classes=(1,)), FillHoles())), GRID))
    (liver,) = changes(before, after, GRID)
    assert (liver.entry.name, liver.removed, liver.added) == ("liver", 1, 1)
    assert liver.row()["change (ml)"] == 0
    shown = change_map(before, after)
    assert shown.labels[1, 1, 1] == 1
    assert shown.labels[5, 8, 8] == 2
    assert np.count_nonzero(shown.labels) == 2
    assert [entry.name for entry in shown.classes] == ["unchanged", "removed", "added", "other class"]


def test_merging_moves_voxels_from_class_to_class(noisy):
    before = label_map(noisy)
    after = result_of(clean(label_map(noisy), PostProcessing(steps=(Merge(classes=(4,), into=CLASSES[0]),)), GRID))
    liver, tumour = changes(before, after, GRID)
    assert (liver.removed, liver.added, tumour.removed, tumour.added) == (0, 3, 3, 0)
    assert liver.row()["change (ml)"] == pytest.approx(0.009)
    assert (change_map(before, after).labels == 3).sum() == 3
    assert [entry.value for entry in after.classes] == [0, 1]


@pytest.mark.parametrize(
    "steps",
    [
        (KeepLargest(), RemoveSmall(below_mm3=7)),
        (RemoveSmall(below_voxels=2), FillHoles(), Smooth(sigma_mm=1.5)),
        (Merge(classes=(1, 4), into=LabelClass(value=9, name="all")), KeepLargest()),
        (),
    ],
)
def test_in_parts_it_comes_to_the_same(noisy, steps):
    processing = PostProcessing(steps=steps)
    at_once = postprocess(label_map(noisy), processing, GRID)
    in_parts = result_of(clean(label_map(noisy), processing, GRID))
    np.testing.assert_array_equal(in_parts.labels, at_once.labels)
    assert in_parts.classes == at_once.classes


def test_the_given_labels_stay_as_they_are(noisy):
    before = noisy.data.copy()
    result_of(clean(label_map(noisy), PostProcessing(steps=(KeepLargest(), Smooth())), GRID))
    np.testing.assert_array_equal(noisy.data, before)


def test_a_class_that_is_not_there_is_said(noisy):
    with pytest.raises(ConfigError, match="class 3"):
        result_of(clean(label_map(noisy), PostProcessing(steps=(KeepLargest(classes=(3,)),)), GRID))


def test_it_stops_between_two_classes(noisy):
    control = Control()
    steps = clean(label_map(noisy), PostProcessing(steps=(KeepLargest(),)), GRID, control)
    next(steps)
    control.cancel()
    with pytest.raises(Cancelled):
        result_of(steps)
