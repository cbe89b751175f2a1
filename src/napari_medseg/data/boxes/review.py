"""What a person says about boxes that a model found."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes

Verdict = Literal["open", "accepted", "rejected", "drawn"]
"""What was decided: nothing yet, that the model is right, that it is wrong, or that it missed what a person drew."""
MOST_STEPS = 100
"""Of undo."""


@dataclass
class Review:
    """Boxes on one image and the verdict on each; every change can be undone.

    Examples
    --------
    >>> from napari_medseg.volume import LabelClass
    >>> cell = LabelClass(value=1, name="cell")
    >>> found = Boxes(np.array([[[0, 0], [4, 4]], [[8, 8], [9, 9]]]), np.array([1, 1]), np.array([0.9, 0.3]), (cell,))
    >>> review = Review(found)
    >>> review.decide([0], "accepted")
    >>> len(review.confirmed()), review.shown(0.5).tolist()
    (1, [True, False])
    """

    boxes: Boxes
    """As relabelled, and with those that were drawn at the end."""
    verdicts: tuple[Verdict, ...] = ()
    """One per box."""
    model: tuple[str, str] | None = None
    """Name and version of the model that found the boxes, where it is known."""
    _before: list[tuple[Boxes, tuple[Verdict, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        undecided: Verdict = "open"
        self.verdicts = self.verdicts or (undecided,) * len(self.boxes)
        if len(self.verdicts) != len(self.boxes):
            raise DataError(f"{len(self.boxes)} boxes have {len(self.verdicts)} verdicts.")

    def decide(self, numbers: list[int], verdict: Verdict) -> None:
        """Set the verdict on some boxes; a drawn box that is rejected is rejected, and else stays drawn."""
        changed = list(self.verdicts)
        for number in numbers:
            if changed[number] != "drawn" or verdict == "rejected":
                changed[number] = verdict
        self._set(self.boxes, tuple(changed))

    def relabel(self, numbers: list[int], value: int) -> None:
        """Give some boxes another class, which says that there is something: they are accepted."""
        labels = self.boxes.labels.copy()
        labels[numbers] = value
        verdicts = list(self.verdicts)
        for number in numbers:
            verdicts[number] = "drawn" if verdicts[number] == "drawn" else "accepted"
        boxes = Boxes(self.boxes.edges, labels, self.boxes.scores, self.boxes.classes)
        self._set(boxes, tuple(verdicts))

    def add(self, edges: NDArray[np.float64], value: int) -> None:
        """Add boxes that a person drew.

        Parameters
        ----------
        edges : (n, 2, axes) array
            As of `Boxes`.
        value : int
            Their class.
        """
        old, count = self.boxes, len(edges)
        boxes = Boxes(
            np.concatenate([old.edges, edges]),
            np.concatenate([old.labels, np.full(count, value)]),
            np.concatenate([old.scores, np.ones(count)]),
            old.classes,
        )
        drawn: Verdict = "drawn"
        self._set(boxes, self.verdicts + (drawn,) * count)

    def undo(self) -> bool:
        """Take the last change back; without effect, and false, where there is none."""
        if not self._before:
            return False
        self.boxes, self.verdicts = self._before.pop()
        return True

    def shown(self, threshold: float, hidden: frozenset[int] = frozenset()) -> NDArray[np.bool_]:
        """Return which boxes to show: those that reach a score, or that a person confirmed, of classes not hidden."""
        sure = self.boxes.scores >= threshold
        kept = np.array([verdict in ("accepted", "drawn") for verdict in self.verdicts], bool)
        gone = np.array([verdict == "rejected" for verdict in self.verdicts], bool)
        return np.asarray((sure | kept) & ~gone & ~np.isin(self.boxes.labels, list(hidden)))

    def confirmed(self) -> Boxes:
        """Return the boxes that a person accepted or drew, as truth to learn from: with a score of 1."""
        kept = np.array([verdict in ("accepted", "drawn") for verdict in self.verdicts], bool)
        found = self.boxes.chosen(kept)
        return Boxes(found.edges, found.labels, np.ones(len(found)), found.classes)

    def _set(self, boxes: Boxes, verdicts: tuple[Verdict, ...]) -> None:
        self._before = [*self._before[-MOST_STEPS + 1 :], (self.boxes, self.verdicts)]
        self.boxes, self.verdicts = boxes, verdicts
