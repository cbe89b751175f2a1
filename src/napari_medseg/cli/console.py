"""What the user of a terminal sees of a long job, and the user's hand on it."""

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table

from napari_medseg.errors import JobError
from napari_medseg.progress import Control, EpochEnd, Event, Finished, Note, Progress, Step

PIPE_WIDTH = 10_000
"""Columns of output that no one looks at: one line stays one line."""

STOP_SIGNALS = ("SIGINT", "SIGTERM")
"""Ctrl-C, and what a batch system sends before it kills."""


def out() -> Console:
    """Return the console for results."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def err() -> Console:
    """Return the console for progress, notes and errors, so that results can be piped."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPE_WIDTH)


def print_json(value: object) -> None:
    """Write one JSON value to standard output, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def table(*columns: str) -> Table:
    """Return an empty table whose first column is never cut and whose others break into lines."""
    first, *others = columns
    result = Table(box=None, pad_edge=False)
    result.add_column(first, no_wrap=True)
    for name in others:
        result.add_column(name, overflow="fold")
    return result


def say(text: str) -> None:
    """Write a line to standard error."""
    err().print(text, markup=False, soft_wrap=True)


@contextlib.contextmanager
def stopping(control: Control) -> Iterator[None]:
    """Make Ctrl-C ask the job to stop; a second one ends the command at once."""

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if control.cancelled:
            raise KeyboardInterrupt
        control.cancel()
        say("Stopping after this step; press Ctrl-C again to stop at once.")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.signal(getattr(signal, name), ask) for name in STOP_SIGNALS}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def follow(events: Iterator[Event], control: Control) -> object:
    """Run a job, showing how far it is, and return its result.

    Parameters
    ----------
    events : iterator of Event
        The job.
    control : Control
        The job's; Ctrl-C cancels through it.

    Returns
    -------
    object
        What `Finished` carried.

    Raises
    ------
    MedsegError
        What the job raised.
    """
    with stopping(control), _bars() as bars:
        task = _task(bars)
        for event in events:
            if isinstance(event, Finished):
                return event.result
            _show(event, bars, task)
    raise JobError("The job ended without a result.", "This is an error inside napari-medseg.")


@contextlib.contextmanager
def watching() -> Iterator[tuple[Control, Callable[[Progress], None]]]:
    """Yield the control and the report of a call whose progress is shown, and which Ctrl-C stops."""
    control = Control()
    with stopping(control), _bars() as bars:
        task = _task(bars)
        yield control, lambda progress: _show(progress, bars, task)


def _bars() -> Bars:
    console = err()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rest]}"))
    return Bars(*columns, console=console, transient=True, disable=not console.is_terminal)


def _task(bars: Bars) -> TaskID:
    return bars.add_task("", total=None, rest="", visible=False)


def _show(event: Event, bars: Bars, task: TaskID) -> None:
    match event:
        case Progress(stage, done, total, seconds_left):
            rest = f"{done}/{total}" + (f", {duration(seconds_left)} left" if seconds_left is not None else "")
            bars.update(task, description=stage, completed=done, total=total, rest=rest, visible=True)
        case Step(step, steps, loss, _rate, seconds):
            left = seconds / step * (steps - step) if step else 0.0
            rest = f"step {step}/{steps}, loss {loss:.3f}, {duration(left)} left"
            bars.update(task, description="Training", completed=step, total=steps, rest=rest, visible=True)
        case EpochEnd(step, loss, dice, is_best, _seconds, other):
            scores = "not validated" if dice is None else f"Dice {scores_text(dice)}"
            scores = scores if other is None else scores_text(other)
            best = ", the best so far" if is_best and (dice or other) is not None else ""
            bars.console.print(f"step {step}: loss {loss:.3f}, {scores}{best}", markup=False)
        case Note(text, level):
            bars.console.print(f"Warning: {text}" if level == "warning" else text, markup=False)


def scores_text(scores: dict[str, float]) -> str:
    """Return scores by class as one line.

    Examples
    --------
    >>> scores_text({"liver": 0.9312, "lesion": 0.5})
    'liver 0.931, lesion 0.500'
    """
    return ", ".join(f"{name} {score:.3f}" for name, score in scores.items())


def duration(seconds: float) -> str:
    """Return a time to wait in words.

    Examples
    --------
    >>> duration(7.4), duration(754), duration(7260)
    ('7 s', '13 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
