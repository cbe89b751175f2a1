"""Columns of a table become numbers that a network can be told."""

import pytest

from napari_medseg.errors import DataError
from napari_medseg.models.covariates import describe, encode, fact_count


def test_numbers_are_standardised_and_words_become_switches():
    age, sex = describe("age", ["30", "50", "nan", ""]), describe("sex", ["m", "f", "", "f"])
    assert (age.mean, age.deviation, sex.values) == (40, 10, ("f", "m"))
    assert fact_count([age, sex]) == 3
    assert encode([age, sex], [["60", "f"], ["?", "unknown"]]).tolist() == [[2, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("entries", "message"),
    [(["3", "4", "four"], "holds 'four' among numbers"), (["a", "a"], "holds 1 different words"), ([""], "holds 0")],
)
def test_columns_that_say_nothing_are_refused(entries, message):
    with pytest.raises(DataError, match=message):
        describe("x", entries)
