"""Post-processing of a label map in parts, so that it can be watched and stopped, and what it changed."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_medseg.inference.postprocess import KeepLargest, PostProcessing, RemoveSmall, Step
from napari_medseg.inference.postprocess.apply import apply_step
from napari_medseg.prediction import LabelMap
from napari_medseg.progress import Control, Event, with_time_left
from napari_medseg.results.table import Cell
from napari_medseg.volume import Geometry, LabelClass

UNCHANGED, REMOVED, ADDED, MOVED = range(4)
CHANGES = (
    LabelClass(value=UNCHANGED, name="unchanged"),
    LabelClass(value=REMOVED, name="removed", color="#ff00ff"),
    LabelClass(value=ADDED, name="added", color="#00ffff"),
    LabelClass(value=MOVED, name="other class", color="#ffff00"),
)
"""What the preview of a change holds: voxels that become background, that were background, and that change class."""


@dataclass(frozen=True)
class ClassChange:
    """What post-processing did to one class."""

    entry: LabelClass
    removed: int
    """Voxels that are of this class no more."""
    added: int
    """Voxels that are of this class now."""
    voxel_ml: float | None
    """Volume of a voxel; None without geometry and for planes."""

    def row(self) -> dict[str, Cell]:
        """Return the change by heading."""
        row: dict[str, Cell] = {"class": self.entry.name, "removed": self.removed, "added": self.added}
        if self.voxel_ml is not None:
            row["change (ml)"] = (self.added - self.removed) * self.voxel_ml
        return row


def clean(
    labels: LabelMap, processing: PostProcessing, geometry: Geometry | None = None, control: Control | None = None
) -> Generator[Event, None, LabelMap]:
    """Do the steps of `processing` on a label map, one class at a time where classes do not meet.

    Parameters
    ----------
    labels : LabelMap
        Left as it is.
    processing : PostProcessing
        The steps.
    geometry : Geometry, optional
        Grid of the labels, for sizes in mm.
    control : Control, optional
        Cancels between two parts.

    Yields
    ------
    Event
        `Progress` per part.

    Returns
    -------
    LabelMap
        What `napari_medseg.inference.postprocess.postprocess` returns.

    Raises
    ------
    ConfigError
        If a step names a class that is not there.
    DataError
        If a step needs a size in mm³ and there is no geometry.
    """
    result = labels
    started, done = time.monotonic(), 0
    total = sum(len(_parts(step, result.classes)) for step in processing.steps)
    for step in processing.steps:
        for part in _parts(step, result.classes):
            if control is not None:
                control.checkpoint()
            yield with_time_left("Cleaning up", max(total, done + 1), started, done)
            result = apply_step(result, part, geometry)
            done += 1
    return result


def _parts(step: Step, classes: Sequence[LabelClass]) -> list[Step]:
    """Return a step as one step per class, if that comes to the same."""
    if not isinstance(step, KeepLargest | RemoveSmall):
        return [step]
    values = step.classes or [entry.value for entry in classes if entry.value]
    return [step.model_copy(update={"classes": (value,)}) for value in values]


def changes(before: LabelMap, after: LabelMap, geometry: Geometry | None = None) -> tuple[ClassChange, ...]:
    """Return what happened to each class that changed, in order of value."""
    classes = {entry.value: entry for entry in (*before.classes, *after.classes) if entry.value}
    differs = before.labels != after.labels
    highest = max(classes, default=0) + 1
    lost, won = (np.bincount(found.labels[differs], minlength=highest) for found in (before, after))
    voxel_ml = geometry.voxel_volume_ml if geometry is not None and geometry.ndim == 3 else None
    counted: Iterator[ClassChange] = (
        ClassChange(entry, int(lost[value]), int(won[value]), voxel_ml) for value, entry in sorted(classes.items())
    )
    return tuple(change for change in counted if change.removed or change.added)


def change_map(before: LabelMap, after: LabelMap) -> LabelMap:
    """Return where a label map changed, as the classes of `CHANGES`."""
    a, b = before.labels, after.labels
    found = np.zeros(a.shape, np.uint8)
    differs = a != b
    found[differs] = np.select([b[differs] == 0, a[differs] == 0], [REMOVED, ADDED], MOVED)
    return LabelMap(found, CHANGES)
