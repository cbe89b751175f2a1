"""Planted errors are suggested first, and the comparison with chance is honest."""

import numpy as np
import pytest

from napari_medseg.data.suggest import (
    Evidence,
    Place,
    Trial,
    Trials,
    control_box,
    control_slice,
    corrected_voxels,
    gain_map,
    suggest_box,
    suggest_slice,
)
from napari_medseg.data.suggest.places import slice_place
from napari_medseg.errors import DataError

SHAPE = (40, 50, 60)


@pytest.fixture
def truth():
    """Return a ball."""
    z, y, x = np.indices(SHAPE)
    return (np.hypot(np.hypot(z - 18, y - 25), x - 30) < 14).astype(np.uint8)


def evidence(truth, errors=(), labels=None, **more):
    """Return what a model says that is in doubt, and wrong, in some boxes."""
    uncertainty = np.full(SHAPE, 0.02, np.float32)
    for box in errors:
        uncertainty[box] = 0.9
    labels = np.zeros(SHAPE, np.uint8) if labels is None else labels
    return Evidence(truth, labels, uncertainty, **more)


def test_the_slice_with_the_planted_error_comes_first(truth):
    for axis, index in ((0, 27), (1, 13), (2, 40)):
        box = [slice(15, 25), slice(18, 30), slice(24, 36)]
        box[axis] = slice(index, index + 1)
        assert suggest_slice(gain_map(evidence(truth, [tuple(box)])), axis).start[axis] == index


def test_slices_that_are_taken_are_not_suggested_again(truth):
    errors = [np.s_[9, 20:30, 20:40], np.s_[25, 20:30, 20:36]]
    gains = gain_map(evidence(truth, errors))
    assert suggest_slice(gains, 0).start[0] == 9
    assert suggest_slice(gains, 0, {9}).start[0] == 25
    with pytest.raises(DataError, match="nothing left"):
        suggest_slice(gains, 0, range(40))


def test_doubt_near_a_border_counts_more_than_noise_in_the_air(truth):
    errors = [np.s_[2, 0:12, 0:12], np.s_[18, 36:42, 24:36]]
    assert suggest_slice(gain_map(evidence(truth, errors)), 0).start[0] == 18


def test_doubt_beside_a_label_counts_less_than_elsewhere(truth):
    errors = [np.s_[8, 20:30, 20:36], np.s_[28, 20:30, 20:34]]
    assert suggest_slice(gain_map(evidence(truth, errors)), 0).start[0] == 8
    labels = np.zeros(SHAPE, np.uint8)
    labels[9, 25, 18:40] = 255
    assert suggest_slice(gain_map(evidence(truth, errors, labels)), 0).start[0] == 28
    labels[errors[1]] = 1
    assert gain_map(evidence(truth, errors, labels)).gain[28, 20:30, 20:34].max() == 0


def test_the_neighbour_of_a_slice_that_was_looked_at_is_not_next(truth):
    errors = [np.s_[8:11, 20:30, 20:36], np.s_[28, 20:30, 20:34]]
    first = suggest_slice(gain_map(evidence(truth, errors)), 0)
    assert first.start[0] in (8, 9, 10)
    assert suggest_slice(gain_map(evidence(truth, errors, seen=(first.box,))), 0, {first.start[0]}).start[0] == 28


def test_reach_is_in_millimetres(truth):
    labels = np.zeros(SHAPE, np.uint8)
    labels[10] = 255
    thin, thick = (
        gain_map(evidence(truth, [np.s_[:]], labels, spacing=(step, 1.0, 1.0))).gain[14].sum() for step in (0.5, 5.0)
    )
    assert thick > 2 * thin


def test_where_two_models_disagree_is_doubt(truth):
    other = truth.copy()
    other[22, 20:30, 20:30] = 0
    gains = gain_map(Evidence(truth, np.zeros(SHAPE, np.uint8), others=(other,)))
    assert suggest_slice(gains, 0).start[0] == 22
    assert gains.gain.sum() == gains.gain[22].sum() > 0


