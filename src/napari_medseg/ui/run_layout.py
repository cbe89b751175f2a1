"""Lays out the folder of a training run: image and labels as memory-mapped files, and the run's configuration."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.data.fingerprint import window_of
from napari_medseg.errors import DataError
from napari_medseg.io import write
from napari_medseg.io.formats import mapped
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.design import Design, design_spec
from napari_medseg.models.ensemble import trainable
from napari_medseg.models.library import folder_of
from napari_medseg.models.retarget import fine_tuned_spec
from napari_medseg.models.versions import place_of
from napari_medseg.training import Case, RunFolder, TrainConfig, create_run
from napari_medseg.ui.folders import new_run_folder
from napari_medseg.ui.labels_mirror import LabelsMirror
from napari_medseg.volume import Geometry, LabelClass, Volume

CASE = "image"
"""Identifier of the case that the user looks at."""


@dataclass(frozen=True, eq=False)
class Source:
    """An image with labels, to be copied into a run."""

    image: Callable[[], Volume]
    """Returns the image."""
    labels: Callable[[Volume], Volume]
    """Returns the labels on exactly the grid of the image that it is given."""
    id: str = CASE
    """Identifier within the run."""
    name: str = "this image"
    """For messages."""
    group: str = ""
    """Patient; see `Case.group`."""
    learnt: bool = True
    """Whether to train on it; otherwise it only counts where the model is compared with the one before."""


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
    models: Path | None = None
    """Folder of the models among which it takes the place of that of its name; the user's library if None."""


@dataclass(frozen=True)
class LaidOut:
    """A run that is ready to start."""

    run: RunFolder
    mirrors: dict[str, LabelsMirror]
    """By case, write edits of the labels into the run's copies."""
    classes: tuple[LabelClass, ...]
    ignored: tuple[int, ...] = ()
    """Label values that belong to no class, and are left out."""


def lay_out_run(plan: TrainPlan, sources: Sequence[Source], parent: Path | None = None) -> LaidOut:
    """Write everything that a training needs into a new folder. Takes a moment for a large volume.

    Parameters
    ----------
    plan : TrainPlan
        What the user decided.
    sources : sequence of Source
        What to train on, the case that the user looks at first, and then what is only compared on.
    parent : Path, optional
        Folder of the runs; that of all runs without a project if None.
    """
    folder = new_run_folder(parent)
    try:
        return _lay_out(plan, sources, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _lay_out(plan: TrainPlan, sources: Sequence[Source], folder: Path) -> LaidOut:
    mirrors: dict[str, LabelsMirror] = {}
    first: tuple[Volume, NDArray[np.generic]] | None = None
    grids: list[Geometry | None] = []
    cases: list[Case] = []
    checked: list[Case] = []
    learnt = sum(source.learnt for source in sources)
    painted: set[int] = set()
    ignored: set[int] = set()
    scheme: Literal["sparse", "dense"] = "dense" if plan.complete else "sparse"
    for number, source in enumerate(sources, 1):
        suffix = "" if number == 1 else f"-{number}"
        image = source.image()
        strokes = source.labels(image)
        check_names(strokes.classes, plan.classes, source.name)
        painted |= {int(value) for value in np.unique(np.asarray(strokes.data))}
        if number == learnt:
            check_painted(painted, plan.classes, plan.complete)
        first = first or (image, np.asarray(strokes.data))
        grids += [image.geometry] if source.learnt else []
        mirror = _empty_copy(strokes, folder / f"labels{suffix}.medvol", plan)
        ignored |= set(mirror.update(np.asarray(strokes.data)).ignored)
        mirrors[source.id] = mirror
        # The name may be that of a file, and so of a patient.
        copied = write(replace(image, name="image", warnings=()), folder / f"image{suffix}.medvol")
        labels = folder / f"labels{suffix}.medvol"
        case = Case(id=source.id, image=copied, labels=labels, scheme=scheme, group=source.group)
        (cases if source.learnt else checked).append(case)
    assert first is not None
    spec = spec_of(plan, *first, grids)
    init = trainable(plan.start).path if plan.start is not None else None
    place = place_of(plan.name) if plan.models is None else plan.models / folder_of(plan.name)
    run = create_run(folder, spec, cases, plan.config, init, place, checked)
    return LaidOut(run, mirrors, plan.classes, tuple(sorted(ignored)))


def spec_of(
    plan: TrainPlan,
    image: Volume,
    labels: NDArray[np.generic] | None = None,
    grids: Sequence[Geometry | None] = (),
) -> ModelSpec:
    """Return the specification of the model to be made: a new design, or the start's with the user's classes.

    Parameters
    ----------
    plan : TrainPlan
        What the user decided.
    image : Volume
        The first image to learn from.
    labels : integer array, optional
        On it.
    grids : sequence of Geometry or None, optional
        Of all images to learn from, the first one first.
    """
    if plan.start is None:
        window = None if labels is None else window_of([(image, labels)])
        return design_spec(plan.name, image, plan.classes, plan.design, intensity=window, others=grids[1:])
    return fine_tuned_spec(trainable(plan.start).spec, plan.name, plan.classes)


def check_painted(values: set[int], classes: tuple[LabelClass, ...], complete: bool = False) -> None:
    """Raise `DataError` unless there is something to tell apart: two of the classes, or a class and background.

    Parameters
    ----------
    values : set of int
        Those in the labels of all cases.
    classes : tuple of LabelClass
        To be learnt.
    complete : bool
        Whether what is not painted is background.
    """
    painted = [c.name for c in classes if c.value in values]
    if not painted:
        raise DataError("No class is painted yet.", "Pick a class in the table and paint a few strokes on the image.")
    if len(painted) == 1 and not complete and BACKGROUND_VALUE not in values:
        raise DataError(
            f"Only {painted[0]} is painted, so there is nothing to tell it from.",
            "Paint a few strokes of background (the first row of the table) or of another class.",
        )


def check_names(found: Iterable[LabelClass], wanted: Iterable[LabelClass], case: str) -> None:
    """Raise `DataError` if a case calls a class by another name: a mix-up would be learnt."""
    names = {entry.value: entry.name for entry in wanted}
    for entry in found:
        if entry.value in names and names[entry.value] != entry.name:
            raise DataError(
                f"Class {entry.value} is {names[entry.value]!r} in the table, but {entry.name!r} in {case}.",
                "Give it the same name in both, or do not learn from that case.",
            )


def _empty_copy(strokes: Volume, path: Path, plan: TrainPlan) -> LabelsMirror:
    """Write a label map without labels, of unsigned integers that have room for every class."""
    values = [c.value for c in plan.classes] + ([] if plan.complete else [BACKGROUND_VALUE])
    dtype = np.uint8 if max(values) <= BACKGROUND_VALUE else np.uint16
    empty = np.broadcast_to(dtype(0), strokes.data.shape)
    mapped.write(replace(strokes, data=empty, name="labels", classes=plan.classes, warnings=()), path)
    return LabelsMirror(path, values)
