"""Whether suggestions beat chance: each was mixed with a random place, and what was corrected at both is counted."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.sample import BACKGROUND_VALUE
from napari_medseg.data.suggest.places import Place

Kind = Literal["suggested", "random"]
FEWEST = 5
"""Places of each kind below which nothing is said about a difference."""
SHUFFLES = 2000
LIKELY = 0.05
"""A difference counts if chance alone makes one as large less often than this."""


def corrected_voxels(predicted: NDArray[np.integer], before: NDArray[np.integer], after: NDArray[np.integer]) -> int:
    """Return how many voxels were given another class than the prediction's, at one place in one visit.

    Parameters
    ----------
    predicted : integer array
        Class values that the user saw; 0 is background.
    before, after : integer array
        The user's labels when they came and when they left: 0 unlabelled, 255 background.

    Examples
    --------
    >>> corrected_voxels(np.array([0, 2, 2, 1]), np.array([0, 0, 1, 0]), np.array([255, 255, 1, 2]))
    2
    """
    said = np.where(after == BACKGROUND_VALUE, 0, after)
    return int(np.count_nonzero((after != before) & (after != 0) & (said != predicted)))


@dataclass(frozen=True)
class Trial:
    """A place that was visited."""

    kind: Kind
    place: Place
    share: float
    """Of its voxels that were corrected."""


@dataclass(frozen=True)
class Report:
    """What the visits say."""

    suggested: int
    """Places that were suggested."""
    random: int
    """Places that were random."""
    suggested_share: float
    """Mean share of voxels that were corrected there; nan without a place."""
    random_share: float
    verdict: str
    """One sentence for the user."""


@dataclass(eq=False)
class Trials:
    """Which kind of place comes next, and what was corrected where.

    Of any two places that follow one another one is suggested and one is random, in an order that nobody can guess.

    Parameters
    ----------
    seed : int, optional
        Of all randomness; by default another one each time.
    """

    seed: int | None = None
    done: list[Trial] = field(default_factory=list)
    _ahead: list[Kind] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def next_kind(self) -> Kind:
        """Return the kind of the next place."""
        if not self._ahead:
            self._ahead = ["suggested", "random"]
            if self.random.random() < 0.5:
                self._ahead.reverse()
        return self._ahead.pop()

    def report(self) -> Report:
        """Return what the visits say so far."""
        ours = np.array([trial.share for trial in self.done if trial.kind == "suggested"])
        chance = np.array([trial.share for trial in self.done if trial.kind == "random"])
        means = (float(ours.mean()) if ours.size else np.nan, float(chance.mean()) if chance.size else np.nan)
        return Report(ours.size, chance.size, *means, _verdict(ours, chance))


def _verdict(ours: NDArray[np.float64], chance: NDArray[np.float64]) -> str:
    if min(ours.size, chance.size) < FEWEST:
        return f"Too few to tell: {FEWEST} of each kind are needed."
    difference = ours.mean() - chance.mean()
    if _by_chance(ours, chance) >= LIKELY:
        return "No difference that chance could not make."
    if difference > 0:
        return "Suggestions find more to correct than random places."
    return "Random places have more to correct: look around by yourself, too."


def _by_chance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return how often shuffling the kinds gives a difference of means at least as large."""
    together, random = np.concatenate([one, other]), np.random.default_rng(0)
    seen = abs(one.mean() - other.mean())
    shuffled = random.permuted(np.tile(together, (SHUFFLES, 1)), axis=1)
    differences = np.abs(shuffled[:, : one.size].mean(axis=1) - shuffled[:, one.size :].mean(axis=1))
    return float((1 + np.count_nonzero(differences >= seen - 1e-12)) / (1 + SHUFFLES))
