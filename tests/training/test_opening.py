from collections.abc import Callable

import pytest

from napari_medseg.progress import Step
from napari_medseg.training import RunFolder, train


def test_the_rate_that_is_told_is_that_of_new_layers(make_run: Callable[..., RunFolder]) -> None:
    first = make_run("first", learning_rate=0.01)
    rates = [event.learning_rate for event in train(first) if isinstance(event, Step)]
    second = make_run("second", init=first.bundle, learning_rate=0.01)
    assert [e.learning_rate for e in train(second) if isinstance(e, Step)] == pytest.approx(rates)
