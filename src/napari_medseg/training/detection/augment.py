"""Random views of images with their boxes: parts, mirrored, turned, scaled; planes and volumes alike."""

from dataclasses import dataclass

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


def seen(
    example: Example, shape: tuple[int, ...], change: Change, turn: bool, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
    values : (channel, ...) float32 tensor
        Of `shape`.
    edges : (n, 2 * axes) float32 tensor
        Starts and stops of the boxes in the view.
    labels : (n,) int64 tensor
        Class indices.
    """
    motion = _motion(example, shape, change, turn, rng)
    part, motion_of_part = _needed(example, motion, shape)
    values = motion_of_part.image(part, shape)
    if change.intensity:
        low, high = rng.uniform(-1, 1, 2)
        values = values * (1 + CONTRAST * low) + BRIGHTNESS * high
    edges, labels = _visible(motion.boxes(example.boxes.edges), example, shape)
    index = {c.value: k for k, c in enumerate(example.boxes.classes)}
    numbers = torch.tensor([index[label] for label in labels.tolist()], dtype=torch.int64)
    return values, torch.from_numpy(edges.reshape(len(edges), 2 * len(shape)).astype(np.float32)), numbers


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


def _visible(
    edges: NDArray[np.float64], example: Example, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    cut = np.clip(edges, 0, np.array(shape, float))
    inside, whole = (np.prod(e[:, 1] - e[:, 0], axis=1) for e in (cut, edges))
    kept = inside > VISIBLE * whole
    return cut[kept], example.boxes.labels[kept]
