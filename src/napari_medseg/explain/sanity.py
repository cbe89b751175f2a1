"""Whether a map depends on what was learnt (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018)."""

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.explain.result import ALIKE, DIFFERENT, Sanity, Stage, Verdict

STAGES = 5
"""Of a cascade."""
MOST_VALUES = 200_000
"""That are ranked; of larger maps, every n-th is taken."""
WINDOW = 7
"""Edge of the window of the structural similarity."""


def judge(stages: Sequence[Stage], draws: int) -> Sanity:
    """Return the verdict on the last stage."""
    found = stages[-1].similarity
    verdict: Verdict = "failed" if found >= ALIKE else "passed" if found < DIFFERENT else "unclear"
    return Sanity(tuple(stages), draws, verdict)


def with_random_weights(network: nn.Module, cascade: bool, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield copies of a network with more and more random weights, the last with all, and what is random in them.

    Each tensor is drawn from a normal distribution of the size of its own values, so that signals stay as strong.

    Parameters
    ----------
    network : nn.Module
        Left as it is.
    cascade : bool
        Whether to begin with the last layers; else all are random at once.
    seed : int
        Of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    names = [name for name, parameter in network.named_parameters() if parameter.is_floating_point()]
    changed, cuts = copy.deepcopy(network), [0, len(names)]
    if cascade:
        cuts = sorted({round(len(names) * stage / STAGES) for stage in range(STAGES + 1)})
    known = dict(changed.named_parameters())
    for first, end in pairwise(cuts):
        part = names[::-1][first:end]
        with torch.no_grad():
            for name in part:
                drawn = torch.randn(known[name].shape, generator=generator)
                known[name].copy_(drawn.to(known[name]) * known[name].square().mean().sqrt())
        yield "all" if end == len(names) else part[-1].rpartition(".")[0], changed


def compare(first: NDArray[np.float32], second: NDArray[np.float32], planar: bool, layers: str = "all") -> Stage:
    """Return how alike two maps are.

    Parameters
    ----------
    first, second : (z, y, x) array
        The map and one with random weights.
    planar : bool
        Whether structures are those of planes.
    layers : str
        Which weights were random.
    """
    if not np.ptp(first) or not np.ptp(second):
        return Stage(layers, 0.0, 0.0, 0.0)
    step = max(1, first.size // MOST_VALUES)
    a, b = first.ravel()[::step], second.ravel()[::step]
    return Stage(
        layers,
        _correlation(a, b),
        _correlation(np.abs(a), np.abs(b)),
        _ssim(_scaled(first), _scaled(second), planar),
    )


def mean_of(stages: Sequence[Stage]) -> Stage:
    """Return the mean over draws."""
    known = [stage.ssim for stage in stages if stage.ssim is not None]
    return Stage(
        stages[0].layers,
        float(np.mean([stage.rank_correlation for stage in stages])),
        float(np.mean([stage.rank_correlation_abs for stage in stages])),
        float(np.mean(known)) if known else None,
    )


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the rank correlation; 0 where values without variation have none."""
    from scipy.stats import spearmanr

    found = float(np.asarray(spearmanr(first, second).statistic))
    return found if np.isfinite(found) else 0.0


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(values / np.abs(values).max(), np.float64)


def _ssim(first: NDArray[np.float64], second: NDArray[np.float64], planar: bool) -> float | None:
    from skimage.metrics import structural_similarity

    pairs = list(zip(first, second, strict=True)) if planar else [(first, second)]
    edge = min(WINDOW, *pairs[0][0].shape)
    edge -= 1 - edge % 2
    if edge < 3:
        return None
    reach = 1.0 if min(first.min(), second.min()) >= 0 else 2.0
    return float(np.mean([structural_similarity(a, b, win_size=edge, data_range=reach) for a, b in pairs]))
