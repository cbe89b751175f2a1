"""What a job shall do, in a form that travels to another process."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from napari_medseg.errors import JobError, MedsegError
from napari_medseg.progress import Control, Event, Finished, throttle

Target = Callable[..., Iterator[Event]]


@dataclass(frozen=True)
class Work:
    """A call of a generator function, named by a string so that the caller need not import it.

    Examples
    --------
    >>> Work("napari_medseg.inference.jobs:predict_volume", {"image": "scan.medvol"}).module
    'napari_medseg.inference.jobs'
    """

    target: str
    """``"package.module:function"``. The function takes a `Control` and the arguments by name, yields events, and
    yields `Finished` last."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Small picklable values; arrays go by the path of a file."""
    exclusive: bool = True
    """Whether the job needs the computing device to itself. Exclusive jobs run one after the other; others run at
    once, beside them, and must be light."""

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the function."""
        return self.target.partition(":")[0]

    @property
    def function(self) -> str:
        """Name of the generator function in its module."""
        return self.target.partition(":")[2]

    def resolve(self) -> Target:
        """Import and return the function.

        Raises
        ------
        JobError
            If there is no such function.
        """
        try:
            return cast("Target", getattr(importlib.import_module(self.module), self.function))
        except (ImportError, AttributeError, ValueError) as error:
            raise JobError(
                f"The job {self.target!r} cannot be loaded: {error}.",
                "Check that all packages of napari-medseg are installed in this environment.",
            ) from error


def stream(work: Work, control: Control) -> Iterator[Event]:
    """Run `work` in this thread and yield its events, thinned for a reader.

    Parameters
    ----------
    work : Work
        What to do.
    control : Control
        The caller's hand on it.

    Yields
    ------
    Event
        In the order of the job; the last is `Finished`.

    Raises
    ------
    MedsegError
        What the job raised; any other exception comes as a `JobError` that says its type and text.
    """
    try:
        yield from _until_finished(work, control)
    except MedsegError:
        raise
    except (Exception, SystemExit) as error:
        failure = JobError(
            f"{work.function} stopped with {type(error).__name__}: {error}",
            "This is an error inside napari-medseg or a library; the log has the details.",
        )
        raise failure from error


def _until_finished(work: Work, control: Control) -> Iterator[Event]:
    for event in throttle(work.resolve()(control, **work.arguments)):
        yield event
        if isinstance(event, Finished):
            return
    raise JobError(f"{work.function} ended without a result.", "This is an error inside napari-medseg.")
