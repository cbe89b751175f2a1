"""Images with boxes, opened one at a time."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.boxes.listing import BoxedImages
from napari_medseg.data.boxes.maps import read_map, things_of_map
from napari_medseg.data.boxes.masks import mask_of_polygons, mask_of_runs
from napari_medseg.errors import DataError
from napari_medseg.io import read
from napari_medseg.prediction import Boxes
from napari_medseg.volume import Volume


def single_image(path: Path, name: str) -> Volume:
    """Read the one image of a file.

    Raises
    ------
    MedsegError
        If it cannot be read.
    DataError
        If there are several.
    """
    volumes = [volume for volume in read(path) if volume.kind == "image"]
    if len(volumes) != 1:
        raise DataError(f"{name} holds {len(volumes)} images instead of one.", "Give each image a file of its own.")
    return volumes[0]


def open_image(boxed: BoxedImages, number: int) -> Volume:
    """Read an image by its number; raises as `single_image` does."""
    return single_image(boxed.paths[number], boxed.names[number])


def things_on(boxed: BoxedImages, number: int, shape: tuple[int, int]) -> NDArray[np.int32] | None:
    """Return a map of a plane in which the pixels of its box of number k, from 0 on, are k + 1.

    None where the source gives boxes alone. Where outlines overlap, the later one is on top.

    Raises
    ------
    DataError
        If a label map has another size than its image.
    """
    name, source = boxed.names[number], boxed.source
    if name in source.maps:
        things = things_of_map(read_map(source.maps[name]), source.classes, source.numbered)
        if things.shape != shape:
            raise DataError(f"The label map of {name} has {things.shape} pixels, the image {shape}.", "Mend one.")
        return things
    if name not in source.outlines:
        return None
    things = np.zeros(shape, np.int32)
    for place, outline in enumerate(source.outlines[name], start=1):
        runs = isinstance(outline, dict)
        mask = mask_of_runs(outline) if runs else mask_of_polygons(outline or [], shape)  # type: ignore[arg-type]
        if mask.shape != shape:
            raise DataError(f"A mask of {name} has {mask.shape} pixels, the image {shape}.", "Mend one.")
        things[mask] = place
    return things


def boxes_on(boxed: BoxedImages, number: int, volume: Volume | None = None) -> Boxes:
    """Return the boxes of an image in voxels of its own grid.

    Parameters
    ----------
    boxed : BoxedImages
        The images.
    number : int
        Which of them.
    volume : Volume, optional
        The image, where it is read already; it is needed, and read, for places in the patient alone.

    Raises
    ------
    DataError
        If places in the patient are given and the image has no geometry.
    """
    name, source = boxed.names[number], boxed.source
    if not source.spheres:
        return source.boxes[name]
    return source.on(name, volume or open_image(boxed, number))
