"""While a hand draws, a training on the processor leaves it to the window."""

from collections.abc import Callable
from typing import Any

import pytest

from napari_medseg.models import ModelSpec
from napari_medseg.progress import Control, EpochEnd, Finished, Step
from napari_medseg.training import Drawing, RunFolder, ShowSlice, Stop, messages, train
from napari_medseg.training.messages import BETWEEN_SECONDS, REST_SECONDS, Rest, hear


def test_a_rest_ends_with_the_stroke_or_some_time_after_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    now, rest, control = [100.0], Rest(), Control()
    monkeypatch.setattr(messages.time, "monotonic", lambda: now[0])

    def say(*words: Drawing | ShowSlice) -> bool:
        for word in words:
            control.send(word)
        rest.hear(hear(control))
        return rest.due

    assert not say()
    assert say(Drawing())
    now[0] += 0.9 * REST_SECONDS
    assert say(Drawing(held=False), Drawing())
    now[0] += 0.9 * REST_SECONDS
    assert say(ShowSlice("head", 0, 3))
    now[0] += 0.2 * REST_SECONDS
    assert not say()
    assert not say(Drawing(), Drawing(held=False))
    rest.between = True
    assert say(Drawing(), Drawing(held=False))
    now[0] += 1.1 * BETWEEN_SECONDS
    assert not say()


@pytest.mark.parametrize("sketch", [False, True])
def test_nothing_is_learnt_while_a_hand_draws(
    make_run: Callable[..., RunFolder], sketch_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch, sketch: bool
) -> None:
    happened: list[Any] = []
    control, run = Control(), make_run(hold_out=0, **({"spec": sketch_spec} if sketch else {}))

    def sleep(seconds: float) -> None:
        happened.append(seconds)
        if len(happened) == 3:
            control.send(Drawing(held=False))
        if len(happened) == 6:
            control.send(Stop())

    monkeypatch.setattr(messages, "REST_SECONDS", 1e6)
    monkeypatch.setattr(messages, "BETWEEN_SECONDS", 0.0)
    monkeypatch.setattr(messages.time, "sleep", sleep)
    control.send(Drawing())
    for event in train(run, control, live=True):
        if isinstance(event, EpochEnd | Step | Finished):
            happened.append(event)
    assert [isinstance(event, float) for event in happened[:4]] == [True, True, True, False]
    assert isinstance(happened[-1], Finished)
