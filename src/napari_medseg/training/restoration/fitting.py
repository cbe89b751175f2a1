"""The loop in which a network learns to give images, within a time or a number of steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from napari_medseg import processes
from napari_medseg.progress import Control, Event, Step
from napari_medseg.training.clock import clock_of
from napari_medseg.training.messages import Stop
from napari_medseg.training.restoration.config import RestorationConfig
from napari_medseg.training.restoration.learner import Learner
from napari_medseg.training.restoration.pairs import Pairs

TIMED, UNTIMED = 12, 4
"""Steps before a time budget becomes a number of steps, and the first of them, which are slower than all others."""
WARMUP = 30
"""Steps in which the learning rate rises."""
RESERVE = 0.97
"""Share of the time that is planned for."""
CHECK_EVERY = 50
"""Steps between two looks at whether the plan still fits the time."""


@dataclass
class Standing:
    """Where a training stands, apart from weights and optimiser."""

    planned: int | None = None
    """Steps to take; None until a time budget was turned into steps."""
    step: int = 0
    seconds: float = 0.0
    """Training time, pauses left out."""
    best: float = -math.inf
    """Highest score so far."""
    stopped: bool = False
    """Whether the user ended it before the plan."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.stopped or (self.planned is not None and self.step >= self.planned)


def rate_of(step: int, planned: int | None, peak: float) -> float:
    """Return the learning rate of a step: it rises, then falls as half a cosine.

    Examples
    --------
    >>> [round(rate_of(step, 130, 1.0), 3) for step in (0, 29, 80, 130)]
    [0.033, 1.0, 0.5, 0.0]
    """
    rise = min(1.0, (step + 1) / WARMUP)
    passed = 0.0 if planned is None else min(max(step - WARMUP, 0) / max(planned - WARMUP, 1), 1.0)
    return peak * rise * 0.5 * (1 + math.cos(math.pi * passed))


def fit(
    learner: Learner,
    pairs: Pairs,
    config: RestorationConfig,
    state: Standing,
    control: Control,
    after: Callable[[float], Iterator[Event]] = lambda _loss: iter(()),
) -> Iterator[Event]:
    """Learn until the plan is fulfilled.

    Parameters
    ----------
    learner : Learner
        What learns.
    pairs : Pairs
        From what.
    config : RestorationConfig
        For how long.
    state : Standing
        Where it stands; is updated.
    control : Control
        Cancels, pauses, and passes `Stop`.
    after : callable
        Called after each step with its loss; scores and saves.

    Yields
    ------
    Event
        `Step`, and what `after` yields.

    Raises
    ------
    Cancelled
        If the job was cancelled.
    """
    timed: list[float] = []
    clock = clock_of(config.clock)
    if config.minutes is None:
        state.planned = config.steps
    while not state.finished:
        _listen(control, state)
        if state.stopped:
            break
        started = clock()
        rate = rate_of(state.step, state.planned, config.learning_rate)
        loss = float(learner.step(pairs.batch(state.step, processes.rank()), rate))
        if learner.device.type == "cuda":
            torch.cuda.synchronize(learner.device)
        took = clock() - started
        state.step += 1
        state.seconds += took
        timed.append(took)
        if config.minutes is not None and (len(timed) == TIMED or state.step % CHECK_EVERY == 0):
            _plan(state, config, timed)
        yield Step(state.step, _expected(state, config), loss, rate, state.seconds)
        yield from after(loss)


def _expected(state: Standing, config: RestorationConfig) -> int:
    """Return how many steps there will be, as far as is known."""
    if state.planned is not None or config.minutes is None:
        return state.planned or config.steps
    fitting = RESERVE * config.minutes * 60 * state.step / max(state.seconds, 1e-9)
    return min(config.steps, max(state.step + 1, int(fitting)))


def _listen(control: Control, state: Standing) -> None:
    """Read the user's messages, wait while paused, raise `Cancelled` once cancelled: in all processes alike."""
    stop = any(isinstance(message, Stop) for message in control.receive())
    cancelled, state.stopped = processes.any_of(control.cancelled, stop)
    if cancelled:
        control.cancel()
    control.checkpoint()


def _plan(state: Standing, config: RestorationConfig, timed: list[float]) -> None:
    """Plan as many steps as fit; later only fewer, where they have become slower."""
    assert config.minutes is not None
    if len(timed) < TIMED and state.planned is None:
        return
    recent = timed[UNTIMED:][-4 * CHECK_EVERY :] or timed
    left = RESERVE * config.minutes * 60 - state.seconds
    fitting = min(config.steps, state.step + max(0, int(left * len(recent) / sum(recent))))
    planned = fitting if state.planned is None else max(state.step, min(state.planned, fitting))
    state.planned = processes.from_first(planned)
