"""Whether a new model may take the place of an earlier one, from how both score on the same voxels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.split import ENOUGH_UNITS
from napari_medseg.training.measured import dice_of

Counts = NDArray[np.int64]
WORSE = 0.02
"""A mean Dice lower by more than this is worse, whether or not the held-out voxels are enough to be sure."""
FORGOTTEN = 0.05
"""A class whose Dice on voxels that were labelled before falls by more than this was forgotten in part."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Change:
    """Dice of a class by the earlier and by the new model, on the same voxels."""

    name: str
    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.name} {self.before:.2f} → {self.after:.2f}"


@dataclass(frozen=True)
class Verdict:
    """Whether a new model takes the place of an earlier one."""

    accepted: bool
    reason: str
    """One sentence for the user."""
    earlier: str
    """Name of the earlier model."""
    held_out: tuple[Change, ...] = ()
    """Per class that both know, on held-out voxels."""
    labelled: tuple[Change, ...] = ()
    """Per class that both know, on voxels that a human labelled before."""
    difference: float | None = None
    """Mean Dice on held-out voxels, new minus earlier; None where nothing is held out."""
    low: float | None = None
    high: float | None = None
    """Bounds of 95 % of the difference; None for fewer than three patients or blocks."""
    units: int = 0
    """Held-out patients or blocks."""

    @property
    def forgotten(self) -> tuple[Change, ...]:
        """The classes that the new model knows clearly less well where they were labelled before."""
        return tuple(change for change in self.labelled if change.before - change.after > FORGOTTEN)

    def __str__(self) -> str:
        parts = [self.reason]
        if self.held_out:
            parts.append(f"Held out: {_listed(self.held_out)}.")
        if self.labelled:
            parts.append(f"Labelled before: {_listed(self.labelled)}.")
        if self.forgotten:
            parts.append(f"Forgotten in part: {', '.join(change.name for change in self.forgotten)}.")
        return " ".join(parts)


@dataclass(frozen=True, eq=False)
class Scores:
    """What one model has in common with the truth: (class, 3) voxels of intersection, prediction and reference."""

    held_out: Mapping[str, Counts]
    """Per held-out patient or block."""
    labelled: Counts
    """On voxels that a human labelled before."""


def judge(earlier: str, before: Scores, after: Scores, names: Sequence[str]) -> Verdict:
    """Compare two models.

    The new one is refused if it is worse on held-out voxels: for sure, or by more than `WORSE`; without held-out
    voxels, if it is worse by more than that on voxels that were labelled before.

    Parameters
    ----------
    earlier : str
        Name of the earlier model.
    before, after : Scores
        Of the earlier and of the new model, on the same voxels.
    names : sequence of str
        Of the classes that both know, background first.
    """
    labelled = _changes(before.labelled, after.labelled, names)
    keys = sorted(before.held_out)
    old, new = (_stacked(scores.held_out, keys, len(names)) for scores in (before, after))
    held_out = _changes(old.sum(axis=0), new.sum(axis=0), names)
    if not held_out:
        return _without_held_out(earlier, labelled)
    difference = _mean(held_out)
    low, high = _bounds(old, new, names)
    known = {
        "earlier": earlier, "held_out": held_out, "labelled": labelled, "difference": difference, "low": low,
        "high": high, "units": len(keys),
    }  # fmt: skip
    surely = high is not None and high < 0
    if surely or difference < -WORSE:
        sure = "" if surely else ", though on too little to be sure"
        return Verdict(False, f"Worse than {earlier}: mean Dice lower by {-difference:.3f}{sure}.", **known)  # type: ignore[arg-type]
    if low is not None and low > 0:
        return Verdict(True, f"Better than {earlier}: mean Dice higher by {difference:.3f}.", **known)  # type: ignore[arg-type]
    return Verdict(True, f"No worse than {earlier}: mean Dice {difference:+.3f}.", **known)  # type: ignore[arg-type]


def _without_held_out(earlier: str, labelled: tuple[Change, ...]) -> Verdict:
    if not labelled:
        return Verdict(False, f"It shares no labelled class with {earlier}, so they cannot be compared.", earlier)
    difference = _mean(labelled)
    if difference < -WORSE:
        reason = f"Worse than {earlier} where it was labelled: mean Dice lower by {-difference:.3f}."
        return Verdict(False, reason, earlier, labelled=labelled)
    reason = f"Nothing is held out; where it was labelled, no worse than {earlier}: mean Dice {difference:+.3f}."
    return Verdict(True, reason, earlier, labelled=labelled)


def _changes(before: Counts, after: Counts, names: Sequence[str]) -> tuple[Change, ...]:
    old, new = dice_of(before, names), dice_of(after, names)
    return tuple(Change(name, old[name], new[name]) for name in old)


def _mean(changes: Sequence[Change]) -> float:
    return float(np.mean([change.after - change.before for change in changes]))


def _bounds(old: Counts, new: Counts, names: Sequence[str]) -> tuple[float | None, float | None]:
    """Return the bounds of 95 % of the difference in mean Dice, by drawing the same units for both."""
    if len(old) < ENOUGH_UNITS:
        return None, None
    rng, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(old), len(old))
        changes = _changes(old[drawn].sum(axis=0), new[drawn].sum(axis=0), names)
        if changes:
            found.append(_mean(changes))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _stacked(counts: Mapping[str, Counts], keys: Sequence[str], classes: int) -> Counts:
    return np.stack([counts[key] for key in keys]) if keys else np.zeros((0, classes, 3), np.int64)


def _listed(changes: Sequence[Change]) -> str:
    return ", ".join(map(str, changes))
