"""Scoring predicted label maps against references, case by case and class by class."""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from nibabel.orientations import apply_orientation
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.data.label_array import label_array
from napari_medseg.errors import Cancelled, DataError, MedsegError
from napari_medseg.evaluate.metrics import Mask, dice, hausdorff95, surface_dice
from napari_medseg.evaluate.pairing import Pair, pair
from napari_medseg.evaluate.report import (
    ClassScores,
    Scores,
    SegmentationReport,
    compare,
    intervals_of,
    mean_scores,
)
from napari_medseg.evaluate.resample import onto_grid
from napari_medseg.io import read
from napari_medseg.progress import Control, Event, Finished, Progress, with_time_left
from napari_medseg.volume import Geometry, LabelClass, Volume

GRID_TOLERANCE_MM = 0.01
Labels = NDArray[np.integer]


class ScoreOptions(BaseModel):
    """How to score."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    tolerance: Annotated[float, Field(ge=0)] = 1.0
    """Distance that counts as agreement of surfaces, in mm (in voxels for images without geometry)."""
    scheme: Literal["dense", "foreground"] = "dense"
    """dense: each nonzero value is a class. foreground: all nonzero values are one, as in masks of 0 and 255 and in
    maps that number their objects."""
    resample: bool = False
    """Whether a prediction on another grid is brought to the reference's by nearest neighbour; else it is a failure."""
    names: dict[int, str] = {}
    """Names of class values; of others, those in the files, or the value."""
    cases: tuple[str, ...] | None = None
    """Names of the cases to score; None for all references."""
    seed: int = 0
    """Of the bootstrap."""


def evaluate_segmentation(
    predictions: Path | str,
    references: Path | str,
    *,
    tolerance: float = 1.0,
    compare_with: Path | str | None = None,
    options: ScoreOptions | None = None,
    control: Control | None = None,
) -> SegmentationReport:
    """Score predicted label maps against references.

    Parameters
    ----------
    predictions, references : path
        Two files, or two folders whose files pair by name without suffix; see
        `napari_medseg.evaluate.pairing.pair`.
    tolerance : float
        Distance that counts as agreement of surfaces; without effect where `options` are given.
    compare_with : path, optional
        Another model's predictions on the same cases.
    options : ScoreOptions, optional
        How to score.
    control : Control, optional
        Cancels between two cases.

    Returns
    -------
    SegmentationReport
        Per case and class, the means with their intervals, and the comparison.

    Raises
    ------
    DataError
        If there is nothing to score, or a reference is no label map.
    ReadError
        If a reference cannot be read.
    """
    *_, finished = score_segmentation(
        control or Control(),
        Path(predictions),
        Path(references),
        options or ScoreOptions(tolerance=tolerance),
        None if compare_with is None else Path(compare_with),
    )
    assert isinstance(finished, Finished)
    assert isinstance(finished.result, SegmentationReport)
    return finished.result


def score_segmentation(
    control: Control,
    predictions: Path,
    references: Path,
    options: ScoreOptions | None = None,
    compare_with: Path | None = None,
) -> Iterator[Event]:
    """Score as a stream of events; see `evaluate_segmentation`.

    Yields
    ------
    Event
        `Progress` per case, and last `Finished` with a `SegmentationReport`.
    """
    options = options or ScoreOptions()
    cases, failures, unit = yield from _score_all(control, pair(predictions, references, options.cases), options)
    comparison = None
    if compare_with is not None:
        others = pair(compare_with, references, options.cases)
        second, failed, _unit = yield from _score_all(control, others, options)
        yield Progress("Comparing", 0, 1)
        comparison = compare(cases, second, failed, options.seed)
    yield Finished(
        SegmentationReport(
            cases=cases,
            mean=mean_scores(cases),
            tolerance=options.tolerance,
            unit=unit,
            failures=failures,
            intervals=intervals_of(cases, options.seed),
            comparison=comparison,
        )
    )


def _score_all(
    control: Control, pairs: Sequence[Pair], options: ScoreOptions
) -> Generator[Event, None, tuple[Scores, dict[str, str], str]]:
    """Return the scores of all cases, why some have no prediction, and the unit of distances."""
    started, units = time.monotonic(), set()
    cases: Scores = {}
    failures: dict[str, str] = {}
    for done, each in enumerate(pairs, start=1):
        control.checkpoint()
        reference = _as_asked(_read_labels(each.reference), options)
        try:
            predicted = _as_asked(_prediction(each, reference, options), options)
            cases[each.name] = score_case(predicted, reference, tolerance=options.tolerance, name=each.name)
        except Cancelled:
            raise
        except MedsegError as error:
            failures[each.name] = error.problem
            nothing = Volume(np.zeros(reference.spatial_shape, np.uint8), reference.geometry, kind="labels")
            cases[each.name] = score_case(nothing, reference, tolerance=options.tolerance, name=each.name)
        units.add("voxels" if reference.geometry is None else "mm")
        yield with_time_left("Scoring", len(pairs), started, done)
    if len(units) > 1:
        raise DataError(
            "Some of the cases have geometry and others have none, so distances cannot be averaged.",
            "Score the two kinds separately.",
        )
    return cases, failures, next(iter(units))


