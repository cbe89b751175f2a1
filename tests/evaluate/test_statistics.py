"""Intervals hold the mean as often as they say; tests find differences that are there, and no others."""

import numpy as np
import pytest
from scipy import stats

from napari_medseg.evaluate.statistics import bootstrap_interval, holm, paired_tests


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(1).beta(8, 2, 30).tolist()
    first = bootstrap_interval(values)
    assert first == bootstrap_interval(values)
    assert first != bootstrap_interval(values, seed=1)
    assert first is not None
    assert first.low < np.mean(values) < first.high
    assert first.cases == 30


def test_for_normal_values_it_is_that_of_student() -> None:
    values = np.random.default_rng(2).normal(5, 2, 200)
    found = bootstrap_interval(values.tolist())
    low, high = stats.t.interval(0.95, 199, values.mean(), values.std(ddof=1) / np.sqrt(200))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)


def test_few_and_equal_values() -> None:
    assert bootstrap_interval([]) is None
    assert bootstrap_interval([0.7]) is None
    same = bootstrap_interval([0.7, 0.7])
    assert same is not None
    assert (same.low, same.high) == (0.7, 0.7)
    nearly = bootstrap_interval([1.0] * 30 + [0.0])
    assert nearly is not None
    assert 0 <= nearly.low < nearly.high <= 1


def test_holm_by_hand() -> None:
    assert holm([]) == []
    assert holm([0.5]) == [0.5]
    # 3 x 0.01; then 2 x 0.02; then the largest so far.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_a_difference_that_is_there() -> None:
    rng = np.random.default_rng(3)
    worse = rng.uniform(0.5, 0.8, 20)
    better = worse + rng.uniform(0.02, 0.1, 20)
    same = rng.uniform(0.5, 0.9, 20)
    tests = paired_tests({"found": (better, worse), "equal": (same, same), "absent": ([], [])})
    assert list(tests) == ["found", "equal"]
    found = tests["found"]
    assert found.difference == pytest.approx((better - worse).mean())
    # All 20 differ in one direction: the exact test gives two times one half to the power of 20.
    assert found.p == pytest.approx(2 * 0.5**20)
    assert found.p_holm == pytest.approx(2 * found.p)
    assert found.interval is not None
    assert 0 < found.interval.low < found.difference < found.interval.high
    assert (tests["equal"].p, tests["equal"].difference) == (1.0, 0.0)
