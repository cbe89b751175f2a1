"""What a training shows while it runs: the slice in view, and slices all over a volume to find where to look next."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from napari_medseg.device import Precision
from napari_medseg.inference.preview import UTMOST, SliceAnswer, answer_slice
from napari_medseg.models import ModelSpec
from napari_medseg.models.configs import OVERLAP
from napari_medseg.training.messages import LookAround
from napari_medseg.training.prepare import LoadedCase
from napari_medseg.training.sketch.plane import answer_plane
from napari_medseg.training.sketch.teaching import Teaching

SURVEY_SHARE = 0.1
"""Of the time that looking around may take."""
AT_ONCE_SECONDS = 3.0
"""Of looking around that come first when the user asks."""
SLOW_SECONDS = 3.0
"""For a slice; a slower network leaves looking around to the pixel classifier."""


def spread(count: int) -> list[int]:
    """Return all indices below `count` in an order in which any first few lie far apart.

    Examples
    --------
    >>> spread(8)
    [4, 2, 6, 1, 5, 3, 7, 0]
    """
    bits = max(count - 1, 1).bit_length()
    reversed_bits = (int(f"{k:0{bits}b}"[::-1], 2) for k in range(1, 1 << bits))
    return [*(index for index in reversed_bits if index < count), 0][:count]


@dataclass
class Survey:
    """Which slices to look at, and when."""

    asked: LookAround | None = None
    _order: list[int] = field(default_factory=list)
    _next: int = 0
    _at_once: float = 0.0
    """Seconds that may be taken before the share of the time counts."""
    _due: float = 0.0

    def ask(self, asked: LookAround, count: int) -> None:
        """Look around from now on, at `count` slices in turn; some at once."""
        if asked != self.asked:
            self.asked, self._order, self._next = asked, spread(count), 0
        self._at_once = AT_ONCE_SECONDS

    def slices(self) -> Iterator[int]:
        """Yield the slices to look at now; the time that the caller takes for each counts."""
        while self._order:
            started = time.monotonic()
            if self._at_once <= 0 and started < self._due:
                return
            yield self._order[self._next % len(self._order)]
            self._next += 1
            spent = time.monotonic() - started
            self._at_once -= spent
            self._due = time.monotonic() + spent / SURVEY_SHARE


@dataclass(eq=False)
class Onlooker:
    """The two models of a training, and what they say of a slice."""

    network: nn.Module
    spec: ModelSpec
    precision: Precision
    teaching: Teaching | None
    """With the pixel classifier, if there is one."""
    _seconds: float = 0.0
    """That the network took for the last slice."""

    def network_says(self, case: LoadedCase, place: tuple[int, int], overlap: float = OVERLAP) -> SliceAnswer:
        """Return what the network says of a slice, by axis and index of the image's own array."""

        def answer(place: tuple[int, int]) -> SliceAnswer:
            return answer_slice(self.network, case.grid, self.spec, place, self.precision, overlap)

        started = time.monotonic()
        found = answer(place) if case.part is None else case.part.slice_of(place, answer)
        self._seconds = time.monotonic() - started
        return found

    def sketch_says(self, teaching: Teaching, number: int, case: LoadedCase, place: tuple[int, int]) -> SliceAnswer:
        """Return what the pixel classifier says of a slice of image `number`."""
        return answer_plane(teaching.network, teaching.features[number], case.grid, teaching.spec, place)

    def survey(self, number: int, case: LoadedCase, place: tuple[int, int], by_sketch: bool) -> SliceAnswer:
        """Return what the better model says of a slice, in doubt also where the other one disagrees.

        Parameters
        ----------
        number : int
            Of the image.
        case : LoadedCase
            The image.
        place : tuple of int
            Axis and index of the slice.
        by_sketch : bool
            Whether the pixel classifier is the better one.
        """
        if self.teaching is None:
            return self.network_says(case, place, overlap=0.0)
        teaching = self.teaching
        plane = answer_plane(teaching.network, teaching.features[number], case.grid, teaching.spec, place, keep=False)
        if self._seconds > SLOW_SECONDS:
            return plane
        network = self.network_says(case, place, overlap=0.0)
        best = plane if by_sketch else network
        return SliceAnswer(best.labels, np.where(plane.labels != network.labels, np.uint8(UTMOST), best.doubt))
