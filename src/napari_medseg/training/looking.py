"""What a training shows while it runs: the slice in view, and slices all over a volume to find where to look next."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from napari_medseg.device import Precision
from napari_medseg.inference.preview import UTMOST, SliceAnswer, answer_of, answer_slice, slice_logits
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.sketch import LEAST_PROBABILITY
from napari_medseg.training.choosing import Winner, blended
from napari_medseg.training.messages import LookAround, ShowSlice
from napari_medseg.training.prepare import LoadedCase
from napari_medseg.training.sketch.plane import plane_logits
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


def number_of(cases: Sequence[LoadedCase], sample: str) -> int | None:
    """Return the number of a case by its identifier; None if there is none."""
    return next((number for number, case in enumerate(cases) if case.case.id == sample), None)


def looked_at(cases: Sequence[LoadedCase], view: ShowSlice) -> int | None:
    """Return the number of the case that has the slice in view; None if none has."""
    number = number_of(cases, view.sample)
    if number is None:
        return None
    shape = cases[number].sample.grid.shape
    return number if 0 <= view.axis < len(shape) and 0 <= view.index < shape[view.axis] else None


@dataclass
class Survey:
    """Which slices to look at, and when."""

    asked: LookAround | None = None
    _number: int = 0
    """Of the case."""
    _order: list[int] = field(default_factory=list)
    _next: int = 0
    _at_once: float = 0.0
    """Seconds that may be taken before the share of the time counts."""
    _due: float = 0.0

    def ask(self, asked: LookAround, cases: Sequence[LoadedCase]) -> None:
        """Look around in one of the cases from now on, at all slices in turn; at some at once."""
        number = number_of(cases, asked.sample)
        if number is None:
            return
        if asked != self.asked:
            shape = cases[number].sample.grid.shape
            count = shape[asked.axis] if 0 <= asked.axis < len(shape) else 0
            self.asked, self._number, self._order, self._next = asked, number, spread(count), 0
        self._at_once = AT_ONCE_SECONDS

    def slices(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield number of the case, and axis and index of each slice to look at now.

        The time that the caller takes for each counts.
        """
        while self.asked is not None and self._order:
            started = time.monotonic()
            if self._at_once <= 0 and started < self._due:
                return
            yield self._number, (self.asked.axis, self._order[self._next % len(self._order)])
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

    def says(self, who: Winner, number: int, case: LoadedCase, place: tuple[int, int]) -> SliceAnswer:
        """Return what a model, or both together, say of a slice that the user looks at.

        Parameters
        ----------
        who : {"network", "sketch", "blend"}
            The network where there is no pixel classifier.
        number : int
            Of the image.
        case : LoadedCase
            The image.
        place : tuple of int
            Axis and index of the slice in the image's own array.
        """
        if who == "network" or self.teaching is None:
            return self._network_says(case, place)
        plane = self._plane(self.teaching, number, case, place, keep=True)
        if who == "blend":
            plane = _blend(plane, slice_logits(self.network, case.grid, self.spec, place, self.precision))
        return answer_of(plane, case.grid, self.spec, place[0])

    def _network_says(self, case: LoadedCase, place: tuple[int, int]) -> SliceAnswer:
        def answer(place: tuple[int, int]) -> SliceAnswer:
            return answer_slice(self.network, case.grid, self.spec, place, self.precision)

        return answer(place) if case.part is None else case.part.slice_of(place, answer)

    def survey(self, number: int, case: LoadedCase, place: tuple[int, int], by: Winner) -> SliceAnswer:
        """Return what the better model says of a slice, in doubt also where the other one disagrees.

        Parameters
        ----------
        number : int
            Of the image.
        case : LoadedCase
            The image.
        place : tuple of int
            Axis and index of the slice.
        by : {"network", "sketch", "blend"}
            Which is the best one.
        """
        if self.teaching is None:
            return self._network_says(case, place)
        plane = self._plane(self.teaching, number, case, place, keep=False)
        sketch = answer_of(plane, case.grid, self.spec, place[0])
        if self._seconds > SLOW_SECONDS:
            return sketch
        started = time.monotonic()
        logits = slice_logits(self.network, case.grid, self.spec, place, self.precision, overlap=0.0)
        self._seconds = time.monotonic() - started
        network = answer_of(logits, case.grid, self.spec, place[0])
        best = {"network": network, "sketch": sketch}.get(by)
        if best is None:
            best = answer_of(_blend(plane, logits), case.grid, self.spec, place[0])
        return SliceAnswer(best.labels, np.where(sketch.labels != network.labels, np.uint8(UTMOST), best.doubt))

    @staticmethod
    def _plane(teaching: Teaching, number: int, case: LoadedCase, place: tuple[int, int], keep: bool) -> torch.Tensor:
        return plane_logits(teaching.network, teaching.features[number], case.grid, teaching.spec, place, keep)


def _blend(sketch: torch.Tensor, network: torch.Tensor) -> torch.Tensor:
    """Return logits of the weighed mean of the probabilities that two (class, z, y, x) logits give."""
    return blended(network, sketch.float().softmax(dim=0)).clamp_min(LEAST_PROBABILITY).log()
