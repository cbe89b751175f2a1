"""What a stroke of napari's brush changed, from the event that tells of it."""

from collections.abc import Callable, Iterator, MutableSequence, Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QCoreApplication, QTimer

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

Atom = tuple[object, ...]
"""One edit: where (a slice or an array of indices per axis), for the brush a mask within the slices (None if all of
them changed), the values before, and the new value."""
Box = tuple[slice, ...]
BRUSH_FIELDS = 4


def atom_places(atoms: Sequence[Atom], shape: tuple[int, ...]) -> "Iterator[tuple[Box, NDArray[np.bool_] | None]]":
    """Yield the box of each edit, and which voxels of it were changed; None for all.

    Parameters
    ----------
    atoms : sequence of tuple
        The value of napari's paint event.
    shape : tuple of int
        Of the labels.
    """
    for where, *more in atoms:
        assert isinstance(where, tuple)
        if all(isinstance(part, slice) for part in where):
            mask = more[0] if len(more) == BRUSH_FIELDS - 1 else None
            yield tuple(slice(*part.indices(n)[:2]) for part, n in zip(where, shape, strict=True)), mask  # type: ignore[misc]
        else:
            indices = np.broadcast_arrays(*(np.atleast_1d(part) for part in where))
            box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in indices)
            mask = np.zeros([part.stop - part.start for part in box], bool)
            mask[tuple(axis - part.start for axis, part in zip(indices, box, strict=True))] = True
            yield box, mask


def fits(atoms: Sequence[Atom], shape: tuple[int, ...]) -> bool:
    """Return whether a stroke can be one on an array of `shape`, and not of an array that is gone."""
    try:
        return all(0 <= part.start < part.stop <= n for part, n in zip(stroke_box(atoms, shape), shape, strict=True))
    except ValueError:
        return False


def soon(work: Callable[[], object]) -> None:
    """Do something as soon as what is going on now is over; at once where no window is open."""
    if QCoreApplication.instance() is None:
        work()
    else:
        QTimer.singleShot(0, work)


def stroke_box(atoms: Sequence[Atom], shape: tuple[int, ...]) -> Box:
    """Return the box around a stroke; parameters as of `atom_places`."""
    boxes = [box for box, _ in atom_places(atoms, shape)]
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))


def without_locked(layer: "Labels", atoms: MutableSequence[Atom], locked: set[int]) -> None:
    """Take a stroke back where it painted over locked classes, in the layer and in the stroke itself.

    The stroke is an entry of napari's own history, so that to undo and redo it leaves locked classes alone, too.

    Parameters
    ----------
    layer : Labels
        Whose event it is.
    atoms : mutable sequence of tuple
        The value of napari's paint event.
    locked : set of int
        Values that stay.
    """
    values = list(locked)
    # The last first: what the first one found there is what was there before the stroke.
    for number in reversed(range(len(atoms))):
        box, mask, old = _before(atoms[number], layer.data.shape)
        held = np.isin(old, values) & mask
        if held.any():
            layer.data[box] = np.where(held, old, np.asarray(layer.data[box]))
            kept = mask & ~held
            if not kept.any():
                del atoms[number]
                continue
            places = tuple(np.nonzero(kept)[axis] + part.start for axis, part in enumerate(box))
            new = atoms[number][-1]
            new = new if np.ndim(new) == 0 else np.asarray(layer.data[places])  # type: ignore[arg-type]
            atoms[number] = (places, old[kept], new)
    layer.refresh(extent=False, thumbnail=False)


def _before(atom: Atom, shape: tuple[int, ...]) -> "tuple[Box, NDArray[np.bool_], NDArray[np.integer]]":
    """Return the box of an edit, which of its voxels were changed, and what these held before (elsewhere 0)."""
    ((box, mask),) = atom_places([atom], shape)
    found = np.asarray(atom[-2])
    if mask is None:
        mask = np.ones([part.stop - part.start for part in box], bool)
        return box, mask, found.reshape(mask.shape)
    old = np.zeros(mask.shape, found.dtype)
    if len(atom) == BRUSH_FIELDS:
        old[mask] = found
    else:
        where = atom[0]
        assert isinstance(where, tuple)
        old[tuple(np.asarray(axis) - part.start for axis, part in zip(where, box, strict=True))] = found
    return box, mask, old
