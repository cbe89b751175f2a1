"""Writing a volume or prediction so that a failure never costs the file that was there before."""

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import MedsegError, WriteError
from napari_medseg.io.format import Format, ReadOptions, Written, formats
from napari_medseg.io.orientation import onto_grid
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.volume import Geometry, LabelClass, Volume

if TYPE_CHECKING:
    from dask.array import Array as DaskArray

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 26
"""Of voxels that are compared at one go."""
CORNER_TOLERANCE_MM = 1e-3
"""NIfTI keeps its affine in 32-bit floats: a corner may move by some 1e-5 mm; more than this is an error."""


def write(
    item: Volume | Prediction,
    path: str | Path,
    *,
    overwrite: bool = True,
    reference: Volume | str | Path | None = None,
    report: Callable[[str], None] = log.warning,
) -> Path:
    """Write a volume, or the label map of a prediction, in the format that the suffix of `path` names.

    The file is written under a temporary name, read again, compared voxel by voxel and corner by corner with what was
    meant, and only then renamed.

    Parameters
    ----------
    item : Volume or Prediction
        Label maps are stored in the smallest unsigned integer type that holds their values.
    path : str or Path
        Where to; the folder is made if it is not there. Without a suffix, an image becomes a DICOM series in a new
        folder of that name.
    overwrite : bool
        Whether a file that exists may be replaced. A folder is only replaced if it is empty or holds what this package
        wrote, and nothing else.
    reference : Volume, str or Path, optional
        The image that `item` was drawn on or made from, or the folder of its DICOM series: DICOM files that are
        written refer to it and belong to its patient and study. By default what `item` itself was read from.
    report : callable, optional
        Called with each sentence about what the file could not hold or had to assume; by default it is logged.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    WriteError
        If the format cannot hold the volume or what was re-read differs; a file that was there before is untouched.
    """
    path = Path(path)
    form = _writer(path)
    _check_place(path, form, overwrite=overwrite)
    volume = _referring(compact_labels(as_volume(item)), reference)
    with replacing(path) as temporary:
        try:
            meant = form.write(volume, temporary) or Written(volume)  # type: ignore[misc]  # it can, says _writer
            found = meant.read(temporary) if meant.read else form.read(temporary, ReadOptions())
            check_equal(meant, found, path)
        except (OSError, ValueError, TypeError, NotImplementedError) as error:
            raise WriteError(
                f"{path} could not be written ({error}).", "Check the folder and the free space."
            ) from error
        except MedsegError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(f"What was written to {path} cannot be read again: {error.problem}") from error
    for note in meant.notes:
        report(note)
    return path


def check_target(path: Path) -> None:
    """Raise `WriteError` if `write` could not write to a path: before work begins whose result would be lost."""
    _check_place(path, _writer(path), overwrite=True)


def _check_place(path: Path, form: Format, *, overwrite: bool) -> None:
    """Raise unless nothing of the user's would be lost by writing to a path."""
    if not overwrite and path.exists():
        raise WriteError(f"{path} exists.", "Choose another name or allow overwriting.")
    if path.is_dir() and any(path.iterdir()) and not (form.is_own_folder and form.is_own_folder(path)):
        raise WriteError(f"{path} is a folder that holds other files, which would be lost.", "Choose a new name.")


def _referring(volume: Volume, reference: Volume | str | Path | None) -> Volume:
    """Return the volume with the series that it is about."""
    if reference is None:
        return volume
    if isinstance(reference, Volume):
        return replace(volume, source=reference.source, series_id=reference.series_id)
    return replace(volume, source=(Path(reference),), series_id=None)


def as_volume(item: Volume | Prediction) -> Volume:
    """Return a volume as it is, and a prediction as the volume of its first label map."""
    if isinstance(item, Volume):
        return item
    found = next((output for output in item.outputs if isinstance(output, LabelMap)), None)
    if found is None:
        raise WriteError(f"The prediction of {item.bundle} has no label map to write.", "Write its volumes one by one.")
    return Volume(
        found.labels,
        item.geometry,
        name=item.bundle,
        kind="labels",
        classes=found.classes,
        derivation=f"predicted by {item.bundle}",
    )


