"""Random views of images with their boxes: parts, mirrored, turned, scaled; planes and volumes alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_medseg.training.detection.config import DetectionConfig
from napari_medseg.training.detection.material import Example

VISIBLE = 0.3
"""Share of a box that must be in the view for it to count."""
FOCUS = 0.7
"""Share of views of larger images that are chosen to show some box."""
CONTRAST, BRIGHTNESS = 0.15, 0.2
"""In standard deviations of the values, about."""


@dataclass(frozen=True)
class Change:
    """Which kinds of change to make."""

    flips: bool = False
    scale: float = 1.0
    rotation: float = 0.0
    """Degrees."""
    intensity: bool = False

    @classmethod
    def of(cls, config: DetectionConfig) -> "Change":
        """Return the changes that a run makes."""
        return cls(config.flips, config.scale, config.rotation, config.intensity)


@dataclass(frozen=True, eq=False)
class Motion:
    """A map of an image's places onto those of a view, both in voxels with edges at whole numbers."""

    matrix: NDArray[np.float64]
    """(axis, axis) from image to view."""
    image_centre: NDArray[np.float64]
    view_centre: NDArray[np.float64]
    """A place in the view, and the one in the image that is shown there."""

    def boxes(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where (n, 2, axis) boxes are in the view.

        Through flips, right angles and scales this is exact. A box that is turned by any other angle is fitted anew to
        the ellipse that fills it, as its own corners would make it far too large for most things.
        """
        middle, half = edges.mean(axis=1), (edges[:, 1] - edges[:, 0]) / 2
        moved = (middle - self.image_centre) @ self.matrix.T + self.view_centre
        reach = np.sqrt(np.square(half) @ np.square(self.matrix).T)
        return np.stack([moved - reach, moved + reach], axis=1)

    def numbers(self, things: NDArray[np.integer], shape: tuple[int, ...]) -> torch.Tensor:
        """Return the view of a (y, x) map of numbers: those nearest to its pixels' centres, 0 outside."""
        lines = np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij")
        places = (np.stack(lines, axis=-1) - self.view_centre) @ np.linalg.inv(self.matrix).T + self.image_centre
        index = np.floor(places + 1e-9).astype(int)
        inside = np.asarray(((index >= 0) & (index < things.shape)).all(axis=-1))
        y, x = np.where(inside[..., None], index, 0).transpose(2, 0, 1)
        return torch.from_numpy(np.where(inside, things[y, x], 0).astype(np.int64))

    def image(self, values: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the view of (channel, ...) float32 values, with zeros outside the image."""
        size, view = np.array(values.shape[1:], float), np.array(shape, float)
        back = np.linalg.inv(self.matrix)
        linear = (2 / size)[:, None] * back * (view / 2)[None]
        offset = 2 / size * (back @ (view / 2 - self.view_centre) + self.image_centre) - 1
        # The sampler counts axes from the last to the first.
        theta = np.concatenate([linear[::-1, ::-1], offset[::-1, None]], axis=1)
        grid = functional.affine_grid(
            torch.from_numpy(theta.astype(np.float32))[None], [1, len(values), *shape], align_corners=False
        )
        return functional.grid_sample(values[None], grid, mode="bilinear", align_corners=False)[0]


class Seen(NamedTuple):
    """A view with its boxes."""

    values: torch.Tensor
    """(channel, ...) float32."""
    edges: torch.Tensor
    """(n, 2 * axes) float32: starts and stops of the boxes in the view."""
    labels: torch.Tensor
    """(n,) int64: class indices."""
    masks: torch.Tensor | None = None
    """(n, y, x) bool, where the things are known voxel by voxel."""


def seen(example: Example, shape: tuple[int, ...], change: Change, turn: bool, rng: np.random.Generator) -> Seen:
    """Return a random view.

    Parameters
    ----------
    example : Example
        The image.
    shape : tuple of int
        Of the view.
    change : Change
        Which changes to make.
    turn : bool
        Whether the last two axes change places.
    rng : numpy.random.Generator
        All randomness comes from it.

    Returns
    -------
    Seen
        Its values are of `shape`.
    """
    motion = _motion(example, shape, change, turn, rng)
    part, motion_of_part = _needed(example, motion, shape)
    values = motion_of_part.image(part, shape)
    if change.intensity:
        low, high = rng.uniform(-1, 1, 2)
        values = values * (1 + CONTRAST * low) + BRIGHTNESS * high
    edges, kept = _visible(motion.boxes(example.boxes.edges), shape)
    masks = None
    if example.things is not None:
        things = motion.numbers(example.things, shape)
        masks = things[None] == torch.from_numpy(kept + 1)[:, None, None]
        # A box is as large as what is seen of its thing.
        there = masks.flatten(1).any(dim=1).numpy()
        masks, kept = masks[there], kept[there]
        edges = _around(masks)
    index = {c.value: k for k, c in enumerate(example.boxes.classes)}
    numbers = torch.tensor([index[label] for label in example.boxes.labels[kept].tolist()], dtype=torch.int64)
    flat = torch.from_numpy(edges.reshape(len(edges), 2 * len(shape)).astype(np.float32))
    return Seen(values, flat, numbers, masks)


def mosaic(
    examples: Sequence[Example], shape: tuple[int, int], change: Change, turn: bool, rng: np.random.Generator
) -> Seen:
    """Return a view put together of parts of four planes, which meet at a random place near its middle.

    Parameters
    ----------
    examples : sequence of Example
        Four planes.
    shape : (int, int)
        Of the view.
    change, turn, rng
        As for `seen`; each part is changed by itself.
    """
    y, x = (int(rng.integers(round(0.3 * n), round(0.7 * n) + 1)) for n in shape)
    places = [((0, 0), (y, x)), ((0, x), (y, shape[1] - x)), ((y, 0), (shape[0] - y, x)),
              ((y, x), (shape[0] - y, shape[1] - x))]  # fmt: skip
    values = torch.zeros((len(examples[0].values), *shape))
    edges, labels, masks = [], [], []
    for example, ((top, left), size) in zip(examples, places, strict=True):
        part = seen(example, size, change, turn, rng)
        values[:, top : top + size[0], left : left + size[1]] = part.values
        edges.append(part.edges + torch.tensor([top, left, top, left]))
        labels.append(part.labels)
        if part.masks is not None:
            whole = torch.zeros((len(part.masks), *shape), dtype=torch.bool)
            whole[:, top : top + size[0], left : left + size[1]] = part.masks
            masks.append(whole)
    return Seen(values, torch.cat(edges), torch.cat(labels), torch.cat(masks) if len(masks) == len(examples) else None)


def _motion(example: Example, shape: tuple[int, ...], change: Change, turn: bool, rng: np.random.Generator) -> Motion:
    axes = len(shape)
    order = [*range(axes - 2), axes - 1, axes - 2] if turn else list(range(axes))
    signs = np.where(rng.random(axes) < 0.5, -1.0, 1.0) if change.flips else np.ones(axes)
    zoom = float(np.exp(rng.uniform(-1, 1) * np.log(change.scale)))
    matrix = zoom * np.eye(axes)[order] * signs[None]
    angle = np.radians(change.rotation * rng.uniform(-1, 1))
    if angle:
        rotation = np.eye(axes)
        rotation[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix = rotation @ matrix
    size = np.array(example.shape, float)
    extent = zoom * size[order]
    slack = np.array(shape) - extent
    start = rng.random(axes) * slack
    boxes = example.boxes
    if len(boxes) and (slack < 0).any() and rng.random() < FOCUS:
        middle = boxes.centres[rng.integers(len(boxes))]
        place = (middle - size / 2) @ matrix.T + extent / 2
        wanted = rng.uniform(0.15, 0.85, axes) * np.array(shape) - place
        start = np.where(slack < 0, np.clip(wanted, slack, 0), start)
    return Motion(matrix, size / 2, start + extent / 2)


def _needed(example: Example, motion: Motion, shape: tuple[int, ...]) -> tuple[torch.Tensor, Motion]:
    """Return the part of the image that a view shows, with a voxel around it, and the motion from that part."""
    corners = np.stack(np.meshgrid(*[(0.0, n) for n in shape], indexing="ij"), axis=-1).reshape(-1, len(shape))
    places = (corners - motion.view_centre) @ np.linalg.inv(motion.matrix).T + motion.image_centre
    size = np.array(example.shape)
    low = np.clip(np.floor(places.min(axis=0)) - 1, 0, size - 1).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)) + 1, low + 1, size).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    values = torch.from_numpy(np.array(example.values[(slice(None), *box)], np.float32))
    return values, Motion(motion.matrix, motion.image_centre - low, motion.view_centre)


def _around(masks: torch.Tensor) -> NDArray[np.float64]:
    """Return the (n, 2, 2) edges of (n, y, x) masks, none of them empty."""
    found = np.empty((len(masks), 2, 2))
    for axis in range(2):
        line = masks.any(dim=2 - axis).numpy()
        found[:, 0, axis] = line.argmax(axis=1)
        found[:, 1, axis] = line.shape[1] - line[:, ::-1].argmax(axis=1)
    return found


def _visible(edges: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the edges of the boxes that are seen, cut at the border of the view, and their numbers."""
    cut = np.clip(edges, 0, np.array(shape, float))
    inside, whole = (np.prod(e[:, 1] - e[:, 0], axis=1) for e in (cut, edges))
    kept = np.flatnonzero(inside > VISIBLE * whole)
    return cut[kept], kept
