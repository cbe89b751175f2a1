"""Images as the network sees them, kept in the run's folder so that memory does not grow with their number."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.data.boxes import BoxedImages, find_boxed
from napari_medseg.data.boxes.opening import open_image, things_on
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.detection.views import View, view_of
from napari_medseg.models import ModelSpec
from napari_medseg.prediction import Boxes
from napari_medseg.progress import Control, Event, Note, with_time_left
from napari_medseg.training.atomic import write_file
from napari_medseg.training.detection.run import DetectionRun
from napari_medseg.training.detection.survey import survey

MASKS = "maskrcnn"
"""The architecture that learns masks."""
PLANES_AT_ONCE = 16
"""Planes of a volume that are looked at together."""


@dataclass(frozen=True, eq=False)
class Example:
    """An image and its boxes, both on the network's grid."""

    name: str
    values: NDArray[np.float16]
    """(channel, [z,] y, x); a memory map."""
    boxes: Boxes
    things: NDArray[np.int32] | None = None
    """(y, x) map in which the pixels of the box of number k are k + 1, where masks are learnt; a memory map."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along the axes."""
        return self.values.shape[1:]

    def view(self) -> View:
        """Return the image for prediction; its own grid is that of the network."""

        def read(box: Sequence[slice]) -> torch.Tensor:
            return torch.from_numpy(np.array(self.values[(slice(None), *box)], np.float32))

        return View(self.shape, read, self.shape, (1.0,) * len(self.shape))


@dataclass(frozen=True, eq=False)
class Material:
    """What is learnt from and what is scored on."""

    train: tuple[Example, ...]
    val: tuple[Example, ...]
    groups: dict[str, str]
    """Patient by image name, where it is known."""
    sums: tuple[str, ...]
    """SHA-256 of each image that is learnt from."""


def load_material(run: DetectionRun, cache: Path, control: Control) -> Generator[Event, None, Material]:
    """Read the images of a run.

    Parameters
    ----------
    run : DetectionRun
        The run.
    cache : Path
        Folder for the images on the network's grid; what is there already is taken.
    control : Control
        Cancels and pauses.

    Raises
    ------
    ConfigError
        If images or boxes are not those that the run began with.
    """
    boxed = find_boxed(run.images, run.boxes)
    facts = yield from survey(boxed, control)
    if facts.fingerprint != run.fingerprint:
        raise ConfigError(f"The images or boxes of {run.images} have changed since the run began.", "Start a new run.")
    cache.mkdir(parents=True, exist_ok=True)
    examples: list[Example] = []
    started = time.monotonic()
    for done, (number, boxes) in enumerate(zip(facts.numbers, facts.boxes, strict=True)):
        control.checkpoint()
        yield with_time_left("Reading", len(facts.numbers), started, done)
        examples.append(_example(boxed, number, boxes, run.spec, cache / f"{number:06}.npy"))
    parts = [boxed.parts[number] for number in facts.numbers]
    groups = [boxed.groups[number] for number in facts.numbers]
    train, val = split(parts, groups, facts.digests, run.train.hold_out, run.train.seed)
    if not any(len(examples[k].boxes) for k in train):
        raise DataError("None of the images to train on has a box.", "Add images, or hold out fewer.")
    yield Note(f"{len(train)} images are learnt from, {len(val)} are kept out to validate on.")
    known = {examples[k].name: group for k, group in enumerate(groups) if group}
    return Material(
        tuple(examples[k] for k in train),
        tuple(examples[k] for k in val),
        known,
        tuple(facts.digests[k] for k in train),
    )


def split(
    parts: Sequence[str], groups: Sequence[str], digests: Sequence[str], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Return the numbers of the images to learn from and to validate on.

    Patients, and images that are equal, stay together. A part ``val`` of the source is what is validated on.

    Raises
    ------
    DataError
        If the source's parts have a patient or an image on both sides.
    """
    keys = [(group or "", "" if group else digest) for group, digest in zip(groups, digests, strict=True)]
    if "val" in parts:
        val = [k for k, part in enumerate(parts) if part == "val"]
        train = [k for k, part in enumerate(parts) if part != "val"]
        shared = {keys[k] for k in train} & {keys[k] for k in val}
        if shared:
            raise DataError("The split leaks: an image or a patient is on both sides.", "Mend the split.")
        return train, val
    together = list(dict.fromkeys(keys))
    many = 0 if share == 0 or len(together) < 2 else max(1, round(share * len(together)))
    order = np.random.default_rng(seed).permutation(len(together))
    held = {together[k] for k in order[:many]}
    return [k for k, key in enumerate(keys) if key not in held], [k for k, key in enumerate(keys) if key in held]


def _example(boxed: BoxedImages, number: int, boxes: Boxes, spec: ModelSpec, path: Path) -> Example:
    view = view_of(open_image(boxed, number), spec)
    if not path.exists():
        values = np.empty((spec.channels, *view.shape), np.float16)
        for start in range(0, view.shape[0], PLANES_AT_ONCE if spec.dims == 3 else view.shape[0]):
            rows = slice(start, start + PLANES_AT_ONCE) if spec.dims == 3 else slice(None)
            values[:, rows] = view.read((rows, *(slice(None),) * (spec.dims - 1))).numpy()
        write_file(path, lambda file: np.save(file, values))
    things = _things(boxed, number, view, path.with_suffix(".things.npy")) if spec.architecture == MASKS else None
    return Example(boxed.names[number], np.load(path, mmap_mode="r"), view.seen(boxes), things)


def _things(boxed: BoxedImages, number: int, view: View, path: Path) -> NDArray[np.int32] | None:
    """Return the things of a plane on the network's grid: at each of its pixels that which is at its middle."""
    if not path.exists():
        things = things_on(boxed, number, (view.own_shape[0], view.own_shape[1]))
        if things is None:
            return None
        lines = [np.floor((np.arange(n) + 0.5) / s).astype(int) for n, s in zip(view.shape, view.scale, strict=True)]
        write_file(path, lambda file: np.save(file, things[np.ix_(*lines)]))
    found: NDArray[np.int32] = np.load(path, mmap_mode="r")
    return found
