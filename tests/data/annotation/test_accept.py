"""What is accepted, and what no model may touch."""

import numpy as np
import pytest

from napari_medseg.data.annotation import Annotation, ModelVersion, Proposal, accept, check_names, component_at
from napari_medseg.errors import DataError

MODEL = ModelVersion("organs", "aaaa")


def take(labels, annotation, predicted, classes, box=(), mask=None, model=MODEL):
    made = accept(labels, annotation, Proposal(predicted, model, classes, box, mask))
    labels[box] = made.labels
    annotation.source[box], annotation.written[box] = made.source, made.written
    return made


def test_only_what_is_free_and_asked_for_is_written():
    labels = np.array([[1, 0, 0, 255, 0]], np.uint8)
    predicted = np.array([[2, 2, 1, 2, 0]], np.uint8)
    annotation = Annotation(labels.shape)
    made = take(labels, annotation, predicted, (2,))
    assert labels.tolist() == [[1, 2, 0, 255, 0]]
    assert (made.changed, made.kept, made.locked) == (1, 2, 0)
    made = take(labels, annotation, predicted, (1, 2, 255))
    assert labels.tolist() == [[1, 2, 1, 255, 255]]
    assert made.changed == 2


def test_a_newer_prediction_takes_back_what_an_older_one_wrote_and_nothing_else():
    labels = np.array([[1, 0, 0, 0]], np.uint8)
    annotation = Annotation(labels.shape)
    take(labels, annotation, np.array([[1, 1, 1, 2]], np.uint8), (1, 2))
    labels[0, 1] = 3  # corrected
    newer = np.array([[0, 0, 0, 0]], np.uint8)
    take(labels, annotation, newer, (1,), model=ModelVersion("organs", "bbbb"))
    assert labels.tolist() == [[1, 3, 0, 2]]  # class 2 was not asked about
    assert annotation.source.tolist() == [[0, 1, 0, 1]]


def test_a_locked_class_neither_gives_nor_takes():
    labels = np.zeros((1, 3), np.uint8)
    annotation = Annotation(labels.shape)
    take(labels, annotation, np.array([[1, 0, 2]], np.uint8), (1, 2))
    annotation.locked = {1}
    made = take(labels, annotation, np.array([[2, 1, 1]], np.uint8), (1, 2))
    assert labels.tolist() == [[1, 0, 2]]
    assert made.locked == 3


def test_a_box_and_a_component_end_where_they_end():
    predicted = np.zeros((4, 6), np.uint8)
    predicted[1:3, 0:2] = predicted[1:3, 4:6] = 1
    labels, annotation = np.zeros_like(predicted), Annotation(predicted.shape)
    box, mask = component_at(predicted, (2, 5))
    take(labels, annotation, predicted, (1,), box, mask)
    assert labels.sum() == 4
    assert labels[1:3, 4:6].all()
    take(labels, annotation, predicted, (1,), (slice(0, 2), slice(0, 3)))
    assert labels.tolist()[1] == [1, 1, 0, 0, 1, 1]
    assert labels.tolist()[2] == [0, 0, 0, 0, 1, 1]


def test_a_component_leaves_what_lies_beside_it():
    labels, predicted = np.zeros((1, 4), np.uint8), np.array([[1, 1, 0, 2]], np.uint8)
    annotation = Annotation(labels.shape)
    take(labels, annotation, np.array([[1, 1, 1, 1]], np.uint8), (1,))
    box, mask = component_at(predicted, (0, 0))
    take(labels, annotation, predicted, (1,), box, mask)
    assert labels.tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("place", [(0, 1), (0, 9), (0, -1), (0,)])
def test_no_component_where_nothing_is_predicted(place):
    with pytest.raises(DataError, match="under the cursor"):
        component_at(np.array([[1, 0]]), place)


def test_values_beyond_a_byte_widen_and_255_is_never_a_class():
    labels, predicted = np.zeros((1, 2), np.uint8), np.array([[300, 255]], np.uint16)
    annotation = Annotation(labels.shape)
    made = accept(labels, annotation, Proposal(predicted, MODEL, (300, 255)))
    assert made.labels.tolist() == [[300, 0]]
    assert made.labels.dtype == np.uint16


def test_another_grid_is_refused():
    labels = np.zeros((2, 2), np.uint8)
    with pytest.raises(DataError, match=r"\(3, 2\).*\(2, 2\)"):
        accept(labels, Annotation(labels.shape), Proposal(np.zeros((3, 2), np.uint8), MODEL, (1,)))


def test_a_value_that_means_something_else_is_refused():
    check_names({1: "liver", 2: "class 2"}, {1: "liver", 2: "spleen", 3: "aorta"}, (1, 2, 3))
    with pytest.raises(DataError, match="“spleen” in the prediction but “liver”"):
        check_names({1: "liver"}, {1: "spleen"}, (1,))


def test_hundreds_of_random_edits_never_cost_a_human_voxel():
    random = np.random.default_rng(0)
    labels, annotation = np.zeros((5, 6, 7), np.uint8), Annotation((5, 6, 7))
    human = np.zeros(labels.shape, bool)
    for step in range(300):
        low = random.integers(0, labels.shape)
        high = low + random.integers(1, 4, 3)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        before = labels.copy()
        if random.random() < 0.4:
            # by a brush, which writes only what changes
            labels[box] = random.choice([0, 1, 2, 255])
            changed = labels != before
            human[changed] = labels[changed] != 0
            annotation.touch(labels, box, changed[box])
        else:
            predicted = random.integers(0, 3, labels.shape).astype(np.uint8)
            take(labels, annotation, predicted, (1, 2, 255), box, model=ModelVersion("organs", str(step % 5)))
            np.testing.assert_array_equal(labels[human], before[human])
        np.testing.assert_array_equal(annotation.by_human(labels), human)
    assert human.any()
    assert annotation.by_model(labels).any()
