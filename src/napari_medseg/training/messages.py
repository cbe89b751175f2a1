"""What the user's side may tell a running training."""

from collections.abc import Sequence
from dataclasses import dataclass

from napari_medseg.progress import Control, Message


@dataclass(frozen=True, slots=True)
class LabelsChanged(Message):
    """Voxels of a case's labels were edited on disk; they enter the next batches."""

    sample: str
    """Identifier of the case."""
    start: tuple[int, ...] | None = None
    """First changed index along each axis of the labels' own array; None for the whole array."""
    stop: tuple[int, ...] | None = None
    """One past the last changed index along each axis."""


@dataclass(frozen=True, slots=True)
class ShowSlice(Message):
    """The user looks at this slice; previews show it from now on."""

    sample: str
    """Identifier of the case."""
    axis: int
    """Axis of the image's own array that the slice is perpendicular to."""
    index: int
    """Array index of the slice along `axis`."""


@dataclass(frozen=True, slots=True)
class LookAround(Message):
    """The user wants to know where to look next: slices all over a volume are surveyed from now on."""

    sample: str
    """Identifier of the case."""
    axis: int
    """Axis of the image's own array that the slices are perpendicular to."""


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """End the training now, write the model from the best weights, and finish as usual.

    A paused job has to be resumed to notice. Cancelling a job keeps the best weights too, but ends without a result.
    """


@dataclass(frozen=True)
class Heard:
    """What a training was told since it last listened."""

    stop: bool
    """Whether to end it."""
    view: ShowSlice | None
    """The slice that the user looks at; None if that did not change."""
    around: Sequence[LookAround]
    changed: Sequence[LabelsChanged]


def hear(control: Control) -> Heard:
    """Take the user's messages."""
    messages = list(control.receive())
    views = [message for message in messages if isinstance(message, ShowSlice)]
    return Heard(
        any(isinstance(message, Stop) for message in messages),
        views[-1] if views else None,
        [message for message in messages if isinstance(message, LookAround)],
        [message for message in messages if isinstance(message, LabelsChanged)],
    )
