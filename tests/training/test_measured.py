import numpy as np
import pytest

from napari_medseg.training.measured import dice_of, measure

NAMES = ["background", "liver", "tumour"]


def counts(liver: tuple[int, int, int], tumour: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """Voxels of intersection, prediction and reference of one unit."""
    return np.array([(0, 0, 0), liver, tumour])


def test_dice_is_that_of_all_units_together() -> None:
    found = measure({"a": counts((30, 40, 40)), "b": counts((10, 20, 20))}, NAMES, "block", 0.15)
    assert found.classes["liver"].dice == pytest.approx(2 * 40 / 120)
    assert dice_of(counts((5, 5, 5)), NAMES) == {"liver": 1.0}


def test_equal_units_leave_no_doubt_and_different_ones_do() -> None:
    equal = measure({name: counts((30, 40, 40)) for name in "abcde"}, NAMES, "patient", 0.2).classes["liver"]
    assert equal.validated
    assert equal.low == equal.high == equal.dice == pytest.approx(0.75)
    apart = {name: counts((8 * k, 40, 40)) for k, name in enumerate("abcdef")}
    wide = measure(apart, NAMES, "patient", 0.2).classes["liver"]
    assert wide.low is not None
    assert wide.high is not None
    assert wide.dice == pytest.approx(0.5)
    assert 0.15 < wide.low < 0.4
    assert 0.6 < wide.high < 0.85
    # the standard error of six such patients is 0.14, so that 95 % are about 0.27 to each side
    assert wide.high - wide.low == pytest.approx(0.54, abs=0.12)
    many = measure({f"{name}{n}": apart[name] for name in apart for n in range(4)}, NAMES, "patient", 0.2)
    narrow = many.classes["liver"]
    assert narrow.low is not None
    assert narrow.high is not None
    assert narrow.high - narrow.low == pytest.approx((wide.high - wide.low) / 2, rel=0.2)


def test_few_units_have_no_interval_and_the_text_says_what_is_missing() -> None:
    overlaps = {name: counts((30, 40, 40)) for name in "abcd"} | {"e": counts((30, 40, 40), (1, 2, 2))}
    found = measure(overlaps, NAMES, "block", 0.15)
    assert found.classes["liver"].validated
    assert not found.classes["tumour"].validated
    text = str(found)
    assert "Dice on 5 held-out blocks: liver 0.75 (0.75 to 0.75, 5 blocks), tumour 0.50 (from 1 block)." in text
    assert "Too little to validate: tumour. Annotate them in about 14 more places well apart" in text


def test_a_class_without_held_out_voxels_is_named() -> None:
    found = measure({name: counts((30, 40, 40)) for name in "abc"}, NAMES, "patient", 0.15)
    assert found.missing == ("tumour",)
    assert "Too little to validate: tumour. Annotate them in about 9 more patients" in str(found)


def test_nothing_held_out_is_not_validated() -> None:
    found = measure({}, NAMES, "block", 0.15)
    assert found.dice is None
    assert found.metrics == {}
    assert str(found).startswith(
        "Not validated: nothing could be held out. Annotate each class in about 20 more places"
    )


def test_the_numbers_go_into_the_model() -> None:
    found = measure(
        {name: counts((30, 40, 40), (1, 2, 2) if name == "a" else (0, 0, 0)) for name in "abc"}, NAMES, "x", 1
    )
    assert found.metrics.keys() == {"dice/liver", "dice/tumour", "dice_low/liver", "dice_high/liver"}
