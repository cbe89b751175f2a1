"""Lays out the folder of a training run: image and labels as memory-mapped files, and the run's configuration."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.errors import DataError
from napari_medseg.io import write
from napari_medseg.io.formats import mapped
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.design import Design, design_spec
from napari_medseg.models.retarget import fine_tuned_spec
from napari_medseg.training import Case, RunFolder, TrainConfig, create_run
from napari_medseg.ui.folders import new_run_folder
from napari_medseg.ui.labels_mirror import LabelsMirror
from napari_medseg.volume import LabelClass, Volume

CASE = "image"
"""The one case of a run that is started from the viewer."""


@dataclass(frozen=True)
class TrainPlan:
    """What the user decided before pressing Train."""

    name: str
    """Of the new model."""
    classes: tuple[LabelClass, ...]
    """To be learnt, without background."""
    design: Design
    """Of a new network; without effect when there is a bundle to start from."""
    start: Bundle | None
    """To start from."""
    config: TrainConfig
    complete: bool = False
    """Whether what is not painted is background, instead of unlabelled."""


@dataclass(frozen=True)
class LaidOut:
    """A run that is ready to start."""

    run: RunFolder
    mirror: LabelsMirror
    """Writes edits of the labels into the run's copy."""
    classes: tuple[LabelClass, ...]
    ignored: tuple[int, ...] = ()
    """Label values that belong to no class, and are left out."""


def lay_out_run(plan: TrainPlan, image: Volume, labels: Callable[[], Volume]) -> LaidOut:
    """Write everything that a training needs into a new folder. Takes a moment for a large volume.

    Parameters
    ----------
    plan : TrainPlan
        What the user decided.
    image : Volume
        The image.
    labels : callable
        Returns the labels on exactly the grid of `image`.
    """
    strokes = labels()
    check_strokes(np.asarray(strokes.data), plan.classes, plan.complete)
    folder = new_run_folder()
    image_path = write(image, folder / "image.medvol")
    labels_path = folder / "labels.medvol"
    mirror = _empty_copy(strokes, labels_path, plan)
    edit = mirror.update(np.asarray(strokes.data))
    scheme: Literal["sparse", "dense"] = "dense" if plan.complete else "sparse"
    case = Case(id=CASE, image=image_path, labels=labels_path, scheme=scheme)
    init = plan.start.path if plan.start is not None else None
    run = create_run(folder, spec_of(plan, image), [case], plan.config, init)
    return LaidOut(run, mirror, plan.classes, edit.ignored)


def spec_of(plan: TrainPlan, image: Volume) -> ModelSpec:
    """Return the specification of the model to be made: a new design, or the start's with the user's classes."""
    if plan.start is None:
        return design_spec(plan.name, image, plan.classes, plan.design)
    return fine_tuned_spec(plan.start.spec, plan.name, plan.classes)


def check_strokes(labels: NDArray[np.integer], classes: tuple[LabelClass, ...], complete: bool = False) -> None:
    """Raise `DataError` unless there is something to tell apart: two of the classes, or a class and background."""
    painted = [c.name for c in classes if (labels == c.value).any()]
    if not painted:
        raise DataError("No class is painted yet.", "Pick a class in the table and paint a few strokes on the image.")
    if len(painted) == 1 and not complete and not (labels == BACKGROUND_VALUE).any():
        raise DataError(
            f"Only {painted[0]} is painted, so there is nothing to tell it from.",
            "Paint a few strokes of background (the first row of the table) or of another class.",
        )


def _empty_copy(strokes: Volume, path: Path, plan: TrainPlan) -> LabelsMirror:
    """Write a label map without labels, of unsigned integers that have room for every class."""
    values = [c.value for c in plan.classes] + ([] if plan.complete else [BACKGROUND_VALUE])
    dtype = np.uint8 if max(values) <= BACKGROUND_VALUE else np.uint16
    mapped.write(replace(strokes, data=np.broadcast_to(dtype(0), strokes.data.shape), classes=plan.classes), path)
    return LabelsMirror(path, values)
