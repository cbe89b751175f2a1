"""Taking over what a model predicts into a user's labels, without touching what a human did."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.annotation.record import Annotation, Box, Labels, ModelVersion
from napari_medseg.data.sample import BACKGROUND_VALUE
from napari_medseg.errors import DataError


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a model predicts, and which part of it the user accepts."""

    predicted: Labels
    """Class values on the grid of the user's labels; 0 is background."""
    model: ModelVersion
    """Who says so."""
    classes: tuple[int, ...]
    """Values that are accepted; `BACKGROUND_VALUE` among them accepts background, too."""
    box: Box = ()
    """Where; everywhere if empty."""
    mask: NDArray[np.bool_] | None = None
    """Which voxels of the box, such as one connected component; all of them if None."""


@dataclass(frozen=True, eq=False)
class Accepted:
    """A box of labels with what was accepted, to be written in place of the old."""

    labels: Labels
    """The box."""
    source: NDArray[np.unsignedinteger]
    """The box of `Annotation.source`."""
    written: NDArray[np.unsignedinteger]
    """The box of `Annotation.written`."""
    changed: int
    """Voxels whose label changes."""
    kept: int
    """Voxels that a human labelled otherwise, and that stay."""
    locked: int
    """Voxels that stay because a class is locked."""


def accept(labels: Labels, annotation: Annotation, proposal: Proposal) -> Accepted:
    """Return the labels with what the user accepts of a prediction; changes nothing but the room of `annotation`.

    Written are voxels that are unlabelled, or that hold what a model wrote: a human's voxels stay, also where the human
    corrected a model. What an earlier prediction gave to an accepted class and the new one does not is unlabelled
    again. Voxels of a locked class stay, and none become of a locked class.

    Parameters
    ----------
    labels : integer array
        The user's label map.
    annotation : Annotation
        What is known of it.
    proposal : Proposal
        What to accept.

    Returns
    -------
    Accepted
        The part at ``proposal.box``.

    Raises
    ------
    DataError
        If the prediction is on another grid.
    """
    if proposal.predicted.shape != labels.shape:
        raise DataError(
            f"The prediction has {proposal.predicted.shape} voxels, but the labels have {labels.shape}.",
            "Accept a prediction on the image that the labels were made for.",
        )
    wanted = _wanted(proposal)
    dtype = np.promote_types(labels.dtype, np.min_scalar_type(int(wanted.max(initial=0))))
    number = annotation.number_of(proposal.model)
    annotation.make_room(number, dtype)
    assert annotation.source is not None
    assert annotation.written is not None
    old = labels[proposal.box]
    by_model = annotation.by_model(labels, proposal.box)
    asked = (wanted != old) & ((wanted != 0) | (by_model & np.isin(old, proposal.classes)))
    if proposal.mask is not None:
        asked &= proposal.mask & (wanted != 0)
    free = (old == 0) | by_model
    closed = list(annotation.locked)
    locked = np.isin(old, closed) | np.isin(wanted, closed) if closed else np.zeros(old.shape, bool)
    change = asked & free & ~locked
    source, written = annotation.source[proposal.box], annotation.written[proposal.box]
    return Accepted(
        labels=np.where(change, wanted.astype(dtype), old).astype(dtype, copy=False),
        source=np.where(change, np.where(wanted != 0, source.dtype.type(number), source.dtype.type(0)), source),
        written=np.where(change, wanted.astype(written.dtype), written),
        changed=int(np.count_nonzero(change)),
        kept=int(np.count_nonzero(asked & ~free)),
        locked=int(np.count_nonzero(asked & free & locked)),
    )


def _wanted(proposal: Proposal) -> Labels:
    """Return what the accepted part says in the user's three states: 0 for nothing."""
    part = proposal.predicted[proposal.box]
    # A class of the value that marks background cannot be told from it in a user's labels.
    values = [value for value in proposal.classes if value not in (0, BACKGROUND_VALUE)]
    wanted = np.where(np.isin(part, values), part, part.dtype.type(0))
    if BACKGROUND_VALUE not in proposal.classes:
        return wanted
    wide = wanted.astype(np.promote_types(wanted.dtype, np.uint8), copy=False)
    return np.where(part == 0, wide.dtype.type(BACKGROUND_VALUE), wide)


def check_names(own: dict[int, str], predicted: dict[int, str], values: Sequence[int]) -> None:
    """Raise `DataError` if a value means another class in the prediction than in the user's labels.

    Parameters
    ----------
    own, predicted : dict of int to str
        Names of the classes by value. A name such as “class 2”, which nobody chose, agrees with any.
    values : sequence of int
        Those that matter.
    """
    for value in values:
        here, there = own.get(value, ""), predicted.get(value, "")
        given = f"class {value}"
        if here and there and here != there and given not in (here, there):
            raise DataError(
                f"Class {value} is “{there}” in the prediction but “{here}” in the labels.",
                "Give the class the same name, or accept only classes that mean the same.",
            )
