"""Label maps as a source of boxes: one around each part of a class, or around each number."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.data.boxes.components import boxes_of_labels
from napari_medseg.data.boxes.source import BoxSource, named_classes
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.data.sample import BACKGROUND_VALUE
from napari_medseg.errors import DataError
from napari_medseg.io import read
from napari_medseg.prediction import Boxes
from napari_medseg.volume import LabelClass, Volume

MOST_CLASSES = 16
"""Label maps without names and with more values number things."""
THING = "thing"
"""Class of things that are numbered."""


def read_maps(folder: Path) -> BoxSource:
    """Read the boxes of label maps, named like their images.

    In a map whose classes have names, or has few values, each connected part of a class is a thing. In one with more
    values each value is a thing, all of one class.

    Raises
    ------
    DataError
        If a file is no label map, or none has a thing.
    """
    files = tree_of(folder)
    maps = {path.relative_to(folder).as_posix(): path for path in files}
    found = {name: read_map(path) for name, path in maps.items()}
    values = {int(v) for one in found.values() for v in np.unique(np.asarray(one.data)).tolist()}
    values -= {0}
    names = {c.value: c.name for one in found.values() for c in one.classes}
    if not values:
        raise DataError(f"{folder.name} has no labelled thing.", "Give label maps, COCO JSON, Pascal VOC XML or CSV.")
    numbered = not names and len(values) > MOST_CLASSES
    if not numbered and len(values) > 1:
        # What a user painted as background. A mask of 0 and 255 has no other value.
        values -= {BACKGROUND_VALUE}
    classes = _classes(values, names, numbered)
    boxes = {name: boxes_of_map(one, classes, numbered) for name, one in found.items()}
    kind = f"each value is a {THING}" if numbered else "each connected part of a class is a thing"
    return BoxSource(
        classes,
        boxes,
        sizes={name: one.spatial_shape for name, one in found.items()},
        maps=maps,
        numbered=numbered,
        notes=(f"Label maps with {len(values)} values: {kind}.",),
    )


def read_map(path: Path) -> Volume:
    """Read a label map.

    Raises
    ------
    DataError
        If the file holds none.
    """
    volumes = [volume for volume in read(path) if not volume.rgb and not volume.axes]
    if len(volumes) != 1 or volumes[0].data.dtype.kind not in "bui":
        raise DataError(f"{path.name} is no label map.", "Give one whole number per voxel, in files named as images.")
    return volumes[0]


def boxes_of_map(labels: Volume, classes: tuple[LabelClass, ...], numbered: bool) -> Boxes:
    """Return the boxes of a label map; see `boxes_of_labels`."""
    return boxes_of_labels(_plane(np.asarray(labels.data)).astype(np.int32), classes, numbered)


def things_of_map(labels: Volume, classes: tuple[LabelClass, ...], numbered: bool) -> NDArray[np.int32]:
    """Return a map in which the voxels of the box of number k, from 0 on, are k + 1."""
    data = _plane(np.asarray(labels.data)).astype(np.int32)
    found = np.zeros(data.shape, np.int32)
    count = 0
    for each in [None] if numbered else [c.value for c in classes]:
        if each is None:
            order = np.unique(data, return_inverse=True)[1].reshape(data.shape)
            parts = np.asarray(order + (0 if (data == 0).any() else 1), np.int32)
        else:
            parts = np.asarray(ndimage.label(data == each, np.ones((3,) * data.ndim, int))[0], np.int32)
        found = np.where(parts > 0, parts + np.int32(count), found)
        count += int(parts.max(initial=0))
    return found


def _classes(values: set[int], names: dict[int, str], numbered: bool) -> tuple[LabelClass, ...]:
    if numbered:
        return named_classes([THING])
    return tuple(LabelClass(value=value, name=names.get(value, str(value))) for value in sorted(values))


def _plane(data: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a volume of one slice as a plane, which is what detectors take it for."""
    return data[0] if data.ndim == 3 and data.shape[0] == 1 else data
