"""While a training runs, it says where it is in doubt: in the slice in view, and all over the volume when asked."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Preview, Surveyed
from napari_medseg.training import LookAround, ShowSlice, looking, train
from napari_medseg.training.looking import Survey, spread

SHAPE = (20, 28, 24)


def case_of(*shape):
    """Return what a survey looks at of a case."""
    return SimpleNamespace(case=SimpleNamespace(id="a"), sample=SimpleNamespace(grid=SimpleNamespace(shape=shape)))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 20, 229])
def test_every_slice_comes_once_and_the_first_few_lie_far_apart(count):
    order = spread(count)
    assert sorted(order) == list(range(count))
    if count >= 20:
        assert np.diff(sorted(order[:7])).min() >= count // 10


def test_looking_around_takes_its_share_of_the_time_after_the_first_seconds(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(looking.time, "monotonic", lambda: now[0])
    survey, seen, cases = Survey(), [], [case_of(100, 100)]
    survey.ask(LookAround("a", 0), cases)

    def look() -> None:
        for number, (axis, index) in survey.slices():
            assert (number, axis) == (0, survey.asked.axis)
            seen.append(index)
            now[0] += 1.0

    look()
    assert seen == spread(100)[:3]
    look()
    assert len(seen) == 3
    now[0] += 1.0 / looking.SURVEY_SHARE
    look()
    assert seen == spread(100)[:4]
    survey.ask(LookAround("a", 0), cases)
    look()
    assert seen == spread(100)[:7], "asked again, it goes on where it was"
    survey.ask(LookAround("a", 1), cases)
    look()
    assert seen[7:] == spread(100)[:3]


def test_a_survey_ends_where_there_is_nothing_to_look_at():
    survey = Survey()
    assert list(survey.slices()) == []
    for asked in (LookAround("a", 3), LookAround("b", 0)):
        survey.ask(asked, [case_of(5, 6, 7)])
        assert list(survey.slices()) == []


@pytest.mark.parametrize("teacher", [False, True])
def test_a_training_looks_around_when_asked(make_run, teacher):
    control = Control()
    control.send(ShowSlice("head", 1, 13))
    control.send(LookAround("head", 0))
    control.send(LookAround("nobody", 0))
    events = list(train(make_run(preview_hz=2, teacher=teacher), control, live=True))
    found = [event for event in events if isinstance(event, Surveyed)]
    assert {event.index for event in found} == set(range(SHAPE[0]))
    for event in found:
        assert (event.sample, event.axis) == ("head", 0)
        assert event.labels.shape == event.doubt.shape == SHAPE[1:]
        assert event.doubt.dtype == np.uint8
    shown = [event for event in events if type(event) is Preview]
    assert {(event.axis, event.index) for event in shown} == {(1, 13)}
    for event in shown:
        assert event.doubt.shape == (SHAPE[0], SHAPE[2])
        assert event.doubt.any()
        assert event.shown.startswith(("sketch: Dice", "network: Dice", "network and sketch") if teacher else "network")
    # two models that have learnt little, or one and its teacher, are in full doubt only where they disagree
    most = max(event.doubt.max() for event in found)
    assert most == 255 if teacher else most > 100


def test_the_weights_do_not_know_that_anybody_looked(make_run):
    control = Control()
    control.send(LookAround("head", 2))
    runs = [make_run(name, teacher=True) for name in ("alone", "watched")]
    list(train(runs[0]))
    events = list(train(runs[1], control))
    assert any(isinstance(event, Surveyed) for event in events)
    alone, watched = (Bundle.load(run.bundle).state_dict() for run in runs)
    assert all((alone[key] == watched[key]).all() for key in alone)
