"""The small binary messages between this process and the worker."""

import io
import pickle
from dataclasses import dataclass
from typing import Literal, cast

from napari_medseg.errors import JobError, MedsegError
from napari_medseg.progress import Event, Message

TOPIC = "napari-medseg"
"""Name under which the worker publishes."""

LARGEST_BYTES = 32 * 2**20
"""Anything larger goes as a file."""

HEAVY = frozenset({"torch", "monai", "torchvision"})
"""Libraries that must not be imported into the viewer by a message."""


@dataclass(frozen=True)
class Ready:
    """The worker takes jobs."""

    worker: str
    """Its name."""
    address: str


@dataclass(frozen=True)
class Report:
    """A job in the worker has something to say."""

    attempt: str
    """Which run of which job."""
    kind: Literal["running", "event", "paused", "resumed", "stopping", "ended"]
    value: Event | MedsegError | None = None
    """The event, or the error with which it ended."""


@dataclass(frozen=True)
class Command:
    """The user's hand on a job, and the engine's leave to begin."""

    kind: Literal["begin", "cancel", "pause", "resume", "send"]
    message: Message | None = None


def pack(item: object, what: str) -> bytes:
    """Return `item` as bytes.

    Parameters
    ----------
    item : object
        Small and picklable.
    what : str
        Its name in the error.

    Raises
    ------
    JobError
        If it cannot be pickled or is larger than `LARGEST_BYTES`.
    """
    try:
        packed = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise JobError(f"{what} cannot be sent to another process: {error}.", "Pass paths and plain values.") from error
    if len(packed) > LARGEST_BYTES:
        raise JobError(
            f"{what} has {len(packed) / 2**20:.0f} MiB; at most {LARGEST_BYTES >> 20} MiB travel as a message.",
            "Write the array to a file and pass its path.",
        )
    return packed


def unpack(packed: bytes, *, light: bool) -> object:
    """Return what `pack` packed.

    Parameters
    ----------
    packed : bytes
        From our own worker, or our own parent, over their encrypted connection.
    light : bool
        Refuse what would import torch.

    Raises
    ------
    JobError
        If it needs a library that must not, or cannot, be imported here.
    """
    try:
        return _LightUnpickler(io.BytesIO(packed)).load() if light else pickle.loads(packed)
    except (pickle.UnpicklingError, ImportError, AttributeError, TypeError) as error:
        raise JobError(f"A message between the processes cannot be read: {error}.") from error


class _LightUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """Import what a pickle names, but no heavy library."""
        if module.partition(".")[0] in HEAVY:
            raise pickle.UnpicklingError(f"{module}.{name} would import {module.partition('.')[0]} into this process")
        return cast("object", super().find_class(module, name))
