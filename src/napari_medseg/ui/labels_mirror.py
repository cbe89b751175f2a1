"""The copy of the user's labels that the worker process trains on, kept up to date stroke by stroke."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.errors import GeometryError

BLOCK_BYTES = 1 << 24
"""Compared at once, so that little memory is used and other threads get their turn."""

Box = tuple[slice, ...]
Rule = Callable[[NDArray[np.integer], Box], NDArray[np.integer]]
"""Takes a whole label map and a box of it, and returns what the worker is to know of the box."""


@dataclass(frozen=True)
class Edit:
    """What an update found."""

    start: tuple[int, ...] | None = None
    """First changed index along each axis; None if nothing was changed in the copy."""
    stop: tuple[int, ...] | None = None
    """One past the last changed index along each axis."""
    ignored: tuple[int, ...] = ()
    """Values among the user's changes that belong to no class; unlabelled in the copy."""


class LabelsMirror:
    """Writes what changed in a label map into a memory-mapped copy of it.

    Parameters
    ----------
    folder : Path
        A ``.medvol`` folder.
    values : iterable of int
        Label values that the training knows; others count as unlabelled.
    """

    def __init__(self, folder: Path, values: Iterable[int]) -> None:
        self._data: NDArray[np.integer] = np.load(folder / "data.npy", mmap_mode="r+", allow_pickle=False)
        self._values = np.array(sorted({0, *values}))

    def update(self, labels: NDArray[np.integer], within: Box | None = None, rule: Rule | None = None) -> Edit:
        """Bring the copy up to date with `labels`.

        Parameters
        ----------
        labels : integer array
            The whole label map; not kept.
        within : tuple of slice, optional
            Where to look for changes; everywhere if None.
        rule : callable, optional
            Gives the labels of a box their meaning; by default they are taken as they are.

        Returns
        -------
        Edit
            With the smallest box of changes.
        """
        if labels.shape != self._data.shape:
            raise GeometryError(
                f"The labels now have {labels.shape} voxels instead of {self._data.shape}.",
                "Stop the training and start a new one on these labels.",
            )
        box = within or tuple(slice(0, n) for n in labels.shape)
        rows = max(1, BLOCK_BYTES // max(1, labels[:1].nbytes))
        first, last = box[0].indices(labels.shape[0])[:2]
        blocks = (slice(start, min(start + rows, last)) for start in range(first, last, rows))
        told = rule or _as_they_are
        places = [
            (block, *(slice(*part.indices(n)[:2]) for part, n in zip(box[1:], labels.shape[1:], strict=True)))
            for block in blocks
        ]
        return _joined([self._update_block(told(labels, place), place) for place in places])

    def _update_block(self, labels: NDArray[np.integer], block: Box) -> Edit:
        """Take over the labels of a block."""
        changed = labels != self._data[block]
        if not changed.any():
            return Edit()
        inside = _bounding_box(changed)
        known, ignored = self._known(labels[inside])
        inner = _within(inside, block)
        differs = known != self._data[inner]
        if not differs.any():
            return Edit(ignored=ignored)
        last = _bounding_box(differs)
        inner = _within(last, inner)
        self._data[inner] = known[last]
        return Edit(tuple(s.start for s in inner), tuple(s.stop for s in inner), ignored)

    def _known(self, labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], tuple[int, ...]]:
        """Return labels with 0 in place of unknown values, and those values.

        Where everything is labelled 0 is background, so painted background is 0 without being a value that is missed.
        """
        unknown = ~np.isin(labels, self._values)
        if not unknown.any():
            return labels, ()
        ignored = tuple(int(v) for v in np.unique(labels[unknown]) if v != BACKGROUND_VALUE)
        return np.where(unknown, 0, labels), ignored


def _as_they_are(labels: NDArray[np.integer], box: Box) -> NDArray[np.integer]:
    return labels[box]


def _bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box around the true voxels of `mask`."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(box)


def _within(box: Box, outer: Box) -> Box:
    """Return the place of a box that is told within another."""
    return tuple(slice(o.start + b.start, o.start + b.stop) for b, o in zip(box, outer, strict=True))


def _joined(edits: list[Edit]) -> Edit:
    starts = [e.start for e in edits if e.start is not None]
    stops = [e.stop for e in edits if e.stop is not None]
    ignored = tuple(sorted({value for e in edits for value in e.ignored}))
    if not starts:
        return Edit(ignored=ignored)
    lowest, highest = tuple(map(min, zip(*starts, strict=True))), tuple(map(max, zip(*stops, strict=True)))
    return Edit(lowest, highest, ignored)
