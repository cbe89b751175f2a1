"""Work that would make the window freeze, done in a thread of this process: copying arrays, reading and writing."""

from collections.abc import Callable
from typing import TypeVar

from napari.qt.threading import create_worker
from qtpy import compat
from qtpy.QtCore import QObject

from napari_medseg.errors import MedsegError, WriteError

Result = TypeVar("Result")


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

    def hand_on(result: Result | MedsegError) -> None:
        if isinstance(result, MedsegError):
            if is_alive(getattr(failed, "__self__", None)):
                failed(result)
        elif is_alive(getattr(done, "__self__", None)):
            done(result)

    worker = create_worker(_attempt, work, _start_thread=False)
    worker.returned.connect(hand_on)
    worker.start()


def _attempt(work: Callable[[], Result]) -> Result | MedsegError:
    try:
        return work()
    except MedsegError as error:
        return error
    except OSError as error:
        return WriteError(f"A file could not be written: {error}.", "Check the free space and the folder's rights.")
    except MemoryError:
        return WriteError("There is not enough memory for a copy of the image.", "Close other layers or programs.")


def is_alive(receiver: object) -> bool:
    """Return whether the C++ part of a Qt object still exists; true for anything else."""
    return not isinstance(receiver, QObject) or bool(compat.isalive(receiver))
