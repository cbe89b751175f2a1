"""What the user's side may tell a running training."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from napari_medseg.progress import Control, Message

REST_SECONDS = 0.4
"""After the last word of a hand that draws."""
BETWEEN_SECONDS = 0.4
"""After a stroke, for a training whose answer can wait: the next stroke often follows at once."""


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
class Drawing(Message):
    """The user's hand draws, or has just stopped: a training on the processor leaves it to the window meanwhile."""

    held: bool = True
    """Whether it draws. To be said again as long as it does; unsaid, it counts for `REST_SECONDS`."""


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
    drawing: bool | None
    """Whether the user's hand draws; None if nothing was said of it."""


@dataclass
class Rest:
    """Whether to leave the processor to the window, as the user's hand draws."""

    between: bool = False
    """Whether to rest between two strokes, too."""
    _until: float = 0.0

    def hear(self, heard: Heard) -> None:
        """Take in what was said."""
        if heard.drawing is not None:
            after = BETWEEN_SECONDS if self.between else 0.0
            self._until = time.monotonic() + (REST_SECONDS if heard.drawing else after)

    @property
    def due(self) -> bool:
        """Whether to rest at this moment."""
        return time.monotonic() < self._until


def hear(control: Control) -> Heard:
    """Take the user's messages."""
    messages = list(control.receive())
    views = [message for message in messages if isinstance(message, ShowSlice)]
    drawings = [message.held for message in messages if isinstance(message, Drawing)]
    return Heard(
        any(isinstance(message, Stop) for message in messages),
        views[-1] if views else None,
        [message for message in messages if isinstance(message, LookAround)],
        [message for message in messages if isinstance(message, LabelsChanged)],
        drawings[-1] if drawings else None,
    )