def compact_labels(volume: Volume) -> Volume:
    """Return a label volume in the smallest unsigned integer type that holds its values; images as they are."""
    if volume.kind != "labels":
        return volume
    data = np.asarray(volume.data)
    low, high = (int(data.min()), int(data.max())) if data.size else (0, 0)
    if data.dtype.kind not in "uib" or low < 0:
        raise WriteError(
            f"{volume.name}: labels must be integers of 0 or more; these are {data.dtype} from {data.min()}.",
            "Convert the label map to whole numbers first.",
        )
    return replace(volume, data=data.astype(np.min_scalar_type(high), copy=False))


def check_equal(meant: Written, found: list[Volume], path: Path) -> None:
    """Raise `WriteError` unless the one volume found has the voxels, the grid and the classes of the one meant."""
    if len(found) != 1:
        raise WriteError(f"{path} came back as {len(found)} volumes instead of one.")
    wanted, got = meant.volume, found[0]
    # A format may store the axes in its own order and direction.
    if wanted.geometry is not None:
        placed = onto_grid(got, wanted.geometry, CORNER_TOLERANCE_MM)
    else:
        placed = got if got.geometry is None else None
    if placed is None:
        raise WriteError(
            f"{path} came back on another grid than the one written (affine {_affine_text(got.geometry)} instead of "
            f"{_affine_text(wanted.geometry)}).",
            "Choose a format that holds this geometry, such as .nii.gz.",
        )
    if not _same_values(wanted.data, placed.data, meant.tolerance):
        raise WriteError(
            f"{path} came back with other voxels than those written ({wanted.data.shape} {wanted.data.dtype} became "
            f"{got.data.shape} {got.data.dtype}).",
            "Choose a format that holds this kind of image, such as .nii.gz.",
        )
    named = {_look(label) for label in got.classes}
    lost = [label for label in wanted.classes if label.value and _look(label) not in named]
    if lost:
        raise WriteError(
            f"{path} came back without the class {lost[0].value} {lost[0].name!r} in {lost[0].color}.",
            "Choose a format that holds class names, such as .nii.gz.",
        )


def _look(label: LabelClass) -> tuple[int, str, str]:
    """Return what is told of a class, but for white space around its name and the case of its colour."""
    return label.value, label.name.strip(), label.color.lower()


def _affine_text(geometry: Geometry | None) -> str:
    return "none" if geometry is None else str(geometry.affine.tolist())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` with its suffixes, and move what was written there to `path` at the end."""
    token = uuid.uuid4().hex[:8]
    temporary, old = path.with_name(f".{token}-{path.name}"), path.with_name(f".{token}-old-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path.parent} is not a folder and could not be made ({error.strerror}).") from error
    try:
        yield temporary
        # A folder cannot be replaced in one step: the old one steps aside first.
        if path.is_dir():
            path.rename(old)
        os.replace(temporary, path)
    except OSError as error:
        raise WriteError(f"{path} could not be written ({error.strerror}).", "Check the folder's rights.") from error
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for rest in (temporary, old):
            _remove(rest)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _writer(path: Path) -> Format:
    named = [form for form in formats() if form.can_write(path)]
    if not named and (path.is_dir() or not path.suffix):
        named = [form for form in formats() if form.writes_folders]
    if named:
        return named[0]
    names = ", ".join(pattern.removeprefix("*") for form in formats() if form.write for pattern in form.written)
    raise WriteError(
        f"{path.name} has no suffix of a format that can be written.",
        f"Use one of {names}, or none for a DICOM series.",
    )


def _same_values(
    meant: "NDArray[np.generic] | DaskArray", got: "NDArray[np.generic] | DaskArray", tolerance: float
) -> bool:
    """Return whether two arrays are equal, compared in blocks so that a lazy one is never whole in memory."""
    if meant.shape != got.shape:
        return False
    rows = max(1, BLOCK_BYTES // max(1, meant.dtype.itemsize * prod(meant.shape[1:])))
    rows = max(rows, getattr(meant, "chunksize", (1,))[0], getattr(got, "chunksize", (1,))[0])
    starts = range(0, meant.shape[0], rows)
    blocks = ((np.asarray(meant[at : at + rows]), np.asarray(got[at : at + rows])) for at in starts)
    return all(_same_block(one, other, tolerance) for one, other in blocks)


def _same_block(meant: NDArray[np.generic], got: NDArray[np.generic], tolerance: float) -> bool:
    if tolerance:
        pairs = zip(meant, got, strict=True)
        return all(bool(np.abs(np.subtract(a, b, dtype=np.float64)).max() <= tolerance) for a, b in pairs)
    return bool(np.array_equal(meant, got, equal_nan=meant.dtype.kind in "fc"))
