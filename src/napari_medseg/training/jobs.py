"""Training as a job for `napari_medseg.jobs`."""

from collections.abc import Iterator
from pathlib import Path

from napari_medseg.progress import Control, Event, throttle
from napari_medseg.training import train
from napari_medseg.training.rate_finder import find_rate


def train_run(control: Control, run: Path, resume: bool = False, live: bool = False) -> Iterator[Event]:
    """Train in the folder `run`, events thinned for a viewer.

    Parameters
    ----------
    control : Control
        Cancels, pauses, and passes messages.
    run : Path
        A run's folder.
    resume : bool
        Go on from the last checkpoint.
    live : bool
        Whether somebody paints and watches.

    Yields
    ------
    Event
        Those of `napari_medseg.training.train`; `Step` and `Preview` at most ten times a second.
    """
    yield from throttle(train(run, control, resume, live))


def try_rates(control: Control, run: Path) -> Iterator[Event]:
    """Propose a learning rate for the run in the folder `run`; see `napari_medseg.training.rate_finder`."""
    yield from throttle(find_rate(run, control))
