"""The images of a run, read and brought to the network's axes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError, MedsegError
from napari_medseg.inference.restoration.finer import Scale, axis_order, network_axes, plain_values
from napari_medseg.io import read
from napari_medseg.models.spec import ModelSpec
from napari_medseg.progress import Control, Event, Note, Progress
from napari_medseg.training.restoration.config import SuperResolutionConfig
from napari_medseg.training.restoration.pairs import Fine, degraded
from napari_medseg.training.restoration.run import RestorationRun
from napari_medseg.volume import Volume
from napari_medseg.volume.sampling import AxisSampling, coarser

SIZES = {2: 16, 3: 4}
"""Patches per step, by the network's dimensions."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image in the order of the network's axes."""

    values: NDArray[np.float32]
    volume: Volume
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
    return found[0]


def load_images(run: RestorationRun, numbers: list[int], control: Control) -> Iterator[Event | Image]:
    """Read images of a run; those that do not serve are told of and left out.

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
            network_axes(run.spec, volume)
        except MedsegError as error:
            yield Note(f"{run.images[number][0].name} is left out. {error}", "warning")
            continue
        order = axis_order(run.spec, volume) if values.ndim == run.spec.dims else tuple(range(values.ndim))
        digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
        yield Image(np.ascontiguousarray(values.transpose(order)), volume, digest)


def own_axes(spec: ModelSpec) -> tuple[AxisSampling, ...]:
    """Return how each axis of a network of super-resolution is taken to be sampled."""
    options = spec.options
    width = options.get("width") or options["factor"]
    return tuple(
        AxisSampling(float(f), float(w), options["profile"]) for f, w in zip(options["factor"], width, strict=True)
    )


def fine_pairs(spec: ModelSpec, config: SuperResolutionConfig, images: list[Image]) -> Fine:
    """Return pairs of fine images and the thick slices of them, each in the network's intensities.

    Raises
    ------
    DataError
        If no image is large enough.
    """
    axes = own_axes(spec)
    scaled = []
    for image in images:
        counts = [n // round(axis.factor) for n, axis in zip(image.values.shape, axes, strict=True)]
        whole = image.values[tuple(slice(n * round(axis.factor)) for n, axis in zip(counts, axes, strict=True))]
        if min(counts) >= 4:
            scaled.append(Scale.of(coarser(whole, axes, counts)).apply(whole)[None])
    if not scaled:
        raise DataError("No image is large enough for this factor.", "Choose larger images or a smaller factor.")
    smallest = np.min([image.shape[1:] for image in scaled], axis=0)
    least = [int(n) // round(axis.factor) for n, axis in zip(smallest, axes, strict=True)]
    patch = tuple(min(p, n) for p, n in zip(spec.patch_size, least, strict=True))
    size = config.batch_size or SIZES[spec.dims]
    return degraded(scaled, axes, patch, size, config.seed, config.noise)