def test_the_box_with_the_planted_error_comes_first_also_in_large_volumes():
    shape = (120, 300, 200)
    predicted, uncertainty = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    predicted[40:80, 100:200, 50:150] = 1
    uncertainty[60:70, 190:205, 140:155] = 1
    gains = gain_map(Evidence(predicted, np.zeros(shape, np.uint8), uncertainty))
    assert gains.cell == (2, 4, 3)
    place = suggest_box(gains)
    assert all(a <= m < b for a, m, b in zip(place.start, (65, 197, 147), place.stop, strict=True))
    assert [b - a for a, b in zip(place.start, place.stop, strict=True)] == [30, 76, 51]
    other = suggest_box(gains, [place])
    assert not all(a <= m < b for a, m, b in zip(place.start, other.middle, place.stop, strict=True))
    assert suggest_slice(gains, 0).start[0] in range(58, 72)
    assert uncertainty[place.box].sum() == uncertainty.sum()


def test_planes_are_places_too():
    predicted, uncertainty = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.float32)
    predicted[10:20, 10:30] = 1
    uncertainty[18:22, 28:32] = 1
    place = suggest_box(gain_map(Evidence(predicted, np.zeros_like(predicted), uncertainty)))
    assert uncertainty[place.box].sum() == 16


def test_controls_are_random_slices_and_boxes_with_foreground(truth):
    gains, random = gain_map(evidence(truth)), np.random.default_rng(0)
    holds = set(np.flatnonzero(truth.any(axis=(1, 2))))
    drawn = [control_slice(gains, 0, random, {18}).start[0] for _ in range(400)]
    assert set(drawn) == holds - {18}
    assert control_slice(gains, 0, random, holds).start[0] not in holds
    assert all(truth[control_box(gains, random).box].any() for _ in range(50))
    with pytest.raises(DataError, match="nothing left"):
        control_box(gains, random, [Place((0, 0, 0), SHAPE)])


def test_without_doubt_or_on_another_grid_there_is_an_error_that_says_what_to_do(truth):
    with pytest.raises(DataError, match="Segment again with Uncertainty"):
        gain_map(Evidence(truth, truth))
    with pytest.raises(DataError, match=r"\(2, 2\)"):
        gain_map(Evidence(truth, truth, np.zeros((2, 2))))


def test_only_what_was_corrected_in_the_visit_counts():
    predicted = np.array([0, 1, 1, 2, 0])
    before = np.array([0, 0, 2, 0, 0])
    assert corrected_voxels(predicted, before, before) == 0
    assert corrected_voxels(predicted, before, np.array([255, 1, 2, 2, 0])) == 0
    assert corrected_voxels(predicted, before, np.array([1, 255, 2, 1, 0])) == 3
    assert corrected_voxels(predicted, before, np.array([0, 0, 0, 0, 0])) == 0


def test_kinds_alternate_in_pairs_and_cannot_be_guessed():
    kinds = [Trials(seed) for seed in range(40)]
    pairs = {(trials.next_kind(), trials.next_kind()) for trials in kinds}
    assert pairs == {("suggested", "random"), ("random", "suggested")}


def visits(ours, chance):
    place = slice_place((4, 4, 4), 0, 0)
    return Trials(
        0, [*(Trial("suggested", place, share) for share in ours), *(Trial("random", place, share) for share in chance)]
    ).report()


def test_the_verdict_says_what_the_numbers_carry_and_no_more():
    assert visits([], []).verdict.startswith("Too few")
    assert np.isnan(visits([], []).suggested_share)
    assert visits([0.5] * 4, [0.0] * 50).verdict.startswith("Too few")
    better = visits([0.2, 0.3, 0.25, 0.22, 0.31], [0.01, 0.02, 0.0, 0.03, 0.02])
    assert better.verdict.startswith("Suggestions find more")
    assert (better.suggested, better.random) == (5, 5)
    assert better.suggested_share == pytest.approx(0.256)
    assert better.random_share == pytest.approx(0.016)
    assert visits([0.01] * 6, [0.3, 0.31, 0.3, 0.3, 0.29]).verdict.startswith("Random places have more")
    assert visits([0.1, 0.0, 0.2, 0.1, 0.3], [0.0, 0.2, 0.1, 0.3, 0.1]).verdict.startswith("No difference")
