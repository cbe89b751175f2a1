"""The copy of the user's labels that the worker process trains on, kept up to date stroke by stroke."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import GeometryError

BLOCK_BYTES = 1 << 24
"""Compared at once, so that little memory is used and other threads get their turn."""

Box = tuple[slice, ...]


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

    def update(self, labels: NDArray[np.integer], within: Box | None = None) -> Edit:
        """Bring the copy up to date with `labels`.

        Parameters
        ----------
        labels : integer array
            The whole label map; not kept.
        within : tuple of slice, optional
            Where to look for changes; everywhere if None.

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
        return _joined([self._update_block(labels, (block, *box[1:])) for block in blocks])

    def _update_block(self, labels: NDArray[np.integer], block: Box) -> Edit:
        changed = labels[block] != self._data[block]
        if not changed.any():
            return Edit()
        inner = _bounding_box(changed, block)
        known, ignored = self._known(labels[inner])
        differs = known != self._data[inner]
        if not differs.any():
            return Edit(ignored=ignored)
        inner = _bounding_box(differs, inner)
        self._data[inner] = self._known(labels[inner])[0]
        return Edit(tuple(s.start for s in inner), tuple(s.stop for s in inner), ignored)

    def _known(self, labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], tuple[int, ...]]:
        """Return labels with 0 in place of unknown values, and those values."""
        unknown = ~np.isin(labels, self._values)
        if not unknown.any():
            return labels, ()
        return np.where(unknown, 0, labels), tuple(int(v) for v in np.unique(labels[unknown]))


def _bounding_box(mask: NDArray[np.bool_], within: Box) -> Box:
    """Return the smallest box around the true voxels of `mask`, which lies at `within` in a larger array."""
    box = []
    for axis, place in enumerate(within):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        box.append(slice(place.start + int(hits[0]), place.start + int(hits[-1]) + 1))
    return tuple(box)


def _joined(edits: list[Edit]) -> Edit:
    starts = [e.start for e in edits if e.start is not None]
    stops = [e.stop for e in edits if e.stop is not None]
    ignored = tuple(sorted({value for e in edits for value in e.ignored}))
    if not starts:
        return Edit(ignored=ignored)
    lowest, highest = tuple(map(min, zip(*starts, strict=True))), tuple(map(max, zip(*stops, strict=True)))
    return Edit(lowest, highest, ignored)
