"""What a score on held-out voxels is worth: how many patients or places it is from, and within which bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.split import ENOUGH_UNITS
from napari_medseg.evaluate.statistics import resampled_interval

RESAMPLES = 1000


@dataclass(frozen=True)
class Measured:
    """The Dice of one class on held-out voxels."""

    dice: float
    units: int
    """Held-out patients or blocks that have the class."""
    low: float | None = None
    high: float | None = None
    """Bounds of 95 %, by drawing patients or blocks anew; None for fewer than three."""

    @property
    def validated(self) -> bool:
        """Whether there is enough to say how far the number may be off."""
        return self.low is not None


@dataclass(frozen=True)
class Measurement:
    """What is known of how good a model is."""

    classes: dict[str, Measured]
    """Per foreground class with held-out voxels."""
    unit: str
    """``"patient"`` or ``"block"``."""
    units: int
    """How many were held out."""
    share: float
    """Of all patients or annotation."""
    missing: tuple[str, ...] = ()
    """Foreground classes without held-out voxels."""

    @property
    def dice(self) -> dict[str, float] | None:
        """Dice by class; None if nothing was held out."""
        return {name: found.dice for name, found in self.classes.items()} or None

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers, as `ModelSpec.metrics` has them."""
        numbers = {f"dice/{name}": found.dice for name, found in self.classes.items()}
        for name, found in self.classes.items():
            if found.low is not None and found.high is not None:
                numbers |= {f"dice_low/{name}": found.low, f"dice_high/{name}": found.high}
        return numbers

    def __str__(self) -> str:
        if not self.classes:
            return f"Not validated: nothing could be held out. {self._wanted(0, 'each class')}"
        parts = [_text(name, found, self.unit) for name, found in self.classes.items()]
        text = f"Dice on {_many(self.units, f'held-out {self.unit}')}: {', '.join(parts)}."
        weak = {name: found.units for name, found in self.classes.items() if not found.validated}
        weak |= dict.fromkeys(self.missing, 0)
        if weak:
            text += f" Too little to validate: {', '.join(weak)}. {self._wanted(min(weak.values()), 'them')}"
        return text

    def _wanted(self, present: int, what: str) -> str:
        more, where = ceil((ENOUGH_UNITS - present) / max(self.share, 0.01)), "places well apart"
        if self.unit == "patient":
            # Of so many, `hold_out` takes one of each three.
            more, where = ENOUGH_UNITS * (ENOUGH_UNITS - present), "patients"
        return f"Annotate {what} in about {more} more {where} to know how far the Dice may be off."


def measure(overlaps: Mapping[str, NDArray[np.int64]], names: Sequence[str], unit: str, share: float) -> Measurement:
    """Return Dice with intervals from counts per held-out unit.

    Parameters
    ----------
    overlaps : mapping of str to (class, 3) int64 array
        Per patient or block: voxels of intersection, prediction and reference.
    names : sequence of str
        Of the classes, background first.
    unit : str
        ``"patient"`` or ``"block"``.
    share : float
        Of the annotation that is held out.
    """
    counts = np.stack([overlaps[key] for key in sorted(overlaps)]) if overlaps else np.zeros((0, len(names), 3))
    present = (counts[:, :, 2] > 0).sum(axis=0)
    dice = dice_of(counts.sum(axis=0), names)
    bounds = {}
    if len(counts) >= ENOUGH_UNITS:
        bounds = resampled_interval(lambda drawn: dice_of(counts[drawn].sum(axis=0), names), len(counts), RESAMPLES)
    classes = {}
    for number, name in enumerate(names):
        if number and present[number]:
            bound = bounds.get(name) if present[number] >= ENOUGH_UNITS else None
            ends = (bound.low, bound.high) if bound is not None else (None, None)
            classes[name] = Measured(dice[name], int(present[number]), *ends)
    missing = tuple(name for number, name in enumerate(names) if number and not present[number])
    return Measurement(classes, unit, len(counts), share, missing)


def dice_of(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """Return the Dice of each class with reference voxels but background, from (class, 3) counts."""
    both, predicted, reference = np.asarray(counts, float).T
    return {
        name: float(2 * both[k] / (predicted[k] + reference[k]))
        for k, name in enumerate(names)
        if k and reference[k] > 0
    }


def _text(name: str, found: Measured, unit: str) -> str:
    if found.low is None or found.high is None:
        return f"{name} {found.dice:.2f} (from {_many(found.units, unit)})"
    return f"{name} {found.dice:.2f} ({found.low:.2f} to {found.high:.2f}, {_many(found.units, unit)})"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
