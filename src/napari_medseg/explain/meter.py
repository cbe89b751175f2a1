"""How far a computation inside another library is, which knows nothing of events."""

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from napari_medseg.errors import Cancelled
from napari_medseg.progress import Control, Event, with_time_left

Result = TypeVar("Result")
LOOK_SECONDS = 0.1


class Meter:
    """Counts images through a network, and stops the work at the next one when asked to.

    Parameters
    ----------
    control : Control
        Cancels and pauses.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._abandoned = False
        self.count = 0

    def saw(self, images: int) -> None:
        """Count images; `Cancelled` if the work is to end."""
        self._control.checkpoint()
        if self._abandoned:
            raise Cancelled
        self.count += images

    def watch(self, work: Callable[[], Result], stage: str, total: int) -> Generator[Event, None, Result]:
        """Do work that calls `saw`, and yield `Progress` with the time left.

        Parameters
        ----------
        work : callable
            Runs in a thread, so that its progress can be told meanwhile.
        stage : str
            What is being done.
        total : int
            About how many images it takes.
        """
        before, started = self.count, time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="explain") as pool:
            future = pool.submit(work)
            try:
                yield with_time_left(stage, total, started, 0)
                while wait([future], LOOK_SECONDS).not_done:
                    yield with_time_left(stage, total, started, min(self.count - before, total))
            finally:
                self._abandoned = not future.done()
        return future.result()
