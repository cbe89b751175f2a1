"""Work that would make the window freeze, done in a thread of this process: copying arrays, reading and writing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from napari.qt.threading import create_worker
from qtpy import compat
from qtpy.QtCore import QObject

from napari_medseg.errors import MedsegError, WriteError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """An error as a result; superqt's workers would raise it again if it came bare."""

    error: MedsegError


def in_background(
    work: Callable[[], Result], done: Callable[[Result], object], failed: Callable[[MedsegError], object]
) -> None:
    """Run `work` in a thread and hand on its result, or its error, in the GUI's thread.

    Parameters
    ----------
    work : callable
        Must not touch Qt or change layers.
    done, failed : callable
        Bound methods of Qt objects; one that was destroyed meanwhile is not called.
    """

    def hand_on(result: Result | Failure) -> None:
        if isinstance(result, Failure):
            if is_alive(getattr(failed, "__self__", None)):
                failed(result.error)
        elif is_alive(getattr(done, "__self__", None)):
            done(result)

    worker = create_worker(_attempt, work, _start_thread=False)
    worker.returned.connect(hand_on)
    worker.start()


def _attempt(work: Callable[[], Result]) -> Result | Failure:
    try:
        return work()
    except MedsegError as error:
        return Failure(error)
    except OSError as error:
        remedy = "Check the free space and the folder's rights."
        return Failure(WriteError(f"A file could not be written: {error}.", remedy))
    except MemoryError:
        return Failure(WriteError("There is not enough memory for a copy of the image.", "Close other programs."))


def is_alive(receiver: object) -> bool:
    """Return whether the C++ part of a Qt object still exists; true for anything else."""
    return not isinstance(receiver, QObject) or bool(compat.isalive(receiver))
