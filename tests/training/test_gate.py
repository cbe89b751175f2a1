import numpy as np
import pytest

from napari_medseg.training.gate import Scores, judge

NAMES = ["background", "liver", "tumour"]


def counts(liver: int, tumour: int) -> np.ndarray:
    """Counts of a model that finds so many of 100 voxels of each class, and nothing else: Dice 2 n / (n + 100)."""
    return np.array([(0, 0, 0), (liver, liver, 100), (tumour, tumour, 100)])


def scores(*units: tuple[int, int], labelled: tuple[int, int] = (90, 90)) -> Scores:
    return Scores({f"u{k}": counts(*unit) for k, unit in enumerate(units)}, counts(*labelled))


def test_a_better_model_is_taken() -> None:
    verdict = judge("old", scores(*[(70, 70)] * 6), scores(*[(80 + k, 80) for k in range(6)]), NAMES)
    assert verdict.accepted
    assert verdict.reason.startswith("Better than old: mean Dice higher by 0.0")
    assert verdict.low is not None
    assert verdict.low > 0
    assert verdict.units == 6
    assert [change.name for change in verdict.held_out] == ["liver", "tumour"]
    assert verdict.held_out[1].before == pytest.approx(140 / 170)


def test_a_worse_model_is_refused_with_the_reason() -> None:
    verdict = judge("old", scores(*[(80, 80)] * 6), scores(*[(70, 78)] * 6), NAMES)
    assert not verdict.accepted
    assert "Worse than old: mean Dice lower by 0.039." in str(verdict)
    assert "liver 0.89 → 0.82" in str(verdict)


def test_a_little_but_surely_worse_model_is_refused() -> None:
    before, after = scores(*[(80, 80)] * 8), scores(*[(79, 79)] * 8)
    verdict = judge("old", before, after, NAMES)
    assert verdict.difference == pytest.approx(158 / 179 - 160 / 180)
    assert not verdict.accepted


def test_what_cannot_be_told_apart_is_taken() -> None:
    before = scores((80, 80), (60, 60), (70, 70), (75, 75))
    after = scores((60, 60), (79, 79), (75, 75), (70, 70))
    verdict = judge("old", before, after, NAMES)
    assert verdict.accepted
    assert verdict.reason == f"No worse than old: mean Dice {verdict.difference:+.3f}."
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low < 0 < verdict.high


def test_with_two_places_a_clear_loss_is_refused_without_being_sure() -> None:
    verdict = judge("old", scores((80, 80), (80, 80)), scores((60, 60), (60, 60)), NAMES)
    assert not verdict.accepted
    assert verdict.high is None
    assert "though on too little to be sure" in verdict.reason


def test_forgetting_is_shown_class_by_class() -> None:
    before = scores(*[(70, 70)] * 4, labelled=(90, 90))
    after = scores(*[(80, 80)] * 4, labelled=(92, 60))
    verdict = judge("old", before, after, NAMES)
    assert verdict.accepted
    assert [change.name for change in verdict.forgotten] == ["tumour"]
    assert "Labelled before: liver 0.95 → 0.96, tumour 0.95 → 0.75." in str(verdict)
    assert "Forgotten in part: tumour." in str(verdict)


def test_without_held_out_voxels_what_was_labelled_decides() -> None:
    assert judge("old", scores(labelled=(70, 70)), scores(labelled=(80, 80)), NAMES).accepted
    worse = judge("old", scores(labelled=(80, 80)), scores(labelled=(70, 70)), NAMES)
    assert not worse.accepted
    assert "where it was labelled" in worse.reason


def test_models_without_a_common_class_cannot_be_compared() -> None:
    nothing = Scores({}, np.zeros((1, 3), np.int64))
    verdict = judge("old", nothing, nothing, ["background"])
    assert not verdict.accepted
    assert "cannot be compared" in verdict.reason
