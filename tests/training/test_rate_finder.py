from collections.abc import Callable

import numpy as np
import pytest

from napari_medseg.errors import DataError
from napari_medseg.progress import Control, Finished
from napari_medseg.training import RunFolder
from napari_medseg.training.rate_finder import HIGHEST, LOWEST, STEPS, RateCurve, exploded, find_rate, propose

RATES = np.geomspace(LOWEST, HIGHEST, STEPS)


@pytest.mark.parametrize("fastest", [1e-4, 1e-3, 1e-2])
def test_the_rate_at_which_the_loss_falls_fastest_is_proposed(fastest: float) -> None:
    # falls from 2 to 1 around `fastest`, and explodes when the rate is thirty times that
    fall = 1 + 1 / (1 + (RATES / fastest) ** 2)
    curve = fall + (RATES / (30 * fastest)) ** 4
    assert propose(RATES.tolist(), curve.tolist()) == pytest.approx(fastest, rel=0.15)


def test_a_loss_that_only_rises_has_no_rate() -> None:
    with pytest.raises(DataError, match="does not fall"):
        propose(RATES.tolist(), np.linspace(1, 2, STEPS).tolist())


def test_an_exploding_loss_ends_the_trial() -> None:
    assert not exploded([])
    assert not exploded([1.0, 0.5, 1.4])
    assert exploded([1.0, 0.5, 1.6])
    assert exploded([1.0, float("nan")])


def test_a_trial_leaves_the_run_as_it_was(make_run: Callable[..., RunFolder]) -> None:
    run = make_run()
    before = sorted(run.path.rglob("*"))
    *_, last = find_rate(run.path, Control())
    assert isinstance(last, Finished)
    assert isinstance(last.result, RateCurve)
    assert sorted(run.path.rglob("*")) == before
    assert len(last.result.rates) == len(last.result.losses) <= STEPS
    assert 1e-5 < last.result.proposed < 0.5
    assert min(last.result.losses) < last.result.losses[0]
