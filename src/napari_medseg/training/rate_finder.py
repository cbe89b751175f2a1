"""A learning rate by a short trial: it rises step by step until the loss explodes (Smith 2017)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from napari_medseg.errors import DataError
from napari_medseg.progress import Control, Event, Finished, Progress

LOWEST, HIGHEST = 1e-6, 1.0
STEPS = 100
SMOOTHING = 0.9
"""Share of the loss so far in its running mean."""
EXPLODED = 3.0
"""The trial ends when the running mean is so many times its lowest value."""
SETTLED = 10
"""Steps at the beginning and at the end whose slope is not trusted."""
STAGE = "Trying learning rates"


@dataclass(frozen=True)
class RateCurve:
    """What became of the loss while the learning rate rose."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Running mean of the loss at each rate."""
    proposed: float
    """Rate at which the loss falls fastest."""


def find_rate(run: Path, control: Control) -> Iterator[Event]:
    """Try learning rates on what a run's folder describes; nothing is written there.

    Parameters
    ----------
    run : Path
        Folder of a run, begun or not.
    control : Control
        Cancels.

    Yields
    ------
    Event
        `Progress` and `Note`, and last `Finished` with a `RateCurve`.

    Raises
    ------
    MedsegError
        If the run cannot be trained, or is none of a network for segmentation.
    """
    from napari_medseg.training.atomic import write_text
    from napari_medseg.training.learner import NoMemory, Pace
    from napari_medseg.training.opening import open_session
    from napari_medseg.training.run import RunFolder
    from napari_medseg.training.schedule import frozen_parts
    from napari_medseg.training.shrink import shrink

    with TemporaryDirectory(prefix="napari-medseg-rate-") as folder:
        trial = RunFolder(Path(folder))
        write_text(trial.config, RunFolder(run).load().model_dump_json())
        session = yield from open_session(trial, control, resume=False)
        rates, losses = np.geomspace(LOWEST, HIGHEST, STEPS).tolist(), list[float]()
        with session.batches:
            while len(losses) < STEPS and not exploded(smoothed(losses)):
                control.checkpoint()
                step, state = len(losses), session.state
                yield Progress(STAGE, step, STEPS)
                batch = session.batches.get(step, state.batch_size, state.patch)
                pace = Pace(rates[step], frozen=frozen_parts(0, STEPS, session.config))
                try:
                    losses.append(float(session.learner.step(batch, pace, step)))
                except NoMemory:
                    yield shrink(state, session.spec, session.learner.device)
    curve = smoothed(losses)
    yield Finished(RateCurve(tuple(rates[: len(curve)]), tuple(curve), propose(rates, curve)))


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the running mean of losses, not pulled towards its beginning.

    Examples
    --------
    >>> [round(value, 3) for value in smoothed([1.0, 1.0, 2.0])]
    [1.0, 1.0, 1.369]
    """
    mean, found = 0.0, []
    for count, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**count))
    return found


def exploded(curve: Sequence[float]) -> bool:
    """Return whether the loss has become far larger than it was, or no number."""
    return bool(curve) and not (np.isfinite(curve[-1]) and curve[-1] <= EXPLODED * min(curve))


def propose(rates: Sequence[float], curve: Sequence[float]) -> float:
    """Return the rate at which the loss falls fastest, before its lowest value.

    Parameters
    ----------
    rates : sequence of float
        Rising by a constant factor.
    curve : sequence of float
        Smoothed losses, not longer.

    Raises
    ------
    DataError
        If the loss does not fall.
    """
    lowest = int(np.nanargmin(curve)) if len(curve) else 0
    if lowest <= SETTLED:
        raise DataError(
            "The loss does not fall at any learning rate.", "Label more, or check that labels and image fit."
        )
    slopes = np.gradient(np.asarray(curve[: lowest + 1]))
    return float(f"{rates[SETTLED + int(np.argmin(slopes[SETTLED:]))]:.2g}")
