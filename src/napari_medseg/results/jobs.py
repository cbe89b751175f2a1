"""The tools of this package as jobs for `napari_medseg.jobs`: from file to file, with a small result."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.postprocess import PostProcessing
from napari_medseg.io import read, write
from napari_medseg.prediction import LabelMap
from napari_medseg.progress import Control, Event, Finished, Progress
from napari_medseg.results.cleaning import ClassChange, change_map, changes, clean
from napari_medseg.results.compare import comparing, errors
from napari_medseg.results.label_map import label_map
from napari_medseg.results.measure import measure
from napari_medseg.results.surfaces import surfaces
from napari_medseg.results.table import Cell
from napari_medseg.volume import LabelClass, Volume


@dataclass(frozen=True)
class Cleaned:
    """What post-processing made of a label map."""

    labels: Path
    """The new label map, on the grid of the old one."""
    changed: Path
    """Where it differs, as the classes of `cleaning.CHANGES`."""
    classes: tuple[LabelClass, ...]
    """Of the new label map."""
    changes: tuple[ClassChange, ...]


@dataclass(frozen=True)
class Surface:
    """A surface on disk: ``<stem>-<value>.npz`` with ``vertices`` and ``faces``, see `surfaces.Mesh`."""

    entry: LabelClass
    path: Path


@dataclass(frozen=True)
class Compared:
    """Scores of one label map against another, and where they differ."""

    rows: tuple[dict[str, Cell], ...]
    """One per class; see `compare.Comparison.rows`."""
    errors: Path
    """As the classes of `compare.ERRORS`, on the grid of the label maps."""


def clean_labels(
    control: Control, labels: Path, processing: dict[str, Any], out: Path, kept: int = 0
) -> Iterator[Event]:
    """Post-process a label map.

    Parameters
    ----------
    control : Control
        Cancels.
    labels : Path
        Anything `napari_medseg.io.read` reads as one label map.
    processing : dict
        Fields of `PostProcessing`.
    out : Path
        Label map to write; where it differs goes to ``<stem>-changes`` beside it.
    kept : int
        Value that the user painted to say that there is no class: those voxels keep it whatever the steps do.

    Yields
    ------
    Event
        `Progress`, and last `Finished` with `Cleaned`.
    """
    volume = _one(labels)
    before = label_map(volume, unlabelled=kept)
    after = yield from clean(before, _processing(processing), volume.geometry, control)
    painted = np.asarray(volume.data).reshape(before.labels.shape) == kept if kept else None
    if painted is not None:
        after.labels[painted] = 0
    control.checkpoint()
    yield Progress("Saving", 0, 1)
    beside = out.with_name(f"{out.stem}-changes{out.suffix}")
    _write(change_map(before, after), volume, beside)
    told = changes(before, after, volume.geometry)
    if painted is not None:
        after.labels[painted] = kept
    _write(after, volume, out)
    yield Finished(Cleaned(out, beside, after.classes, told))


def measure_labels(control: Control, labels: Path, image: Path | None = None) -> Iterator[Event]:
    """Measure each class of a label map.

    Parameters
    ----------
    control : Control
        Cancels.
    labels : Path
        Label map.
    image : Path, optional
        Image on the same grid.

    Yields
    ------
    Event
        `Progress`, and last `Finished` with a tuple of `Measures`.
    """
    light = None if image is None else _one(image)
    yield Finished((yield from measure(_one(labels), light, control)))


def make_surfaces(
    control: Control, labels: Path, values: Sequence[int], smoothing_mm: float, out: Path
) -> Iterator[Event]:
    """Make the surfaces of classes.

    Parameters
    ----------
    control : Control
        Cancels.
    labels : Path
        Label map.
    values : sequence of int
        Classes; all if empty.
    smoothing_mm : float
        See `surfaces`.
    out : Path
        Its stem is the beginning of the files' names.

    Yields
    ------
    Event
        `Progress`, notes, and last `Finished` with a tuple of `Surface`.
    """
    meshes = yield from surfaces(_one(labels), values, smoothing_mm, control)
    found = []
    for mesh in meshes:
        path = out.with_name(f"{out.stem}-{mesh.entry.value}.npz")
        np.savez(path, vertices=mesh.vertices, faces=mesh.faces)
        found.append(Surface(mesh.entry, path))
    yield Finished(tuple(found))


def compare_labels(control: Control, first: Path, second: Path, tolerance: float, out: Path) -> Iterator[Event]:
    """Compare two label maps on one grid.

    Parameters
    ----------
    control : Control
        Cancels.
    first, second : Path
        Label maps; the second is the reference.
    tolerance : float
        Distance that counts as agreement of surfaces.
    out : Path
        Where the errors are written.

    Yields
    ------
    Event
        `Progress` per class, and last `Finished` with `Compared`.
    """
    one, other = _one(first), _one(second)
    comparison = yield from comparing(one, other, tolerance, control)
    control.checkpoint()
    yield Progress("Saving", 0, 1)
    _write(errors(one, other), other, out)
    yield Finished(Compared(tuple(comparison.rows()), out))


def _processing(values: dict[str, Any]) -> PostProcessing:
    try:
        return PostProcessing.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"A step after the network cannot be used: {first['msg']}.", "Change its values.") from error


def _one(path: Path) -> Volume:
    volumes = read(path)
    if len(volumes) != 1:
        raise DataError(f"{path.name} holds {len(volumes)} volumes.", "Give a file that holds one.")
    return volumes[0]


def _write(found: LabelMap, like: Volume, path: Path) -> None:
    write(Volume(found.labels, like.geometry, name=like.name, kind="labels", classes=found.classes), path)
