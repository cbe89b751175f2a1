"""A labelled image as the network sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.grid import GridMap
from napari_medseg.errors import DataError
from napari_medseg.tasks import UNLABELLED
from napari_medseg.volume import LabelClass

BACKGROUND_VALUE = 255
"""Value of explicit background in sparse labels, where 0 means unlabelled."""
Scheme = Literal["sparse", "dense", "foreground"]
_UNKNOWN = -2


@dataclass(frozen=True, eq=False)
class Sample:
    """An image and what is known of its voxels, on the network's grid."""

    id: str
    """Identifier within the run."""
    image: NDArray[np.float32]
    """(channel, z, y, x) normalised network input."""
    target: NDArray[np.int16]
    """(z, y, x) class indices, 0 for background, `UNLABELLED` where the user said nothing; `relabel` changes it."""
    classes: tuple[LabelClass, ...]
    """Background first; class k has index k in `target`."""
    scheme: Scheme
    """Whether 0 in the labels is unlabelled (sparse) or background (dense, foreground)."""
    grid: GridMap
    """From the labels' own array to the network's grid."""
    group: str = ""
    """Patient; never split between training and validation."""

    def relabel(
        self, labels: NDArray[Any], start: Sequence[int] | None = None, stop: Sequence[int] | None = None
    ) -> tuple[slice, ...]:
        """Take over edited labels.

        Parameters
        ----------
        labels : integer array
            The whole label map, on its own grid.
        start, stop : sequence of int, optional
            First and one past last changed index along each axis of `labels`; all of it if None.

        Returns
        -------
        tuple of slice
            The part of `target` that was rewritten.
        """
        box = self.grid.box_of(start or (0,) * labels.ndim, stop or labels.shape)
        self.target[box] = _target(self.grid, labels, box, self.classes, self.scheme, self.id)
        return box


def make_sample(
    image: NDArray[np.float32],
    labels: NDArray[Any],
    classes: Sequence[LabelClass],
    *,
    scheme: Scheme = "sparse",
    grid: GridMap | None = None,
    id: str = "sample",  # noqa: A002 - the field's name
    group: str = "",
) -> Sample:
    """Bring labels to an image's network grid.

    Parameters
    ----------
    image : (channel, z, y, x) float32 array
        Normalised, on the network's grid.
    labels : integer array
        Class values on the image's own grid; left as they are.
    classes : sequence of LabelClass
        Background first.
    scheme : {"sparse", "dense", "foreground"}
        Sparse: 0 is unlabelled and `BACKGROUND_VALUE` is background. Dense: 0 is background. Foreground: the same, and
        every other value is the one class that there is.
    grid : GridMap, optional
        From the labels' array to the network's grid; if None both are the same.
    id : str
        Identifier, for messages.
    group : str
        Patient.

    Returns
    -------
    Sample
        With every voxel unlabelled, background, or of a class.

    Raises
    ------
    DataError
        If shapes disagree, or the labels hold values that no class has.

    Examples
    --------
    >>> strokes = np.array([[[0, 255, 7]]])
    >>> classes = LabelClass(value=0, name="background"), LabelClass(value=7, name="bone")
    >>> make_sample(np.zeros((1, 1, 1, 3), np.float32), strokes, classes).target
    array([[[-1,  0,  1]]], dtype=int16)
    """
    grid = grid or GridMap.identity(image.shape[1:])
    if grid.shape != labels.shape or grid.grid_shape != image.shape[1:]:
        raise DataError(
            f"{id}: the labels have {labels.shape} voxels, but their image has {grid.shape}.",
            "Use labels that were drawn on this image.",
        )
    target = _target(grid, labels, (slice(None),) * 3, classes, scheme, id)
    return Sample(id, np.ascontiguousarray(image, np.float32), target, tuple(classes), scheme, grid, group or id)


def target_indices(
    labels: NDArray[Any], classes: Sequence[LabelClass], scheme: Scheme, name: str = "labels"
) -> NDArray[np.int16]:
    """Return class indices for label values.

    Parameters
    ----------
    labels : numeric array
        Class values; see `make_sample`.
    classes : sequence of LabelClass
        Background first.
    scheme : {"sparse", "dense", "foreground"}
        Meaning of the values; see `make_sample`.
    name : str
        For messages.

    Returns
    -------
    int16 array
        Class indices, `UNLABELLED` where unlabelled.

    Raises
    ------
    DataError
        If values are not whole numbers or belong to no class.
    """
    if scheme == "foreground":
        return np.asarray(labels != 0, np.int16)
    table = {c.value: index for index, c in enumerate(classes)}
    if scheme == "sparse":
        if table.get(BACKGROUND_VALUE, 0) != 0:
            raise DataError(
                f"{name}: class {classes[table[BACKGROUND_VALUE]].name!r} has the value {BACKGROUND_VALUE}, which "
                "stands for background in strokes.",
                "Give the class another value.",
            )
        table |= {0: UNLABELLED, BACKGROUND_VALUE: 0}
    top = max(table) + 1
    lookup = np.full(top + 1, _UNKNOWN, np.int16)
    lookup[list(table)] = list(table.values())
    whole = labels.astype(np.int64) if labels.dtype.kind not in "ui" else labels
    if whole is not labels and not np.array_equal(whole, labels):
        raise DataError(f"{name}: the labels are not whole numbers.", "Use a label map, not an image.")
    # everything out of the table's range meets its last entry, which no class has
    target = lookup[np.where((whole < 0) | (whole >= top), top, whole)]
    unknown = target == _UNKNOWN
    if unknown.any():
        values = sorted({int(v) for v in np.unique(whole[unknown])})
        shown = ", ".join(map(str, values[:10])) + (", ..." if len(values) > 10 else "")
        known = ", ".join(f"{c.value} {c.name}" for c in classes)
        raise DataError(
            f"{name}: the labels hold the values {shown}, but the classes are {known}.",
            "Add a class for each value, or erase these voxels.",
        )
    return target


def _target(
    grid: GridMap,
    labels: NDArray[Any],
    box: tuple[slice, ...],
    classes: Sequence[LabelClass],
    scheme: Scheme,
    name: str,
) -> NDArray[np.int16]:
    target = target_indices(grid.apply(labels, box=box), classes, scheme, name)
    for axis, (index, part) in enumerate(zip(grid.indices, box, strict=True)):
        target[(slice(None),) * axis + (index[part] < 0,)] = UNLABELLED
    return target
