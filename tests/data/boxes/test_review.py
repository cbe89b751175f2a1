"""Verdicts on boxes: what is shown, what is learnt from, and what can be taken back."""

import numpy as np
import pytest

from napari_medseg.data.boxes.review import Review
from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass

CELL, GRAIN = LabelClass(value=1, name="cell"), LabelClass(value=4, name="grain")


def found() -> Boxes:
    edges = np.array([[[0, 0], [4, 4]], [[8, 8], [9, 9]], [[5, 1], [7, 4]]], float)
    return Boxes(edges, np.array([1, 4, 1]), np.array([0.9, 0.3, 0.5]), (CELL, GRAIN))


def test_what_is_shown_follows_score_class_and_verdict() -> None:
    review = Review(found())
    assert review.shown(0.4).tolist() == [True, False, True]
    assert review.shown(0.4, frozenset({1})).tolist() == [False, False, False]
    review.decide([1], "accepted")
    review.decide([0], "rejected")
    assert review.shown(0.4).tolist() == [False, True, True]


def test_only_what_a_person_confirmed_is_truth() -> None:
    review = Review(found())
    review.decide([0], "accepted")
    review.decide([1], "rejected")
    review.relabel([2], 4)
    review.add(np.array([[[10.0, 10.0], [12.0, 15.0]]]), 1)
    truth = review.confirmed()
    assert truth.names == ("cell", "grain", "cell")
    assert truth.scores.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(truth.edges[2], [[10, 10], [12, 15]])
    # a drawn box stays drawn, unless it is rejected
    review.decide([3], "accepted")
    assert review.verdicts[3] == "drawn"
    review.decide([3], "rejected")
    assert len(review.confirmed()) == 2


def test_every_step_can_be_taken_back() -> None:
    review = Review(found())
    review.add(np.array([[[1.0, 1.0], [2.0, 2.0]]]), 4)
    review.relabel([0], 4)
    review.decide([1], "rejected")
    assert [review.undo() for _ in range(4)] == [True, True, True, False]
    assert review.verdicts == ("open",) * 3
    np.testing.assert_array_equal(review.boxes.edges, found().edges)
    assert review.boxes.names == found().names


def test_verdicts_have_to_fit_the_boxes() -> None:
    with pytest.raises(DataError, match="3 boxes have 1 verdicts"):
        Review(found(), ("open",))