def _prediction(each: Pair, reference: Volume, options: ScoreOptions) -> Volume:
    if each.predicted is None:
        raise DataError("There is no prediction.")
    predicted = _read_labels(each.predicted)
    return onto_grid(predicted, reference) if options.resample else predicted


def _as_asked(volume: Volume, options: ScoreOptions) -> Volume:
    """Return a label map with the classes, and the names of classes, that the options ask for."""
    if options.scheme == "foreground":
        name = options.names.get(1, "foreground")
        classes: tuple[LabelClass, ...] = (LabelClass(value=1, name=name),)
        data = (_whole_numbers(volume, volume.name) != 0).astype(np.uint8)
        return Volume(data, volume.geometry, name=volume.name, kind="labels", classes=classes)
    given = tuple(LabelClass(value=value, name=name) for value, name in options.names.items())
    kept = tuple(entry for entry in volume.classes if entry.value not in options.names)
    return replace(volume, kind="labels", classes=(*kept, *given))


def score_case(
    predicted: Volume, reference: Volume, *, tolerance: float = 1.0, name: str = "case"
) -> dict[str, ClassScores]:
    """Score one label map against its reference.

    Parameters
    ----------
    predicted, reference : Volume
        Label maps on the same voxels; the order and direction of their axes may differ.
    tolerance : float
        Distance that counts as agreement of surfaces, in mm (in voxels without geometry).
    name : str
        For messages.

    Returns
    -------
    dict of str to ClassScores
        By class name: every nonzero value that occurs in either.

    Raises
    ------
    DataError
        If the grids differ, or values are no class numbers.
    """
    if predicted.geometry is None or reference.geometry is None:
        # Where one map lies nowhere, both are taken as they are stored.
        predicted, reference = (replace(volume, geometry=None) for volume in (predicted, reference))
    (first, grid), (second, other) = _upright(predicted, name), _upright(reference, name)
    _check_grids(first, grid, second, other, name)
    spacing = None if grid is None or other is None else other.spacing
    voxel_ml = None if spacing is None or other is None or other.ndim == 2 else other.voxel_volume_ml
    values = sorted((set(np.unique(first).tolist()) | set(np.unique(second).tolist())) - {0})
    names = {c.value: c.name for c in (*predicted.classes, *reference.classes)}
    return {
        names.get(value, f"class {value}"): _score(first == value, second == value, spacing, tolerance, voxel_ml)
        for value in values
    }


def _read_labels(path: Path) -> Volume:
    volumes = read(path)
    if len(volumes) != 1:
        raise DataError(f"{path.name} holds {len(volumes)} images instead of one label map.", "Split the file.")
    return volumes[0]


def _whole_numbers(volume: Volume, name: str) -> Labels:
    """Return whole numbers, one per voxel, or raise `DataError`."""
    data = label_array(volume, name)
    labels = data.astype(np.int64) if data.dtype.kind in "biuf" else None
    if labels is None or (labels < 0).any() or not np.array_equal(labels, data):
        raise DataError(f"{name}: {volume.name} is not a label map.", "Its values must be whole numbers of 0 or more.")
    return labels


def _upright(volume: Volume, name: str) -> tuple[Labels, Geometry | None]:
    """Return the labels, and their grid, with axes in one order and direction whatever the file has."""
    labels = _whole_numbers(volume, name)
    if volume.geometry is None or volume.geometry.ndim == 2:
        return labels, volume.geometry
    grid, transform = volume.geometry.reoriented("SPL")
    return np.asarray(apply_orientation(labels, transform)), grid


def _check_grids(first: Labels, grid: Geometry | None, second: Labels, other: Geometry | None, name: str) -> None:
    if first.shape != second.shape:
        raise DataError(
            f"{name}: the prediction has {first.shape} voxels and the reference {second.shape}.",
            "Predict on the image that the reference was drawn on, or resample one to the other.",
        )
    if grid is not None and other is not None and not grid.matches(other, GRID_TOLERANCE_MM):
        apart = float(np.linalg.norm(grid.corners() - other.corners(), axis=1).max())
        raise DataError(
            f"{name}: the prediction and the reference lie up to {apart:.3g} mm apart in space.",
            "Predict on the image that the reference was drawn on, or repair the header of one of them.",
        )


def _score(
    predicted: Mask, reference: Mask, spacing: Sequence[float] | None, tolerance: float, voxel_ml: float | None
) -> ClassScores:
    volumes = {}
    if voxel_ml is not None:
        first, second = (int(np.count_nonzero(mask)) * voxel_ml for mask in (predicted, reference))
        volumes = {
            "predicted_ml": first,
            "reference_ml": second,
            "volume_error_ml": first - second,
            "volume_error_percent": 100 * (first - second) / second if second else float("nan"),
        }
    return ClassScores(
        dice=dice(predicted, reference),
        hd95=hausdorff95(predicted, reference, spacing),
        nsd=surface_dice(predicted, reference, tolerance, spacing),
        **volumes,
    )
