"""Scoring predicted label maps against references, case by case and class by class."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.evaluate.metrics import Mask, dice, hausdorff95, surface_dice
from napari_medseg.evaluate.report import ClassScores, SegmentationReport, mean_scores
from napari_medseg.io import formats, read
from napari_medseg.io.format import stem
from napari_medseg.progress import Control, Event, Finished, with_time_left
from napari_medseg.volume import Geometry, Volume

GRID_TOLERANCE_MM = 0.01
Labels = NDArray[np.integer]


def evaluate_segmentation(
    predictions: Path | str, references: Path | str, *, tolerance: float = 1.0, control: Control | None = None
) -> SegmentationReport:
    """Score predicted label maps against references.

    Parameters
    ----------
    predictions, references : path
        Two files, or two folders whose files pair by name without suffix.
    tolerance : float
        Distance that counts as agreement of surfaces, in mm (in voxels for images without geometry).
    control : Control, optional
        Cancels between two cases.

    Returns
    -------
    SegmentationReport
        Per case and class, and the means.

    Raises
    ------
    DataError
        If a reference has no prediction, or the two are not on the same grid.
    ReadError
        If a file cannot be read.
    """
    *_, finished = score_segmentation(control or Control(), Path(predictions), Path(references), tolerance)
    assert isinstance(finished, Finished)
    assert isinstance(finished.result, SegmentationReport)
    return finished.result


def score_segmentation(
    control: Control, predictions: Path, references: Path, tolerance: float = 1.0
) -> Iterator[Event]:
    """Score as a stream of events; see `evaluate_segmentation`.

    Parameters
    ----------
    control : Control
        Cancels between two cases.
    predictions, references : Path
        Two files, or two folders whose files pair by name without suffix.
    tolerance : float
        Distance that counts as agreement of surfaces.

    Yields
    ------
    Event
        `Progress` per case, and last `Finished` with a `SegmentationReport`.
    """
    pairs = pair_by_name(predictions, references)
    started, cases, units = time.monotonic(), {}, set()
    for done, (name, (predicted, reference)) in enumerate(pairs.items(), start=1):
        control.checkpoint()
        first, second = _read_labels(predicted), _read_labels(reference)
        cases[name] = score_case(first, second, tolerance=tolerance, name=name)
        units.add("voxels" if first.geometry is None or second.geometry is None else "mm")
        yield with_time_left("Scoring", len(pairs), started, done)
    if len(units) > 1:
        raise DataError(
            "Some of the cases have geometry and others have none, so distances cannot be averaged.",
            "Score the two kinds separately.",
        )
    yield Finished(
        SegmentationReport(cases=cases, mean=mean_scores(cases), tolerance=tolerance, unit=next(iter(units)))
    )


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


def pair_by_name(predictions: Path, references: Path) -> dict[str, tuple[Path, Path]]:
    """Return the prediction and the reference of each case, by the name that both files share without suffix.

    Raises
    ------
    DataError
        If there is no reference, or one without prediction, or a name occurs twice.
    """
    if predictions.is_file() and references.is_file():
        return {stem(references): (predictions, references)}
    predicted, wanted = _by_stem(predictions), _by_stem(references)
    missing = sorted(wanted.keys() - predicted.keys())
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} references have no prediction in {predictions}, such as {missing[0]}.",
            "Give the predictions the names of their references.",
        )
    return {name: (predicted[name], path) for name, path in wanted.items()}


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", "Check the path.")
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and _is_image(path))
    found = {stem(path): path for path in paths}
    if not paths:
        raise DataError(f"{folder} holds no label maps.", "Choose the folder with the files themselves.")
    if len(found) < len(paths):
        twice = next(path.name for path in paths if found[stem(path)] != path)
        raise DataError(f"{folder} holds several files named like {twice} without suffix.", "Keep one of them.")
    return found


def _is_image(path: Path) -> bool:
    return any(form.matches(path) for form in formats())


def _read_labels(path: Path) -> Volume:
    volumes = read(path)
    if len(volumes) != 1:
        raise DataError(f"{path.name} holds {len(volumes)} images instead of one label map.", "Split the file.")
    return volumes[0]


def _upright(volume: Volume, name: str) -> tuple[Labels, Geometry | None]:
    """Return the labels, and their grid, with axes in one order and direction whatever the file has."""
    data = np.asarray(volume.data)
    labels = data.astype(np.int64) if data.dtype.kind in "biuf" else None
    if labels is None or volume.rgb or (labels < 0).any() or not np.array_equal(labels, data):
        raise DataError(f"{name}: {volume.name} is not a label map.", "Its values must be whole numbers of 0 or more.")
    labels = labels.reshape(volume.spatial_shape) if labels.size == np.prod(volume.spatial_shape) else labels
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
        volumes = {"predicted_ml": first, "reference_ml": second, "volume_error_ml": first - second}
    return ClassScores(
        dice=dice(predicted, reference),
        hd95=hausdorff95(predicted, reference, spacing),
        nsd=surface_dice(predicted, reference, tolerance, spacing),
        **volumes,
    )
