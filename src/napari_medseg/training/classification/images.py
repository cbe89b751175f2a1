"""All images of a run in memory, as the network sees them."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data.labelled import LabelledImages, Pictures, find_labelled, split_parts
from napari_medseg.data.labelled.parts import digest, fold_of
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.classify import normalised, resized
from napari_medseg.models import ModelSpec
from napari_medseg.models.covariates import encode
from napari_medseg.progress import Control, Event, Note, with_time_left
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.survey import EVERY, fingerprint


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one part."""

    images: torch.Tensor
    """(image, channel, [z,] y, x) float16: half the memory, and as exact as eight bits need."""
    targets: torch.Tensor
    """(image, class) float32 of 0 and 1."""
    facts: torch.Tensor | None = None
    """(image, number) float32 covariates; None if there are none."""

    def __len__(self) -> int:
        return len(self.images)

    def chosen(self, numbers: Sequence[int]) -> "Stack":
        """Return some of the images."""
        rows = torch.tensor(numbers)
        return Stack(self.images[rows], self.targets[rows], None if self.facts is None else self.facts[rows])


@dataclass(frozen=True, eq=False)
class Material:
    """What is learnt from and what is scored on."""

    train: Stack
    val: Stack
    sums: tuple[str, ...]
    """SHA-256 of each image that is learnt from."""
    held: LabelledImages | None = None
    """Where the images to score on come from; None where nobody asks."""
    unlabelled: torch.Tensor | None = None
    """(image, channel, [z,] y, x) float16 images without labels; None if there are none."""


def load_material(run: ClassificationRun, control: Control) -> Generator[Event, None, Material]:
    """Read the images of a run.

    Raises
    ------
    ConfigError
        If they are not those that the run began with.
    """
    found = labelled_images(run)
    images, sums = yield from _read(found.pictures, run.spec, "Reading", control)
    config = run.train
    if fingerprint(sums, found) != run.fingerprint:
        raise ConfigError(f"The images or labels of {run.images} have changed since the run began.", "Start a new run.")
    if run.fold is not None:
        found = fold_of(found, sums, run.fold, config.seed)
    parts = split_parts(found, sums, config.hold_out, config.seed, config.leaks)
    facts = encode(run.spec.covariates, found.facts) if run.spec.covariates else None
    extra = None
    if config.unlabelled is not None:
        held = {sums[k] for k in np.setdiff1d(np.arange(len(sums)), parts.train)}
        extra = yield from _unlabelled(config.unlabelled, run.spec, held, control)
    stacks = [_stack(images, found, facts, numbers) for numbers in (parts.train, parts.val)]
    return Material(stacks[0], stacks[1], tuple(sums[k] for k in parts.train), found.chosen(parts.val.tolist()), extra)


def labelled_images(run: ClassificationRun) -> LabelledImages:
    """Return the images of a run, all of them."""
    return find_labelled(run.images, run.labels, run.train.covariates, run.train.crop)


def _read(
    pictures: Pictures, spec: ModelSpec, stage: str, control: Control
) -> Generator[Event, None, tuple[list[torch.Tensor], list[str]]]:
    """Return all images as the network sees them, and their digests."""
    total, started = len(pictures), time.monotonic()
    images: list[torch.Tensor] = []
    sums: list[str] = []
    for number in range(total):
        if number % EVERY == 0:
            control.checkpoint()
            yield with_time_left(stage, total, started, number)
        image = pictures.get(number)
        sums.append(digest(image))
        images.append(normalised(resized(image, spec, pictures.names[number]), spec).half())
    return images, sums


def _unlabelled(
    folder: Path, spec: ModelSpec, held: set[str], control: Control
) -> Generator[Event, None, torch.Tensor]:
    """Return the images of a folder but for those that the network is validated or tested on."""
    paths = tree_of(folder, spec.dims == 3)
    pictures = Pictures(tuple(path.name for path in paths), tuple(paths))
    images, sums = yield from _read(pictures, spec, "Reading unlabelled images", control)
    kept = [image for image, one in zip(images, sums, strict=True) if one not in held]
    if len(kept) < len(images):
        yield Note(f"{len(images) - len(kept)} unlabelled images are also held out; they are left out of training.")
    if not kept:
        raise DataError(f"{folder} holds no image to learn from.", "Choose a folder of images, or leave it out.")
    return torch.stack(kept)


def _stack(
    images: list[torch.Tensor], found: LabelledImages, facts: NDArray[np.float32] | None, numbers: NDArray[np.int64]
) -> Stack:
    chosen = torch.stack([images[k] for k in numbers])
    told = None if facts is None else torch.from_numpy(facts[numbers])
    return Stack(chosen, torch.from_numpy(found.targets[numbers]), told)
