"""Who labelled each voxel, which slices are finished, and which classes are locked.

Nothing watches the user's hand. For each voxel it is only kept what a model last wrote there, and which model that was;
whatever a label map holds besides was put there by a human. So undo, redo and edits by other programs need no events;
only a hand that paints just what the model had written has to say so, see `Annotation.touch`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.sample import BACKGROUND_VALUE
from napari_medseg.errors import DataError

Labels = NDArray[np.integer]
Box = tuple[slice, ...]

NOBODY, HUMAN = 0, 1
"""Codes of `Annotation.origin`; models have those from 2 on, see `model_code`."""


@dataclass(frozen=True)
class ModelVersion:
    """A model whose labels a user has in hand."""

    name: str
    """Of the model."""
    version: str
    """What tells it from others of that name: the beginning of its hash, or the step of a training."""
    confirmed: bool = True
    """Whether the user accepted its labels; False for a prediction that is corrected in place."""

    def __str__(self) -> str:
        return f"{self.name} ({self.version})"


def model_code(number: int) -> int:
    """Return the code of voxels that hold what model `number` (from 1 on) wrote."""
    return 2 * number


def corrected_code(number: int) -> int:
    """Return the code of voxels that model `number` (from 1 on) wrote and a human changed."""
    return 2 * number + 1


@dataclass(eq=False)
class Annotation:
    """What is known of a label map beside its values, on the map's own grid.

    Examples
    --------
    >>> labels = np.array([[0, 3], [0, 0]], np.uint8)
    >>> annotation = Annotation(labels.shape)
    >>> annotation.finish_slice(0, 1)
    >>> annotation.taught(labels)
    array([[  0,   3],
           [255, 255]], dtype=uint8)
    >>> annotation.origin(labels)
    array([[0, 1],
           [0, 0]], dtype=uint16)
    """

    shape: tuple[int, ...]
    """Of the label map."""
    models: list[ModelVersion] = field(default_factory=list)
    """Those that wrote something, in the order in which they came."""
    source: NDArray[np.unsignedinteger] | None = None
    """Per voxel, the number of the model that wrote it last (from 1 on), 0 for none; None where no model wrote."""
    written: NDArray[np.unsignedinteger] | None = None
    """Per voxel, the value that this model wrote; None as `source`."""
    finished: set[tuple[int, int]] = field(default_factory=set)
    """(axis, index) of the slices in which everything that belongs to a class is labelled."""
    complete: bool = False
    """Whether that is so for all of the volume."""
    locked: set[int] = field(default_factory=set)
    """Values that nothing but the user's own hand may paint or paint over."""
    learn_accepted: bool = True
    """Whether training takes accepted voxels for the truth, as it does the user's own."""

    def number_of(self, model: ModelVersion) -> int:
        """Return the number of a model, from 1 on; one that is not known yet gets the next."""
        if model not in self.models:
            self.models.append(model)
        return self.models.index(model) + 1

    def make_room(self, number: int, dtype: "np.dtype[np.unsignedinteger]") -> None:
        """Give the arrays room for model `number` and for labels of a type."""
        wide = np.min_scalar_type(number)
        if self.source is None or self.written is None:
            self.source, self.written = np.zeros(self.shape, wide), np.zeros(self.shape, dtype)
            return
        self.source = self.source.astype(np.promote_types(self.source.dtype, wide), copy=False)
        self.written = self.written.astype(np.promote_types(self.written.dtype, dtype), copy=False)

    def all_by(self, model: ModelVersion, labels: Labels) -> list[tuple[Labels, Labels]]:
        """Note that a model wrote the whole label map.

        Returns
        -------
        list of (before, after)
            `source` and `written`; empty if no model wrote anything before.
        """
        before = (self.source, self.written)
        number = np.min_scalar_type(len(self.models) + 1).type(self.number_of(model))
        self.source = np.where(labels != 0, number, number.dtype.type(0))
        self.written = labels.astype(np.min_scalar_type(int(labels.max(initial=0))))
        if before[0] is None or before[1] is None:
            return []
        return [(before[0], self.source), (before[1], self.written)]

    def by_model(self, labels: Labels, box: Box = ()) -> NDArray[np.bool_]:
        """Return which voxels hold what a model wrote, untouched by a human.

        Parameters
        ----------
        labels : integer array
            The whole label map.
        box : tuple of slice
            The part of it that is asked for; all of it if empty.
        """
        part = self._checked(labels)[box]
        if self.source is None or self.written is None:
            return np.zeros(part.shape, bool)
        found: NDArray[np.bool_] = self.source[box] > 0
        found &= (part == self.written[box]) & (part != 0)
        return found

    def touch(self, labels: Labels, box: Box, mask: NDArray[np.bool_] | None = None) -> None:
        """Note that a hand just painted here: voxels count as corrected even if they are as the model had them.

        Parameters
        ----------
        labels : integer array
            The whole label map, after the stroke.
        box : tuple of slice
            Around the stroke.
        mask : bool array, optional
            The voxels of the box that the stroke changed; all of them if None.
        """
        if self.written is not None:
            back = self.by_model(labels, box) if mask is None else self.by_model(labels, box) & mask
            self.written[box][back] = 0

    def by_human(self, labels: Labels, box: Box = ()) -> NDArray[np.bool_]:
        """Return which voxels a human labelled, or corrected."""
        return np.asarray((labels[box] != 0) & ~self.by_model(labels, box))

    def origin(self, labels: Labels, box: Box = ()) -> NDArray[np.uint16]:
        """Return who labelled each voxel of a box: 0 nobody, `HUMAN`, `model_code` or `corrected_code`."""
        part = self._checked(labels)[box]
        codes = np.where(part != 0, np.uint16(HUMAN), np.uint16(NOBODY))
        if self.source is not None and self.written is not None:
            source, written = self.source[box].astype(np.uint16), self.written[box]
            known = (source > 0) & (part != 0)
            codes = np.where(known, 2 * source + (part != written), codes).astype(np.uint16)
        return codes

    def describe(self, code: int) -> str:
        """Return what a code of `origin` means, for the user."""
        if code in (NOBODY, HUMAN):
            return ("unlabelled", "human")[code]
        model = self.models[code // 2 - 1]
        return f"{model}, corrected by a human" if code % 2 else str(model)

    def finish_slice(self, axis: int, index: int, finished: bool = True) -> None:
        """Note that everything is labelled in a slice, or that it is not; `DataError` for a slice that is none."""
        if not (0 <= axis < len(self.shape) and 0 <= index < self.shape[axis]):
            raise DataError(f"There is no slice {index} along axis {axis} of labels of shape {self.shape}.")
        (self.finished.add if finished else self.finished.discard)((axis, index))

    def is_finished(self, axis: int, index: int) -> bool:
        """Return whether everything is labelled in a slice."""
        return self.complete or (axis, index) in self.finished

    def finished_mask(self, box: Box = ()) -> NDArray[np.bool_]:
        """Return which voxels of a box lie in a finished slice."""
        if self.complete:
            return np.ones(self._place(box).shape, bool)
        part = self._place(box)
        mask = np.zeros(part.shape, bool)
        # a copy: another thread may ask while the user marks a slice
        for axis, index in tuple(self.finished):
            along = np.broadcast_to(_axis_index(self.shape, axis), self.shape)[box]
            mask |= along == index
        return mask

    def taught(self, labels: Labels, box: Box = ()) -> Labels:
        """Return what a training is told: the one place where finished slices and accepted voxels get their meaning.

        In a finished slice, what is unlabelled is background, and everything else is right. Elsewhere a human's voxels
        count as they are, a model's only where the user accepted them and `learn_accepted` is set.

        Parameters
        ----------
        labels : integer array
            The whole label map: 0 unlabelled, 255 background, else the class.
        box : tuple of slice
            The part that is asked for; all of it if empty.

        Returns
        -------
        integer array
            The box in the same three states; a view of `labels` where nothing is to be said.
        """
        told = self._checked(labels)[box]
        finished = self.finished_mask(box) if self.complete or self.finished else None
        doubted = [k for k, model in enumerate(self.models, 1) if not (model.confirmed and self.learn_accepted)]
        if doubted and self.source is not None:
            doubtful = self.by_model(labels, box) & np.isin(self.source[box], doubted)
            told = np.where(doubtful if finished is None else doubtful & ~finished, told.dtype.type(0), told)
        if finished is not None:
            told = np.where((told == 0) & finished, told.dtype.type(BACKGROUND_VALUE), told)
        return told

    def _checked(self, labels: Labels) -> Labels:
        if labels.shape != self.shape:
            raise DataError(
                f"The labels have {labels.shape} voxels, but what is known of them is for {self.shape}.",
                "Use the labels that this was noted for.",
            )
        return labels

    def _place(self, box: Box) -> NDArray[np.bool_]:
        return np.broadcast_to(np.bool_(False), self.shape)[box]


def _axis_index(shape: Sequence[int], axis: int) -> NDArray[np.intp]:
    """Return the index along one axis, to be broadcast to `shape`."""
    return np.arange(shape[axis]).reshape([-1 if other == axis else 1 for other in range(len(shape))])
