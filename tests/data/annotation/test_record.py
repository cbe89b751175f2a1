"""Who labelled a voxel, and what a training is told."""

import numpy as np
import pytest

from napari_medseg.data.annotation import HUMAN, Annotation, ModelVersion, Proposal, accept, corrected_code, model_code
from napari_medseg.errors import DataError

FIRST, SECOND = ModelVersion("organs", "aaaa"), ModelVersion("organs", "bbbb")


def accepted(labels, annotation, predicted, model=FIRST, classes=(1, 2), box=(), mask=None):
    """Accept in place, as the window does."""
    made = accept(labels, annotation, Proposal(predicted, model, classes, box, mask))
    labels[box] = made.labels
    annotation.source[box], annotation.written[box] = made.source, made.written
    return made


@pytest.fixture
def labels():
    return np.array([[[1, 0, 0, 0], [0, 0, 0, 0]], [[0, 2, 0, 0], [255, 0, 0, 0]]], np.uint8)


def test_everything_is_human_where_no_model_wrote(labels):
    annotation = Annotation(labels.shape)
    assert annotation.origin(labels).tolist() == (labels != 0).astype(int).tolist()
    assert [annotation.describe(code) for code in (0, HUMAN)] == ["unlabelled", "human"]


def test_origin_follows_every_kind_of_edit_without_being_told(labels):
    annotation = Annotation(labels.shape)
    predicted = np.full(labels.shape, 1, np.uint8)
    accepted(labels, annotation, predicted)
    assert annotation.origin(labels, (slice(0, 1),)).tolist() == [[[HUMAN, 2, 2, 2], [2, 2, 2, 2]]]
    labels[0, 1] = 2, 0, 255, 1  # painted otherwise, erased, marked as background, left
    assert annotation.origin(labels)[0, 1].tolist() == [corrected_code(1), 0, corrected_code(1), model_code(1)]
    labels[0, 1] = 1  # undone
    assert annotation.origin(labels)[0, 1].tolist() == [model_code(1)] * 4
    assert annotation.describe(model_code(1)) == "organs (aaaa)"
    assert annotation.describe(corrected_code(1)) == "organs (aaaa), corrected by a human"


def test_two_versions_of_a_model_are_told_apart(labels):
    annotation = Annotation(labels.shape)
    predicted = np.zeros_like(labels)
    predicted[0, 1] = 1
    accepted(labels, annotation, predicted)
    predicted[0, 1, 2:] = 2
    accepted(labels, annotation, predicted, SECOND)
    assert annotation.origin(labels)[0, 1].tolist() == [2, 2, 4, 4]
    assert labels[0, 1].tolist() == [1, 1, 2, 2]


def test_more_models_than_a_byte_numbers(labels):
    annotation = Annotation(labels.shape)
    for k in range(300):
        accepted(labels, annotation, np.full_like(labels, 1 + k % 2), ModelVersion("organs", str(k)))
    assert annotation.source.dtype == np.uint16
    assert annotation.describe(int(annotation.origin(labels)[0, 0, 1])) == "organs (299)"


def test_a_finished_slice_is_background_where_nothing_is_labelled(labels):
    annotation = Annotation(labels.shape)
    annotation.finish_slice(1, 1)
    annotation.finish_slice(2, 3)
    told = annotation.taught(labels)
    assert told.tolist() == [
        [[1, 0, 0, 255], [255, 255, 255, 255]],
        [[0, 2, 0, 255], [255, 255, 255, 255]],
    ]
    for box in ((slice(0, 1), slice(1, 2)), (slice(1, 2), slice(0, 1), slice(2, 4))):
        np.testing.assert_array_equal(annotation.taught(labels, box), told[box])
    annotation.finish_slice(1, 1, False)
    annotation.finish_slice(2, 3, False)
    assert annotation.taught(labels) is labels or np.shares_memory(annotation.taught(labels), labels)


def test_a_finished_volume_and_a_plane(labels):
    annotation = Annotation(labels.shape, complete=True)
    assert set(np.unique(annotation.taught(labels))) == {1, 2, 255}
    plane = Annotation((2, 3))
    plane.finish_slice(0, 0)
    assert plane.is_finished(0, 0)
    assert not plane.is_finished(0, 1)
    with pytest.raises(DataError, match="no slice 2"):
        plane.finish_slice(0, 2)


def test_what_nobody_confirmed_teaches_only_where_corrected_or_finished():
    labels = np.ones((3, 4), np.uint8)
    annotation = Annotation(labels.shape, [ModelVersion("organs", "aaaa", confirmed=False)])
    annotation.source, annotation.written = np.ones_like(labels), labels.copy()
    labels[0, 0] = 2
    assert annotation.taught(labels).tolist() == [[2, 0, 0, 0], [0] * 4, [0] * 4]
    annotation.finish_slice(0, 1)
    assert annotation.taught(labels).tolist() == [[2, 0, 0, 0], [1] * 4, [0] * 4]


def test_accepted_voxels_teach_unless_told_otherwise(labels):
    annotation = Annotation(labels.shape)
    accepted(labels, annotation, np.full_like(labels, 1))
    np.testing.assert_array_equal(annotation.taught(labels), labels)
    annotation.learn_accepted = False
    assert (annotation.taught(labels) != 0).sum() == 3  # the human's


def test_labels_of_another_shape_are_refused(labels):
    with pytest.raises(DataError, match="what is known of them"):
        Annotation((2, 2)).taught(labels)
