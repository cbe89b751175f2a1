"""All images of a run in memory, as the network sees them."""

import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data.labelled import LabelledImages, find_labelled, split_parts
from napari_medseg.data.labelled.parts import digest
from napari_medseg.errors import ConfigError
from napari_medseg.inference.classify import normalised, resized
from napari_medseg.progress import Control, Event, with_time_left
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.survey import EVERY, Survey


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one part."""

    images: torch.Tensor
    """(image, channel, [z,] y, x) float16: half the memory, and as exact as eight bits need."""
    labels: torch.Tensor
    """(image,) int64 class indices."""


@dataclass(frozen=True, eq=False)
class Material:
    """What is learnt from and what is scored on."""

    train: Stack
    val: Stack
    sums: tuple[str, ...]
    """SHA-256 of each image that is learnt from."""


def load_material(run: ClassificationRun, control: Control) -> Generator[Event, None, Material]:
    """Read the images of a run.

    Raises
    ------
    ConfigError
        If they are not those that the run began with.
    """
    found = find_labelled(run.images, run.labels)
    total, started = len(found.pictures), time.monotonic()
    images: list[torch.Tensor] = []
    sums: list[str] = []
    for number in range(total):
        if number % EVERY == 0:
            control.checkpoint()
            yield with_time_left("Reading", total, started, number)
        image = found.pictures.get(number)
        sums.append(digest(image))
        images.append(normalised(resized(image, run.spec, found.pictures.names[number]), run.spec).half())
    config = run.train
    if Survey(tuple(sums), run.spec.dims, 1, 0, 0.0, 0.0, False).fingerprint(found) != run.fingerprint:
        raise ConfigError(f"The images or labels of {run.images} have changed since the run began.", "Start a new run.")
    parts = split_parts(found, sums, config.hold_out, config.seed, config.leaks)
    return Material(
        _stack(images, found, parts.train), _stack(images, found, parts.val), tuple(sums[k] for k in parts.train)
    )


def _stack(images: list[torch.Tensor], found: LabelledImages, numbers: NDArray[np.int64]) -> Stack:
    return Stack(torch.stack([images[k] for k in numbers]), torch.from_numpy(found.labels[numbers]))


def batch_numbers(step: int, count: int, size: int, seed: int) -> NDArray[np.int64]:
    """Return which images make the batch of a step: each once per epoch, in an order of its own.

    Examples
    --------
    >>> sorted(np.concatenate([batch_numbers(step, 6, 2, 0) for step in (0, 1, 2)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    size = min(size, count)
    per_epoch = count // size
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.asarray(order[place * size : (place + 1) * size], np.int64)
