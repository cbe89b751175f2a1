"""Whether the probability follows the map: deletion and insertion (Petsiuk et al., RISE, 2018)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.explain.result import Curve, Curves
from napari_medseg.explain.scenes.scene import Scene

BLOCKS = 8
"""Along each edge, of the order by chance."""

Answer = Callable[[torch.Tensor, int], NDArray[np.float64]]
"""(image, channel, ...) tensors and the number of their piece to one probability per image."""


@dataclass(frozen=True)
class CurveSettings:
    """How to delete and insert."""

    baseline: str
    """What the baseline is, in a word."""
    steps: int
    seed: int
    """Of the order by chance."""
    batch: int
    """Images at once."""


def curves_of(
    scene: Scene, important: NDArray[np.float32], baseline: torch.Tensor, settings: CurveSettings, answer: Answer
) -> Curves:
    """Delete and insert the voxels of an image in the order of a map.

    Parameters
    ----------
    scene : Scene
        The image.
    important : (z, y, x) array
        The map; large values first.
    baseline : (channel, z, y, x) tensor
        As the scene's canvas.
    settings : CurveSettings
        How.
    answer : callable
        The network.
    """
    rng, covered = np.random.default_rng(settings.seed), scene.covered
    own = _ranks(important, covered, rng)
    chance = _ranks(_blocks(important.shape, rng), covered, rng)
    found = {}
    for what, before, after in (("deletion", scene.canvas, baseline), ("insertion", baseline, scene.canvas)):
        values = _walk(scene, own, (before, after), settings, answer)
        others = _walk(scene, chance, (before, after), settings, answer)
        found[what] = Curve(tuple(values.tolist()), _area(values), _area(others))
    return Curves(found["deletion"], found["insertion"], settings.baseline)


def passes(scene: Scene, steps: int) -> int:
    """Return how many images go through the network."""
    return 4 * (steps + 1) * len(scene.pieces)


def _ranks(values: NDArray[np.float32], covered: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the place of each voxel among those that a piece shows, from 0 for the largest to 1; others come last."""
    ranks = np.ones(values.shape, np.float32)
    inside = np.flatnonzero(covered)
    # Equal values come in no order: that of the array would follow the image.
    shuffled = rng.permutation(inside)
    order = shuffled[np.argsort(-values.ravel()[shuffled], kind="stable")]
    ranks.ravel()[order] = np.arange(len(order), dtype=np.float32) / max(len(order), 1)
    return ranks


def _blocks(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a map of blocks with a value each, drawn at random."""
    drawn = rng.random(tuple(min(BLOCKS, n) for n in shape), np.float32)
    places = np.ix_(*(np.arange(n) * m // n for n, m in zip(shape, drawn.shape, strict=True)))
    return np.asarray(drawn[places])


def _walk(
    scene: Scene,
    ranks: NDArray[np.float32],
    ends: tuple[torch.Tensor, torch.Tensor],
    settings: CurveSettings,
    answer: Answer,
) -> NDArray[np.float64]:
    """Return the probability while the first of two canvases becomes the second."""
    shares = torch.linspace(0, 1, settings.steps + 1)
    total = np.zeros(len(shares))
    for number, piece in enumerate(scene.pieces):
        before, after = (scene.cut(end, piece) for end in ends)
        order = scene.cut(torch.from_numpy(ranks)[None], piece)
        for start in range(0, len(shares), settings.batch):
            part = shares[start : start + settings.batch].view(-1, *[1] * order.ndim)
            total[start : start + len(part)] += answer(torch.where(order < part, after, before), number)
    return total


def _area(values: NDArray[np.float64]) -> float:
    return float(np.trapezoid(values, dx=1 / (len(values) - 1)))
