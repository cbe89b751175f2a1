"""How fast is learnt at a step, and from which images."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_medseg import processes
from napari_medseg.training.scored.run import ScoredConfig

TIMED = 8
"""Steps before a time budget becomes a number of steps."""


def rate_of(step: int, steps: int | None, config: ScoredConfig) -> float:
    """Return the learning rate of a step: it rises, then falls as half a cosine.

    Parameters
    ----------
    step : int
        Steps taken before.
    steps : int, optional
        Steps planned; None while they are timed.
    config : ScoredConfig
        Peak and share of the rise.

    Examples
    --------
    >>> config = ScoredConfig(learning_rate=1.0, warmup=0.1)
    >>> [round(rate_of(step, 200, config), 3) for step in (0, 19, 110, 199)]
    [0.05, 1.0, 0.5, 0.0]
    """
    rise = TIMED if steps is None else max(TIMED, round(config.warmup * steps))
    if steps is None or step < rise:
        return config.learning_rate * min(1.0, (step + 1) / rise)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(steps - rise, 1), 1.0)))


def seed_of(seed: int, step: int) -> int:
    """Return the seed of what is random in a step of this process."""
    others = [processes.rank()] if processes.rank() else []
    return int(np.random.SeedSequence([seed, step, *others]).generate_state(1)[0])


def spread(some: int, count: int) -> list[int]:
    """Return which images to take for so many of them, evenly over all.

    Examples
    --------
    >>> spread(4, 10)
    [0, 2, 5, 7]
    """
    return [k * count // some for k in range(some)]


def batch_numbers(place: int, count: int, size: int, seed: int) -> list[int]:
    """Return which images make a batch: each as often as any other, in an order of its own per round.

    Parameters
    ----------
    place : int
        Batches before this one, over all processes.
    count : int
        Images.
    size : int
        Images per batch.
    seed : int
        Makes the orders.

    Examples
    --------
    >>> sorted(batch_numbers(0, 6, 4, 0) + batch_numbers(1, 6, 4, 0) + batch_numbers(2, 6, 4, 0))
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    """
    places = (divmod(k, count) for k in range(place * size, (place + 1) * size))
    return [int(_order(round_, count, seed)[index]) for round_, index in places]


@lru_cache(maxsize=4)
def _order(round_: int, count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, round_]).permutation(count)
