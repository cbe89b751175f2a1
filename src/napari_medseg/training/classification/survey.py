"""What all images have in common: seen once, before anything is trained."""

import hashlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled import LabelledImages
from napari_medseg.data.labelled.alike import joined, nearly_equal, thumbnail
from napari_medseg.data.labelled.images import finite
from napari_medseg.data.labelled.parts import digest
from napari_medseg.errors import DataError
from napari_medseg.progress import Control, Event, with_time_left

EVERY = 64
"""Images between two reports."""


@dataclass(frozen=True)
class Survey:
    """Facts about all images."""

    digests: tuple[str, ...]
    """Of each image's values."""
    dims: Literal[2, 3]
    channels: int
    """Three if any image has colour."""
    edge: int
    """Median of the images' longest edges."""
    mean: float
    deviation: float
    """Of all values of the images to train on, each image counting alike."""
    comparable: bool
    """Whether values mean the same in all images: they have eight bits."""
    alike: tuple[tuple[int, int], ...] = ()
    """Numbers of images that are nearly the same, in pairs."""

    @property
    def kin(self) -> list[str]:
        """Sums that equal images share, and those that are nearly the same."""
        return joined(self.digests, self.alike)


def fingerprint(digests: Sequence[str], found: LabelledImages) -> str:
    """Return a sum of all images, labels and parts.

    Parameters
    ----------
    digests : sequence of str
        Of each image.
    found : LabelledImages
        The images.
    """
    lines = zip(digests, found.labels.tolist(), found.parts, found.groups, strict=True)
    return hashlib.sha256(repr((found.classes, list(lines), found.facts)).encode()).hexdigest()


def survey(found: LabelledImages, control: Control, alike: bool) -> Generator[Event, None, Survey]:
    """Read all images once.

    Parameters
    ----------
    found : LabelledImages
        The images.
    control : Control
        Cancels and pauses.
    alike : bool
        Whether to look for images that are nearly the same.

    Raises
    ------
    DataError
        If planes and volumes are mixed.
    """
    started, total = time.monotonic(), len(found.pictures)
    digests: list[str] = []
    kinds: set[int] = set()
    channels, edges = 1, list[int]()
    means, squares, types = list[float](), list[float](), set[np.dtype[np.generic]]()
    small = list[NDArray[np.float16]]()
    for number in range(total):
        if number % EVERY == 0:
            control.checkpoint()
            yield with_time_left("Looking at images", total, started, number)
        image = found.pictures.get(number)
        digests.append(digest(image))
        kinds.add(image.ndim - 1)
        channels = max(channels, len(image))
        edges.append(max(image.shape[1:]))
        types.add(image.dtype)
        if alike:
            small.append(thumbnail(image).ravel().astype(np.float16))
        if found.parts[number] in ("", "train"):
            values = finite(image)
            means.append(float(values.mean(dtype=np.float64)))
            squares.append(float(np.square(values).mean(dtype=np.float64)))
    if kinds not in ({2}, {3}):
        raise DataError("The images are planes and volumes mixed.", "Train on one kind.")
    mean = float(np.mean(means)) if means else 0.0
    deviation = float(np.sqrt(max(float(np.mean(squares)) - mean**2, 0.0))) if means else 0.0
    dims: Literal[2, 3] = 2 if kinds == {2} else 3
    comparable = types == {np.dtype(np.uint8)}
    pairs = nearly_equal(found.pictures, np.stack(small).astype(np.float32), found.parts) if alike else ()
    return Survey(tuple(digests), dims, channels, int(np.median(edges)), mean, deviation, comparable, pairs)
