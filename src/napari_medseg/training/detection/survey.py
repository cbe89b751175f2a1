"""What all images and boxes have in common: seen once, before anything is trained."""

import hashlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.boxes import BoxedImages
from napari_medseg.data.boxes.opening import boxes_on, open_image
from napari_medseg.data.labelled.parts import digest
from napari_medseg.errors import DataError
from napari_medseg.prediction import Boxes
from napari_medseg.progress import Control, Event, with_time_left
from napari_medseg.volume import Volume

EVERY = 8
"""Values of an image are looked at in so large steps along each axis, to know their mean."""


@dataclass(frozen=True, eq=False)
class Survey:
    """Facts about all images; those of the part ``test`` are left out."""

    numbers: tuple[int, ...]
    """Of the images to train and validate on."""
    digests: tuple[str, ...]
    """Of each of these images' values."""
    dims: Literal[2, 3]
    channels: int
    """Three if any image has colour."""
    shapes: NDArray[np.int64]
    """(image, axis) voxels."""
    boxes: tuple[Boxes, ...]
    """Of each image, in voxels of its own grid."""
    spacings: NDArray[np.float64] | None
    """(image, axis) mm; None where an image has no geometry."""
    mean: float
    deviation: float
    """Of all images' values."""
    comparable: bool
    """Whether values mean the same in all images: they have eight bits."""
    modality: str | None

    @property
    def fingerprint(self) -> str:
        """A sum of all images and boxes."""
        digested = hashlib.sha256(repr(self.digests).encode())
        for boxes in self.boxes:
            digested.update(boxes.edges.tobytes() + boxes.labels.tobytes() + repr(boxes.classes).encode())
        return digested.hexdigest()


def survey(boxed: BoxedImages, control: Control) -> Generator[Event, None, Survey]:
    """Read all images once.

    Raises
    ------
    DataError
        If planes and volumes are mixed, or boxes are of another kind than the images.
    """
    numbers = tuple(n for n, part in enumerate(boxed.parts) if part != "test")
    facts: list[tuple[str, Volume, Boxes]] = []
    means, squares = [], []
    started = time.monotonic()
    for done, number in enumerate(numbers):
        control.checkpoint()
        yield with_time_left("Looking at images", len(numbers), started, done)
        volume = open_image(boxed, number)
        values = np.asarray(volume.data)
        sample = np.nan_to_num(values[(slice(None, None, EVERY),) * (values.ndim - volume.rgb)].astype(np.float64))
        means.append(float(sample.mean()))
        squares.append(float(np.square(sample).mean()))
        facts.append((digest(values), _emptied(volume), boxes_on(boxed, number, volume)))
    volumes, found = [v for _d, v, _b in facts], tuple(b for _d, _v, b in facts)
    dims = _dims(volumes, found)
    geometries = [v.geometry for v in volumes if v.geometry is not None and v.geometry.ndim == 3]
    mean = float(np.mean(means))
    return Survey(
        numbers,
        tuple(d for d, _v, _b in facts),
        dims,
        3 if any(v.rgb for v in volumes) else 1,
        np.array([v.spatial_shape[-dims:] for v in volumes]),
        found,
        np.array([g.spacing for g in geometries]) if dims == 3 and len(geometries) == len(volumes) else None,
        mean,
        float(np.sqrt(max(float(np.mean(squares)) - mean**2, 0.0))),
        {v.data.dtype for v in volumes} == {np.dtype(np.uint8)},
        next((v.modality for v in volumes if v.modality), None),
    )


def _emptied(volume: Volume) -> Volume:
    """Return the volume with nothing in memory but its facts."""
    from dataclasses import replace

    return replace(volume, data=np.broadcast_to(np.zeros((), volume.data.dtype), volume.data.shape))


def _dims(volumes: list[Volume], boxes: tuple[Boxes, ...]) -> Literal[2, 3]:
    kinds = {2 if len(v.spatial_shape) == 2 or v.spatial_shape[0] == 1 else 3 for v in volumes}
    axes = {b.axes for b in boxes}
    if len(kinds) != 1:
        raise DataError("The images are planes and volumes mixed.", "Train on one kind.")
    if kinds != axes:
        raise DataError(
            f"The images have {kinds.pop()} axes, their boxes have {' or '.join(map(str, sorted(axes)))}.",
            "Give zmin and zmax for volumes, and leave them out for planes.",
        )
    return 2 if kinds == {2} else 3
