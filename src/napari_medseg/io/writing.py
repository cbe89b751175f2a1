"""Writing a volume or prediction so that a failure never costs the file that was there before."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import MedsegError, WriteError
from napari_medseg.io.format import Format, ReadOptions, formats
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.prediction import LabelMap, Prediction
from napari_medseg.volume import Geometry, Volume

CORNER_TOLERANCE_MM = 1e-3
"""NIfTI keeps its affine in 32-bit floats: a corner may move by some 1e-5 mm; more than this is an error."""


def write(item: Volume | Prediction, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write a volume, or the label map of a prediction, in the format that the suffix of `path` names.

    The file is written under a temporary name, read again, compared voxel by voxel and corner by corner with what was
    meant, and only then renamed.

    Parameters
    ----------
    item : Volume or Prediction
        Label maps are stored in the smallest unsigned integer type that holds their values.
    path : str or Path
        Where to; the folder is made if it is not there.
    overwrite : bool
        Whether a file that exists may be replaced.

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
    if not overwrite and path.exists():
        raise WriteError(f"{path} exists.", "Choose another name or allow overwriting.")
    volume = compact_labels(as_volume(item))
    with replacing(path) as temporary:
        try:
            form.write(volume, temporary)  # type: ignore[misc]  # _writer returns formats that can write
            check_equal(volume, form.read(temporary, ReadOptions()), path)
        except (OSError, ValueError, TypeError, NotImplementedError) as error:
            raise WriteError(
                f"{path} could not be written ({error}).", "Check the folder and the free space."
            ) from error
        except MedsegError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(f"What was written to {path} cannot be read again: {error.problem}") from error
    return path


def as_volume(item: Volume | Prediction) -> Volume:
    """Return a volume as it is, and a prediction as the volume of its first label map."""
    if isinstance(item, Volume):
        return item
    found = next((output for output in item.outputs if isinstance(output, LabelMap)), None)
    if found is None:
        raise WriteError(f"The prediction of {item.bundle} has no label map to write.", "Write its volumes one by one.")
    return Volume(found.labels, item.geometry, name=item.bundle, kind="labels", classes=found.classes)


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


def check_equal(meant: Volume, found: list[Volume], path: Path) -> None:
    """Raise `WriteError` unless the one volume found has the voxels and the grid of the one meant."""
    if len(found) != 1:
        raise WriteError(f"{path} came back as {len(found)} volumes instead of one.")
    # A format may store the axes in its own order; both sides are compared in ours.
    meant, got = nearest_zyx(meant), nearest_zyx(found[0])
    if not _same_values(np.asarray(meant.data), np.asarray(got.data)):
        raise WriteError(
            f"{path} came back with other voxels than those written ({meant.data.shape} {meant.data.dtype} became "
            f"{got.data.shape} {got.data.dtype}).",
            "Choose a format that holds this kind of image, such as .nii.gz.",
        )
    if not _same_grid(meant.geometry, got.geometry):
        raise WriteError(
            f"{path} came back on another grid than the one written (affine {_affine_text(got.geometry)} instead of "
            f"{_affine_text(meant.geometry)}).",
            "Choose a format that holds this geometry, such as .nii.gz.",
        )


def _same_grid(meant: Geometry | None, got: Geometry | None) -> bool:
    if meant is None or got is None:
        return meant is got
    return meant.matches(got, CORNER_TOLERANCE_MM)


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
    able = [form for form in formats() if form.write is not None]
    for form in able:
        if form.matches(path):
            return form
    names = ", ".join(pattern.removeprefix("*") for form in able for pattern in form.patterns)
    raise WriteError(f"{path.name} has no suffix of a format that can be written.", f"Use one of {names}.")


def _same_values(meant: NDArray[np.generic], got: NDArray[np.generic]) -> bool:
    if meant.shape != got.shape:
        return False
    return bool(np.array_equal(meant, got, equal_nan=meant.dtype.kind in "fc"))
