"""All images of a run, as the network sees them."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data.labelled import LabelledImages, Pictures, find_labelled, split_parts
from napari_medseg.data.labelled.alike import joined
from napari_medseg.data.labelled.parts import digest, fold_of
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.classify import normalised, resized
from napari_medseg.models import ModelSpec
from napari_medseg.models.covariates import encode
from napari_medseg.progress import Control, Event, Note, with_time_left
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.classification.survey import EVERY, fingerprint

MOST_BYTES = 1 << 30
"""Images that take more than this are kept in a file."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one part."""

    images: torch.Tensor
    """(image, channel, [z,] y, x) float16: half the memory, and as exact as eight bits need. With `rows`, those of
    other parts, too."""
    targets: torch.Tensor
    """(image, class) float32 of 0 and 1."""
    facts: torch.Tensor | None = None
    """(image, number) float32 covariates; None if there are none."""
    rows: torch.Tensor | None = None
    """(image,) place of each in `images`; None for all in their order."""

    def __len__(self) -> int:
        return len(self.targets)

    def chosen(self, numbers: Sequence[int]) -> "Stack":
        """Return some of the images, in memory."""
        chosen = torch.tensor(numbers)
        rows = chosen if self.rows is None else self.rows[chosen]
        return Stack(self.images[rows], self.targets[chosen], None if self.facts is None else self.facts[chosen])


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


def load_material(run: ClassificationRun, cache: Path, control: Control) -> Generator[Event, None, Material]:
    """Read the images of a run.

    Parameters
    ----------
    run : ClassificationRun
        The run.
    cache : Path
        New folder for images that are too many for the memory.
    control : Control
        Cancels and pauses.

    Raises
    ------
    ConfigError
        If they are not those that the run began with.
    """
    found = labelled_images(run)
    config = run.train
    tested = np.array(found.parts, dtype=object) == "test" if run.fold is None else np.zeros(len(found.parts), bool)
    images, sums = yield from _read(found.pictures, run.spec, ~tested, cache / "images.npy", control)
    if fingerprint(sums, found) != run.fingerprint:
        raise ConfigError(f"The images or labels of {run.images} have changed since the run began.", "Start a new run.")
    kin = joined(sums, run.alike)
    if run.fold is not None:
        found = fold_of(found, kin, run.fold, config.seed)
    parts = split_parts(found, kin, config.hold_out, config.seed, config.leaks)
    facts = encode(run.spec.covariates, found.facts) if run.spec.covariates else None
    extra = None
    if config.unlabelled is not None:
        held = {sums[k] for k in np.setdiff1d(np.arange(len(sums)), parts.train)}
        extra = yield from _unlabelled(run, held, cache, control)
    places = torch.from_numpy(np.cumsum(~tested) - 1)

    def stack(numbers: NDArray[np.int64]) -> Stack:
        told = None if facts is None else torch.from_numpy(facts[numbers])
        return Stack(images, torch.from_numpy(found.targets[numbers]), told, places[numbers])

    held_out = found.chosen(parts.val.tolist())
    return Material(stack(parts.train), stack(parts.val), tuple(sums[k] for k in parts.train), held_out, extra)


def labelled_images(run: ClassificationRun) -> LabelledImages:
    """Return the images of a run, all of them."""
    return find_labelled(run.images, run.labels, run.train.covariates, run.train.crop)


def _read(
    pictures: Pictures, spec: ModelSpec, kept: NDArray[np.bool_], path: Path, control: Control
) -> Generator[Event, None, tuple[torch.Tensor, list[str]]]:
    """Return those images that are kept as the network sees them, and the digests of all."""
    total, started = len(pictures), time.monotonic()
    images = _space((int(kept.sum()), spec.channels, *spec.patch_size), path)
    place, sums, waiting = 0, list[str](), list[torch.Tensor]()
    for number in range(total):
        if number % EVERY == 0:
            control.checkpoint()
            yield with_time_left("Reading", total, started, number)
        image = pictures.get(number)
        if kept[number]:
            waiting.append(resized(image, spec, pictures.names[number]))
        if waiting and (len(waiting) == EVERY or number == total - 1):
            images[place : place + len(waiting)] = normalised(torch.stack(waiting), spec)
            place += len(waiting)
            waiting.clear()
        sums.append(digest(image))
    return images, sums


def _space(shape: tuple[int, ...], path: Path) -> torch.Tensor:
    """Return room for images: in memory, or where they are too many, in a file."""
    if 2 * prod(shape) <= MOST_BYTES:
        return torch.empty(shape, dtype=torch.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    return torch.from_numpy(np.lib.format.open_memmap(path, "w+", np.float16, shape))


def _unlabelled(
    run: ClassificationRun, held: set[str], cache: Path, control: Control
) -> Generator[Event, None, torch.Tensor]:
    """Return the images of a folder but for those that the network is validated or tested on."""
    folder, spec = run.train.unlabelled, run.spec
    assert folder is not None
    paths = tree_of(folder, spec.dims == 3)
    pictures = Pictures(tuple(path.name for path in paths), tuple(paths))
    images, sums = yield from _read(pictures, spec, np.ones(len(paths), bool), cache / "unlabelled.npy", control)
    kept = [place for place, one in enumerate(sums) if one not in held]
    if len(kept) < len(images):
        yield Note(f"{len(images) - len(kept)} unlabelled images are also held out; they are left out of training.")
    if not kept:
        raise DataError(f"{folder} holds no image to learn from.", "Choose a folder of images, or leave it out.")
    return images if len(kept) == len(images) else images[torch.tensor(kept)]
