"""Surfaces as files that other programs open: STL and OBJ, in LPS millimetres.

3D Slicer and most medical programs take the coordinates of such files as LPS (x to the patient's left, y to the back,
z to the head), and 3D Slicer reads the words ``SPACE=LPS`` in the header.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import WriteError
from napari_medseg.results.surfaces import Mesh

LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])
HEADER = "napari-medseg SPACE=LPS UNIT=mm"
# "solid" as first word would say that the file is text.
STL_HEADER = HEADER.encode().ljust(80)
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
SUFFIXES = (".stl", ".obj")


def write_meshes(meshes: Sequence[Mesh], path: Path) -> tuple[Path, ...]:
    """Write each surface to a file, and return the files.

    Parameters
    ----------
    meshes : sequence of Mesh
        In RAS+ mm; LPS in the file.
    path : Path
        Ending on ``.stl`` or ``.obj``. Several surfaces go to ``<stem>-<class>`` beside it.

    Raises
    ------
    WriteError
        If there is no surface, the suffix is another, or a file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise WriteError(
            f"Surfaces cannot be written as {path.suffix or 'a file without suffix'}.", "Use .stl or .obj."
        )
    if not meshes:
        raise WriteError("There is no surface to write.", "Choose classes that occur in the labels.")
    paths = [path] if len(meshes) == 1 else [path.with_name(name) for name in _names(meshes, path)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for mesh, place in zip(meshes, paths, strict=True):
            place.write_bytes(_stl(mesh) if suffix == ".stl" else _obj(mesh))
    except OSError as error:
        raise WriteError(f"{path} could not be written ({error.strerror}).", "Check the folder.") from error
    return tuple(paths)


def _names(meshes: Sequence[Mesh], path: Path) -> list[str]:
    """Return a file name per mesh; class names may hold what file names may not."""
    words = [re.sub(r"[^\w-]+", "_", mesh.entry.name).strip("_") for mesh in meshes]
    values = [mesh.entry.value for mesh in meshes]
    unique = [
        word if word and words.count(word) == 1 else f"{word}{value}" for word, value in zip(words, values, strict=True)
    ]
    return [f"{path.stem}-{word}{path.suffix}" for word in unique]


def _stl(mesh: Mesh) -> bytes:
    """Return binary STL."""
    corners = _lps(mesh)[mesh.faces]
    triangles = np.zeros(len(corners), TRIANGLE)
    triangles["corners"] = corners
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles["normal"] = normals / np.where(lengths > 0, lengths, 1)
    return STL_HEADER + np.uint32(len(triangles)).tobytes() + triangles.tobytes()


def _obj(mesh: Mesh) -> bytes:
    name = re.sub(r"\s+", "_", mesh.entry.name)
    lines = [f"# {HEADER}", f"o {name}"]
    lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in _lps(mesh).tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def _lps(mesh: Mesh) -> NDArray[np.float64]:
    # A half turn about the head's axis: the triangles keep facing outwards.
    return np.asarray(mesh.vertices.astype(np.float64) * LPS_FROM_RAS)
