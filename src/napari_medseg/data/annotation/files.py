"""What is known of a label map, as one file beside it.

``annotation.npz`` is a zip archive that numpy and any unzip program open, without pickled objects:

- ``state.json``: ``version`` (1), ``shape`` of the label map, ``models`` (``name``, ``version``, ``confirmed``; the
  first has number 1), ``finished`` ((axis, index) pairs), ``complete``, ``locked`` (values), ``learn_accepted``;
- ``source.npy`` and ``written.npy``: per voxel the number of the model that wrote it last and the value that it wrote;
  left out where no model wrote anything.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_medseg.data.annotation.record import Annotation, ModelVersion
from napari_medseg.errors import ReadError

FILE = "annotation.npz"
"""Name of the file in the folder of the labels, such as ``labels.medvol``."""
VERSION = 1
ARRAYS = ("source", "written")


def save(annotation: Annotation, folder: Path) -> Path:
    """Write ``annotation.npz`` into the folder of the labels, atomically, and return it; `OSError` if it cannot be."""
    path = folder / FILE
    temporary = path.with_name(f".{FILE}.{os.getpid()}.tmp")
    state = {
        "version": VERSION,
        "shape": list(annotation.shape),
        "models": [{"name": m.name, "version": m.version, "confirmed": m.confirmed} for m in annotation.models],
        "finished": sorted([axis, index] for axis, index in annotation.finished),
        "complete": annotation.complete,
        "locked": sorted(annotation.locked),
        "learn_accepted": annotation.learn_accepted,
    }
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr("state.json", json.dumps(state, indent=1))
                for name in ARRAYS:
                    array: NDArray[np.unsignedinteger] | None = getattr(annotation, name)
                    if array is not None:
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                            npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load(folder: Path) -> Annotation | None:
    """Return what was saved in the folder of a label map; None if nothing was.

    Raises
    ------
    ReadError
        If the file is damaged, or of a later version.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            state = json.loads(archive.read("state.json"))
            if state["version"] != VERSION:
                raise ReadError(f"{path.name} has layout {state['version']!r}.", "Update napari-medseg.")
            return _from_state(state, {name: _array(archive, name) for name in ARRAYS})
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError) as error:
        raise ReadError(
            f"{path.name} in {folder.name} is damaged: {error}.",
            "Delete the file to go on with the labels alone; all of them then count as yours.",
        ) from error


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[np.unsignedinteger] | None:
    if f"{name}.npy" not in archive.namelist():
        return None
    with archive.open(f"{name}.npy") as member:
        array: NDArray[np.unsignedinteger] = npy.read_array(member, allow_pickle=False)
    return array


def _from_state(state: dict[str, Any], arrays: dict[str, NDArray[np.unsignedinteger] | None]) -> Annotation:
    shape = tuple(int(n) for n in state["shape"])
    if any(array is not None and array.shape != shape for array in arrays.values()):
        raise ValueError("its arrays have another shape than it says")
    return Annotation(
        shape,
        [ModelVersion(m["name"], m["version"], bool(m["confirmed"])) for m in state["models"]],
        arrays["source"],
        arrays["written"],
        {(int(axis), int(index)) for axis, index in state["finished"]},
        bool(state["complete"]),
        {int(value) for value in state["locked"]},
        bool(state["learn_accepted"]),
    )
