import numpy as np
import pytest
from pydantic import ValidationError

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.data.phantom import ct_phantom
from napari_medseg.data.strokes import Annotator, draw_corrections, draw_strokes
from napari_medseg.errors import DataError

SLICES = [(0, 20), (1, 80), (2, 70)]


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return np.asarray(ct_phantom()[1].data)


def truth(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == BACKGROUND_VALUE, 0, labels)


def test_a_careful_hand_agrees_with_the_reference_and_stays_on_its_slices(reference: np.ndarray) -> None:
    labels = draw_strokes(reference, SLICES)
    drawn = labels > 0
    np.testing.assert_array_equal(truth(labels)[drawn], reference[drawn])
    on_slices = np.zeros_like(drawn)
    on_slices[20] = on_slices[:, 80] = on_slices[:, :, 70] = True
    assert not (drawn & ~on_slices).any()


def test_every_class_of_a_slice_gets_strokes_of_the_given_number_and_length(reference: np.ndarray) -> None:
    labels = draw_strokes(reference, [(0, 20)], Annotator(strokes=4, length=9))
    for value in np.unique(reference[20]):
        drawn = (labels[20] == (value or BACKGROUND_VALUE)).sum()
        assert 0 < drawn <= 4 * 9
    assert 0.5 * 36 < (labels[20] == BACKGROUND_VALUE).sum() <= 36
    assert set(np.unique(labels)) - {0, BACKGROUND_VALUE} == set(np.unique(reference[20])) - {0}


def test_the_seed_decides(reference: np.ndarray) -> None:
    first, again = (draw_strokes(reference, SLICES, Annotator(seed=5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != draw_strokes(reference, SLICES, Annotator(seed=6))).any()


def test_a_careless_hand_errs_at_about_its_rate() -> None:
    stripes = np.zeros((1, 200, 200), np.uint8)
    stripes[:, :, ::4] = stripes[:, :, 1::4] = 1
    annotator = Annotator(strokes=60, length=20, error_rate=0.2)
    labels = draw_strokes(stripes, [(0, 0)], annotator)
    drawn = labels > 0
    assert (truth(labels)[drawn] != stripes[drawn]).mean() == pytest.approx(0.2, abs=0.06)


def test_enclosed_background_is_drawn_too() -> None:
    ring = np.zeros((1, 60, 60), np.uint8)
    ring[0, 10:50, 10:50] = 1
    ring[0, 25:35, 25:35] = 0
    labels = draw_strokes(ring, [(0, 0)], Annotator(strokes=3))
    assert (labels[0, 25:35, 25:35] == BACKGROUND_VALUE).any()


def test_a_reference_with_nothing_but_background() -> None:
    labels = draw_strokes(np.zeros((3, 20, 20), np.uint8), [(0, 1)])
    assert set(np.unique(labels)) == {0, BACKGROUND_VALUE}


def test_values_above_255_are_kept() -> None:
    reference = np.zeros((1, 30, 30), np.uint16)
    reference[0, 5:25, 5:15] = 300
    labels = draw_strokes(reference, [(0, 0)])
    assert labels.dtype == np.uint16
    assert (labels == 300).any()


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="255"):
        draw_strokes(np.full((2, 4, 4), BACKGROUND_VALUE, np.uint8), [(0, 0)])
    with pytest.raises(DataError, match="Slice 9 of axis 0"):
        draw_strokes(np.zeros((2, 4, 4), np.uint8), [(0, 9)])
    with pytest.raises(ValidationError):
        Annotator(error_rate=2)


class TestCorrections:
    def test_only_errors_are_painted_with_the_true_class_and_what_was_drawn_stays(self, reference: np.ndarray) -> None:
        first = draw_strokes(reference, SLICES)
        predicted = reference.copy()
        predicted[30:50, 60:90, 60:90] = 7
        labels = draw_corrections(reference, predicted, first, Annotator(strokes=20))
        new = (labels != 0) & (first == 0)
        assert new.any()
        assert (predicted != reference)[new].all()
        np.testing.assert_array_equal(truth(labels)[new], reference[new])
        np.testing.assert_array_equal(labels[first != 0], first[first != 0])

    def test_nothing_wrong_nothing_painted(self, reference: np.ndarray) -> None:
        first = draw_strokes(reference, SLICES)
        np.testing.assert_array_equal(draw_corrections(reference, reference, first), first)

    def test_most_strokes_go_where_most_is_wrong(self) -> None:
        reference = np.zeros((2, 60, 60), np.uint8)
        reference[0, 10:50, 10:50] = 1
        reference[1, 10:14, 10:14] = 1
        predicted = np.zeros_like(reference)
        labels = draw_corrections(reference, predicted, np.zeros_like(reference), Annotator(strokes=1))
        assert (labels[0] == 1).any()
        assert not labels[1].any()
