"""Images with boxes, opened one at a time."""

from pathlib import Path

import numpy as np

from napari_medseg.data.boxes.listing import BoxedImages
from napari_medseg.data.boxes.spheres import box_of_sphere
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
    volume = volume or open_image(boxed, number)
    spheres = source.spheres.get(name, ())
    if volume.geometry is None:
        raise DataError(f"{name} has no geometry, but its boxes are places in mm.", "Give boxes in voxels.")
    edges = [box_of_sphere(sphere, volume.geometry) for sphere in spheres]
    value = source.classes[0].value
    ones = np.ones(len(spheres))
    return Boxes(np.array(edges, float).reshape(-1, 2, 3), (ones * value).astype(np.int64), ones, source.classes)
