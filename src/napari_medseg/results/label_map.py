"""A label volume as the tools of this package take it: whole numbers on two or three axes, with named classes."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.prediction import LabelMap
from napari_medseg.volume import LabelClass, Volume

MOST_CLASSES = 1024
"""A label map with more values than this numbers objects, not classes."""
PLANES = 32
"""Planes looked at together, so that memory does not grow with the image."""


def label_map(volume: Volume, unlabelled: int = 0) -> LabelMap:
    """Return the labels of a volume with a class for each value that is named or occurs.

    Parameters
    ----------
    volume : Volume
        Of kind ``"labels"``, without leading axes longer than one.
    unlabelled : int
        Another value that is background, such as `napari_medseg.data.BACKGROUND_VALUE` in labels that a user painted.

    Returns
    -------
    LabelMap
        Labels of the volume's spatial shape, and the classes in order of value, background first. A value without a
        name is called ``class 7``.

    Raises
    ------
    DataError
        If the values are no class numbers, or there is more than one frame.
    """
    if volume.rgb or int(np.prod(volume.data.shape)) != int(np.prod(volume.spatial_shape)):
        raise DataError(
            f"{volume.name} holds several label maps, along {', '.join(volume.axes) or 'colour'}.",
            "Choose one of them, for instance with Layer > Split Stack.",
        )
    labels = _class_numbers(np.asarray(volume.data).reshape(volume.spatial_shape), volume.name)
    if unlabelled:
        labels = np.where(labels == unlabelled, labels.dtype.type(0), labels)
    named = {entry.value: entry for entry in volume.classes if entry.value}
    values = sorted({*values_in(labels), *named})
    if len(values) > MOST_CLASSES:
        raise DataError(
            f"{volume.name} has {len(values)} values, so it numbers objects and not classes.",
            f"Use a label map of at most {MOST_CLASSES} classes.",
        )
    classes = (named.get(value) or LabelClass(value=value, name=f"class {value}") for value in values)
    return LabelMap(labels, (LabelClass(value=0, name="background"), *classes))


def values_in(labels: NDArray[np.unsignedinteger]) -> list[int]:
    """Return the values that occur, in order, without 0."""
    found = np.zeros(int(labels.max(initial=0)) + 1, bool)
    for start in range(0, len(labels), PLANES):
        found[np.unique(labels[start : start + PLANES])] = True
    return [int(value) for value in np.flatnonzero(found) if value]


def chosen(classes: Sequence[LabelClass], values: Sequence[int]) -> tuple[LabelClass, ...]:
    """Return the classes with these values; all but background if there are none.

    Raises
    ------
    DataError
        If there is no class of a value.
    """
    known = {entry.value: entry for entry in classes if entry.value}
    if missing := [value for value in values if value not in known]:
        there = ", ".join(f"{entry.value} ({entry.name})" for entry in known.values()) or "no class at all"
        raise DataError(f"The label map has no class {missing[0]}.", f"There is {there}.")
    return tuple(known[value] for value in values) if values else tuple(known.values())


def _class_numbers(labels: NDArray[np.generic], name: str) -> NDArray[np.unsignedinteger]:
    if labels.dtype.kind not in "buif" or not _whole(labels):
        raise DataError(f"{name} is not a label map of classes.", "Its values must be whole numbers from 0 to 65535.")
    if labels.dtype.kind == "u":
        return cast("NDArray[np.unsignedinteger]", labels)
    return labels.astype(np.uint8 if labels.dtype.kind == "b" else np.uint16)


def _whole(labels: NDArray[np.generic]) -> bool:
    """Return whether all values are whole numbers from 0 to 65535."""
    if labels.dtype in (np.bool_, np.uint8, np.uint16):
        return True
    blocks = (np.asarray(labels[start : start + PLANES]) for start in range(0, len(labels), PLANES))
    return all(((block >= 0) & (block <= 65535)).all() and (block == np.rint(block)).all() for block in blocks)
