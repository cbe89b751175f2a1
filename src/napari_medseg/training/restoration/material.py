"""The images of a run, read and brought to the network's axes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError, MedsegError
from napari_medseg.inference.restoration.finer import axis_order, network_axes
from napari_medseg.inference.restoration.sharper import network_width
from napari_medseg.io import read
from napari_medseg.models.spec import ModelSpec
from napari_medseg.models.zoo.unrolled import UnrolledOptions
from napari_medseg.progress import Control, Event, Note, Progress
from napari_medseg.training.restoration.config import SuperResolutionConfig
from napari_medseg.training.restoration.pairs import Fine, degraded, whole_factor
from napari_medseg.training.restoration.run import RestorationRun
from napari_medseg.training.restoration.shelf import Shelf
from napari_medseg.volume import Volume
from napari_medseg.volume.grey import as_grey
from napari_medseg.volume.plain import plain_values
from napari_medseg.volume.sampling import AxisSampling

SIZES = {2: 16, 3: 4}
"""Patches per step, by the network's dimensions."""
ALIKE = 0.05
"""Spacings of a set may differ by this share from the first one's, where a blur of known width is undone."""
LEAST = 4
"""Coarse voxels along each axis of an image that can be learned from."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image in the order of the network's axes."""

    values: NDArray[np.float32]
    """In its own unit."""
    digest: str


def read_one(place: tuple[Path, str | None]) -> Volume:
    """Return the one image of a file or series.

    Raises
    ------
    MedsegError
        If there is none, or several.
    """
    path, series = place
    found = [volume for volume in read(path, series=series) if volume.kind == "image"]
    if len(found) != 1:
        raise DataError(f"{path.name} holds {len(found)} images.", "Give each image a file of its own.")
    return as_grey(found[0])


def load_images(run: RestorationRun, numbers: list[int], control: Control, shelf: Shelf) -> Iterator[Event | Image]:
    """Read images of a run, one after the other; those that do not serve are told of and left out.

    Memory holds one of them at a time: their values are memory maps of files on a shelf.

    Yields
    ------
    Event or Image
        `Progress` and `Note`, and each image.
    """
    for done, number in enumerate(numbers):
        control.checkpoint()
        yield Progress("Reading", done, len(numbers))
        try:
            volume = read_one(run.images[number])
            values = plain_values(volume)
            check_fits(run.spec, volume)
        except MedsegError as error:
            yield Note(f"{run.images[number][0].name} is left out. {error}", "warning")
            continue
        order = axis_order(run.spec.axcodes, volume) if values.ndim == run.spec.dims else tuple(range(values.ndim))
        digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
        yield Image(shelf.keep(values.transpose(order)), digest)


def check_fits(spec: ModelSpec, volume: Volume) -> None:
    """Raise `MedsegError` if a network cannot learn from an image."""
    if spec.architecture != "unrolled":
        network_axes(spec, volume)
        return
    options = UnrolledOptions(**spec.options)
    if len(volume.spatial_shape) != spec.dims or (volume.geometry is None) != (options.blur_mm is None):
        raise DataError("It has other axes, or no geometry.", "Train on images of one kind.")
    width = network_width(volume, options.blur_mm, spec.axcodes) if options.blur_mm is not None else options.width
    if not np.allclose(width, options.width, rtol=ALIKE):
        raise DataError("It has another spacing than the first one.", "Train on images of one spacing.")


def own_axes(spec: ModelSpec) -> tuple[AxisSampling, ...]:
    """Return how each axis of a network of super-resolution is taken to be sampled."""
    options = spec.options
    width = options.get("width") or options["factor"]
    return tuple(
        AxisSampling(float(f), float(w), options["profile"]) for f, w in zip(options["factor"], width, strict=True)
    )


def fine_pairs(spec: ModelSpec, config: SuperResolutionConfig, images: list[Image], shelf: Shelf) -> Fine:
    """Return pairs of fine images and the thick slices of them.

    Raises
    ------
    DataError
        If no image is large enough.
    """
    axes = own_axes(spec)
    factors = [whole_factor(axis) for axis in axes]
    large = [
        image.values[None]
        for image in images
        if all(n >= LEAST * f for n, f in zip(image.values.shape, factors, strict=True))
    ]
    if not large:
        raise DataError("No image is large enough for this factor.", "Choose larger images or a smaller factor.")
    examples = tuple(degraded(values, axes, shelf=shelf) for values in large)
    smallest = np.min([example.thick.shape[1:] for example in examples], axis=0)
    patch = tuple(min(p, int(n)) for p, n in zip(spec.patch_size, smallest, strict=True))
    return Fine(examples, axes, patch, config.batch_size or SIZES[spec.dims], config.seed, config.noise)
