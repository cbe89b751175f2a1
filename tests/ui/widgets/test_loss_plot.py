"""The plot holds what the events said."""

import math

import pytest

from napari_medseg.progress import EpochEnd, Note, Step
from napari_medseg.ui.widgets.loss_plot import LossPlot

pytestmark = pytest.mark.viewer


@pytest.fixture
def plot(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.restart({"liver": "#ff0000"})
    plot.show()
    return plot


def step(number, loss):
    return Step(step=number, steps=100, loss=loss, learning_rate=1e-3, seconds=1.0)


def score(number, **dice):
    return EpochEnd(step=number, loss=1.0, dice=dice or None, is_best=True, seconds=1.0)


def test_losses_and_their_running_mean(plot):
    for number, loss in [(1, 2.0), (2, 1.0)]:
        plot.show_event(step(number, loss))
    assert plot.steps == [1, 2]
    assert plot.losses == [2.0, 1.0]
    assert plot.smooth == pytest.approx([2.0, 1.9])
    assert list(plot._raw.getData()[1]) == [2.0, 1.0]


def test_dice_per_class_in_its_colour(plot):
    plot.show_event(score(50, liver=0.5, tumour=0.25))
    plot.show_event(score(100, liver=0.75, tumour=math.nan))
    assert plot.scored == {"liver": ([50, 100], [0.5, 0.75]), "tumour": ([50], [0.25])}
    assert plot._curves["liver"].opts["pen"].color().name() == "#ff0000"


def test_what_is_not_a_number_is_not_drawn(plot):
    plot.show_event(step(1, math.nan))
    plot.show_event(score(50))
    plot.show_event(Note("nothing"))
    assert plot.steps == []
    assert plot.scored == {}


def test_a_resumed_run_replaces_the_steps_it_repeats(plot):
    for number in (1, 2, 3, 4):
        plot.show_event(step(number, float(number)))
    plot.show_event(score(4, liver=0.1))
    plot.show_event(step(3, 30.0))
    plot.show_event(score(4, liver=0.2))
    assert plot.steps == [1, 2, 3]
    assert plot.losses == [1.0, 2.0, 30.0]
    assert plot.scored["liver"] == ([4], [0.2])


def test_restart_empties(plot):
    plot.show_event(step(1, 2.0))
    plot.show_event(score(1, liver=0.5))
    plot.restart({})
    assert (plot.steps, plot.scored, plot._curves) == ([], {}, {})
    assert plot._raw.getData() in ((None, None),) or len(plot._raw.getData()[0]) == 0


def test_axes_follow_a_change_of_theme(plot, qtbot):
    for color in ("#102030", "#e0d0c0"):
        plot.setStyleSheet(f"QWidget {{ color: {color}; }}")
        qtbot.waitUntil(lambda color=color: plot._loss.getAxis("left").textPen().color().name() == color)
        assert plot._dice.getAxis("bottom").pen().color().name() == color
