"""A log of what was done to a label map, so that it can be undone without losing what was painted since."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.volume import LabelClass

Labels = NDArray[np.integer]
Box = tuple[slice, ...]
MOST_BYTES = 1 << 30
"""The log of one label map takes no more; the oldest entries go first."""


@dataclass(frozen=True, eq=False)
class Change:
    """Which voxels of an array were changed, from what to what."""

    shape: tuple[int, ...]
    """Of the array."""
    box: Box
    """The smallest that holds them all."""
    mask: NDArray[np.uint8]
    """Packed bits over the voxels of the box."""
    before: Labels
    """(voxel,) values, in the order of the array."""
    after: Labels
    carried: tuple[tuple[Labels, Labels], ...] = ()
    """(voxel,) values before and after of further arrays, which change wherever the labels do."""

    @classmethod
    def between(cls, before: Labels, after: Labels, carried: Sequence[tuple[Labels, Labels]] = ()) -> "Change":
        """Return what differs between two arrays of one shape.

        Parameters
        ----------
        before, after : integer array
            The labels.
        carried : sequence of (before, after)
            Arrays of the same shape that say more about each voxel.
        """
        return cls.at(before.shape, tuple(slice(0, n) for n in before.shape), [(before, after), *carried])

    @classmethod
    def at(cls, shape: tuple[int, ...], box: Box, parts: Sequence[tuple[Labels, Labels]]) -> "Change":
        """Return what differs in a box of an array of `shape`.

        Parameters
        ----------
        shape : tuple of int
            Of the whole array.
        box : tuple of slice
            With a start and a stop along each axis.
        parts : sequence of (before, after)
            The box of the labels, and then of arrays that say more about each voxel.
        """
        differs = parts[0][0] != parts[0][1]
        inside = _bounding_box(differs)
        mask = differs[inside]
        (before, after), *carried = [(one[inside][mask], other[inside][mask]) for one, other in parts]
        place = tuple(slice(b.start + i.start, b.start + i.stop) for b, i in zip(box, inside, strict=True))
        return cls(shape, place, np.packbits(mask), before, after, tuple(carried))

    @property
    def voxels(self) -> int:
        """How many voxels were changed."""
        return len(self.before)

    @property
    def nbytes(self) -> int:
        """Memory that the entry takes."""
        both = [(self.before, self.after), *self.carried]
        return self.mask.nbytes + sum(one.nbytes + other.nbytes for one, other in both)

    def undo(self, labels: Labels, carried: Sequence[Labels] = ()) -> int:
        """Put the old values back, in place, where nothing else was written since; return how many were."""
        beside = [(array, old) for array, (old, _) in zip(carried, self.carried, strict=False)]
        return self._replace(labels, self.after, self.before, beside)

    def redo(self, labels: Labels, carried: Sequence[Labels] = ()) -> int:
        """Put the new values back, in place, where nothing else was written since; return how many were."""
        beside = [(array, new) for array, (_, new) in zip(carried, self.carried, strict=False)]
        return self._replace(labels, self.before, self.after, beside)

    def _replace(self, labels: Labels, old: Labels, new: Labels, beside: Sequence[tuple[Labels, Labels]]) -> int:
        shape = tuple(part.stop - part.start for part in self.box)
        mask = np.unpackbits(self.mask, count=int(np.prod(shape))).astype(bool).reshape(shape)
        view = labels[self.box]
        current = view[mask]
        untouched = current == old
        view[mask] = np.where(untouched, new, current)
        for array, values in beside:
            view = array[self.box]
            view[mask] = np.where(untouched, values, view[mask])
        return int(np.count_nonzero(untouched))


@dataclass(frozen=True, eq=False)
class Entry:
    """One thing that was done."""

    what: str
    """In a few words, for the user."""
    changes: tuple[Change, ...]
    """One per array that was changed, in the order in which the arrays are given to the log."""
    classes: tuple[tuple[LabelClass, ...], tuple[LabelClass, ...]] = ((), ())
    """Names and colours before and after."""


class History:
    """What was done to a label map, newest last, and what was undone.

    Examples
    --------
    >>> labels = np.array([1, 1, 0, 2])
    >>> history = History()
    >>> history.add(Entry("Fill holes", (Change.between(labels, np.array([1, 1, 1, 2])),)))
    >>> labels[:] = 1, 1, 1, 2
    >>> labels[0] = 5  # painted since
    >>> history.undo(labels).what
    'Fill holes'
    >>> labels.tolist(), history.redoable
    ([5, 1, 0, 2], 'Fill holes')
    """

    def __init__(self) -> None:
        self._done: list[Entry] = []
        self._undone: list[Entry] = []

    @property
    def undoable(self) -> str:
        """What `undo` would undo; empty if there is nothing."""
        return self._done[-1].what if self._done else ""

    @property
    def redoable(self) -> str:
        """What `redo` would do again; empty if there is nothing."""
        return self._undone[-1].what if self._undone else ""

    def __len__(self) -> int:
        return len(self._done)

    def add(self, entry: Entry) -> None:
        """Note what was just done; what was undone before can be done again no more."""
        self._undone.clear()
        self._done.append(entry)
        while len(self._done) > 1 and _bytes(self._done) > MOST_BYTES:
            self._done.pop(0)

    def undo(self, *arrays: Labels, carried: Sequence[Labels] = ()) -> Entry:
        """Undo the newest entry in the arrays that it changed, in place, and return it.

        Parameters
        ----------
        *arrays : integer array
            The labels, in the order of the entry's changes.
        carried : sequence of integer array
            What says more about each voxel of the first of them.

        Raises
        ------
        DataError
            If the arrays are no longer those of the entry; nothing is changed then.
        """
        entry = self._done[-1]
        for number, (change, labels) in enumerate(zip(entry.changes, _checked(entry, arrays), strict=True)):
            change.undo(labels, () if number else carried)
        self._undone.append(self._done.pop())
        return entry

    def redo(self, *arrays: Labels, carried: Sequence[Labels] = ()) -> Entry:
        """Do again what was undone last, in place, and return it; parameters and errors as in `undo`."""
        entry = self._undone[-1]
        for number, (change, labels) in enumerate(zip(entry.changes, _checked(entry, arrays), strict=True)):
            change.redo(labels, () if number else carried)
        self._done.append(self._undone.pop())
        return entry


def _checked(entry: Entry, arrays: Sequence[Labels]) -> Sequence[Labels]:
    if [change.shape for change in entry.changes] != [labels.shape for labels in arrays]:
        raise DataError(
            f"The labels have other voxels than when “{entry.what}” was done.",
            "It cannot be undone; go on from what is there.",
        )
    return arrays


def _bytes(entries: Sequence[Entry]) -> int:
    return sum(change.nbytes for entry in entries for change in entry.changes)


def _bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box around the true voxels; an empty one if there is none."""
    box = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(hits[0]), int(hits[-1]) + 1) if hits.size else slice(0, 0))
    return tuple(box)
