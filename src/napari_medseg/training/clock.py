"""What the minutes of a training are of."""

import time
from collections.abc import Callable
from typing import Literal

Clock = Literal["wall", "processor"]
"""Time as it passes, or the work of all threads, which tells the same on a busy machine."""


def clock_of(kind: Clock) -> Callable[[], float]:
    """Return what tells the seconds, from an arbitrary beginning."""
    return time.process_time if kind == "processor" else time.monotonic


class Stopwatch:
    """Training time, pauses left out.

    Parameters
    ----------
    now : callable
        As of `clock_of`.
    before : float
        Seconds that count already, of earlier sessions of a run.
    """

    def __init__(self, now: Callable[[], float], before: float = 0.0) -> None:
        self.now = now
        self._since = now() - before

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self.now() - self._since

    def skip(self, seconds: float) -> None:
        """Leave out some seconds that just passed."""
        self._since += seconds
