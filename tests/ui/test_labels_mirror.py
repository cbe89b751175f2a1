"""The worker's copy of the labels follows the user's, box by box."""

import numpy as np
import pytest

from napari_medseg.data.annotation import Annotation
from napari_medseg.errors import GeometryError
from napari_medseg.io.formats import mapped
from napari_medseg.ui import labels_mirror
from napari_medseg.ui.labels_mirror import Edit, LabelsMirror
from napari_medseg.volume import Volume


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "labels.medvol"
    mapped.write(Volume(np.zeros((6, 5, 4), np.uint8), None, kind="labels"), path)
    return path


@pytest.fixture
def mirror(folder):
    return LabelsMirror(folder, [1, 2, 255])


def copy(folder):
    return np.load(folder / "data.npy")


def test_the_smallest_box_is_written_and_told(mirror, folder):
    labels = np.zeros((6, 5, 4), np.int32)
    labels[2, 1, 3], labels[4, 3, 1] = 1, 255
    assert mirror.update(labels) == Edit((2, 1, 1), (5, 4, 4))
    np.testing.assert_array_equal(copy(folder), labels)
    assert mirror.update(labels) == Edit()


def test_only_the_given_box_is_looked_at(mirror, folder):
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[0, 0, 0] = labels[5, 4, 3] = 2
    assert mirror.update(labels, (slice(3, 6), slice(0, 5), slice(0, 4))) == Edit((5, 4, 3), (6, 5, 4))
    assert copy(folder)[0, 0, 0] == 0


def test_erasing_is_an_edit(mirror, folder):
    mirror.update(np.ones((6, 5, 4), np.uint8))
    labels = np.ones((6, 5, 4), np.uint8)
    labels[3, 2] = 0
    assert mirror.update(labels) == Edit((3, 2, 0), (4, 3, 4))
    np.testing.assert_array_equal(copy(folder), labels)


def test_unknown_values_stay_unlabelled_and_are_named(mirror, folder):
    labels = np.zeros((6, 5, 4), np.int64)
    labels[1, 1, 1], labels[1, 1, 2], labels[1, 1, 3] = 1, 7, 300
    assert mirror.update(labels) == Edit((1, 1, 1), (2, 2, 2), ignored=(7, 300))
    assert copy(folder).sum() == 1
    assert mirror.update(labels) == Edit(ignored=(7, 300))


def test_a_label_that_became_unknown_is_erased(mirror, folder):
    mirror.update(np.ones((6, 5, 4), np.uint8))
    labels = np.ones((6, 5, 4), np.int16)
    labels[0, 0, 0] = -3
    assert mirror.update(labels) == Edit((0, 0, 0), (1, 1, 1), ignored=(-3,))
    assert copy(folder)[0, 0, 0] == 0


def test_large_labels_are_compared_in_blocks(mirror, folder, monkeypatch):
    monkeypatch.setattr(labels_mirror, "BLOCK_BYTES", 1)
    labels = np.random.default_rng(0).choice([0, 1, 2, 9], (6, 5, 4)).astype(np.uint8)
    edit = mirror.update(labels)
    assert edit.ignored == (9,)
    np.testing.assert_array_equal(copy(folder), np.where(labels == 9, 0, labels))


def test_a_flipped_view_is_followed(mirror, folder):
    own = np.zeros((6, 5, 4), np.uint8)
    view = own[::-1]
    own[0, 2, 2] = 1
    assert mirror.update(view) == Edit((5, 2, 2), (6, 3, 3))


def test_labels_of_another_shape_are_refused(mirror):
    with pytest.raises(GeometryError, match=r"\(6, 5, 3\).*instead of \(6, 5, 4\)"):
        mirror.update(np.zeros((6, 5, 3), np.uint8))


def test_the_worker_is_told_by_a_rule(mirror, folder):
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[1, 1, 1] = 2
    annotation = Annotation(labels.shape)
    annotation.finish_slice(2, 3)
    assert mirror.update(labels, rule=annotation.taught) == Edit((0, 0, 1), (6, 5, 4))
    np.testing.assert_array_equal(copy(folder), annotation.taught(labels))
    annotation.finish_slice(2, 3, False)
    assert mirror.update(labels, rule=annotation.taught) == Edit((0, 0, 3), (6, 5, 4))
    np.testing.assert_array_equal(copy(folder), labels)


def test_painted_background_is_background_where_everything_is_labelled(folder):
    labels = np.full((6, 5, 4), 255, np.uint8)
    labels[2, 2, 2] = 1
    assert LabelsMirror(folder, [1]).update(labels) == Edit((2, 2, 2), (3, 3, 3))
