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
    """What an update changed."""

    start: tuple[int, ...]
    """First changed index along each axis."""
    stop: tuple[int, ...]
    """One past the last changed index along each axis."""
    ignored: tuple[int, ...] = ()
    """Values in the box that belong to no class; unlabelled in the copy."""


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

    def update(self, labels: NDArray[np.integer], within: Box | None = None) -> Edit | None:
        """Bring the copy up to date with `labels`.

        Parameters
        ----------
        labels : integer array
            The whole label map; not kept.
        within : tuple of slice, optional
            Where to look for changes; everywhere if None.

        Returns
        -------
        Edit or None
            The smallest box of changes, or None if there were none.
        """
        if labels.shape != self._data.shape:
            raise GeometryError(
                f"The labels now have {labels.shape} voxels instead of {self._data.shape}.",
                "Stop the training and start a new one on these labels.",
            )
        box = within or tuple(slice(0, n) for n in labels.shape)
        rows = max(1, BLOCK_BYTES // max(1, labels[:1].nbytes))
        first, last = box[0].indices(labels.shape[0])[:2]
        edits = []
        for start in range(first, last, rows):
            edit = self._update_block(labels, (slice(start, min(start + rows, last)), *box[1:]))
            edits += [edit] if edit else []
        return _joined(edits)

    def _update_block(self, labels: NDArray[np.integer], block: Box) -> Edit | None:
        changed = labels[block] != self._data[block]
        if not changed.any():
            return None
        inner = _bounding_box(changed, block)
        known, ignored = self._known(labels[inner])
        old = self._data[inner]
        differs = known != old
        if not differs.any():
            return None
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


def _joined(edits: list[Edit]) -> Edit | None:
    if not edits:
        return None
    return Edit(
        tuple(min(starts) for starts in zip(*(e.start for e in edits), strict=True)),
        tuple(max(stops) for stops in zip(*(e.stop for e in edits), strict=True)),
        tuple(sorted({value for e in edits for value in e.ignored})),
    )
