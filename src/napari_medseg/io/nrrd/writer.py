"""A `Volume` as a gzipped NRRD file, or as a segmentation of 3D Slicer."""

from itertools import chain
from pathlib import Path

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from napari_medseg.errors import WriteError
from napari_medseg.io.extras import KEY, Extras
from napari_medseg.io.grids import LPS_TO_RAS, in_file_order
from napari_medseg.io.nrrd.header import TYPES
from napari_medseg.io.nrrd.segments import LARGEST_VALUE, keys_of
from napari_medseg.volume import Geometry, LabelClass, Volume

STORABLE = {"?": np.uint8, "e": np.float32}
"""Types without a name in the standard, and what holds them exactly."""
LEVEL = 1
"""Of gzip: fast, and within a few percent of the smallest for images."""
KINDS = {"component": "vector"}
"""All others are lists: ITK takes an axis of the kind "time" for one of space, and refuses the file."""
BLOCK_BYTES = 1 << 24
MOST_SEGMENTS = 1000
"""A segmentation that names more than this is an image that was mistaken for one."""


def write_volume(volume: Volume, path: Path) -> None:
    """Write to a new ``.nrrd`` file, or to ``.seg.nrrd`` if it is a label map."""
    data, geometry = in_file_order(volume)
    data = data.astype(STORABLE.get(data.dtype.char, data.dtype), copy=False)
    fields = _fields(volume, data, geometry)
    keys = {KEY: Extras.of(volume).line}
    if path.name.lower().endswith(".seg.nrrd"):
        named = {label.value for label in volume.classes}
        unnamed = (label for label in _numbered(volume, data) if label.value not in named)
        keys = keys_of([*volume.classes, *unnamed], data.shape[::-1]) | keys
    lines = ["NRRD0005", *(f"{name}: {value}" for name, value in fields.items())]
    lines += [f"{name}:={_escaped(value)}" for name, value in keys.items()]
    with path.open("wb") as file:
        file.write("\n".join([*lines, "", ""]).encode())
        with igzip.IGzipFile(fileobj=file, filename="", mode="wb", compresslevel=LEVEL, mtime=0) as packed:
            for block in _blocks(data):
                packed.write(block)


def _fields(volume: Volume, data: NDArray[np.generic], geometry: Geometry | None) -> dict[str, str]:
    code = data.dtype.str[1:]
    if code not in TYPES:
        raise WriteError(f"{volume.name}: NRRD holds no {data.dtype}.", "Convert first.")
    spatial = len(volume.spatial_axes)
    kinds = [*(KINDS.get(name, "list") for name in volume.axes), *["domain"] * spatial]
    vectors = ["none"] * len(volume.axes)
    if volume.rgb:
        kinds.append("RGB-color" if data.shape[-1] == 3 else "RGBA-color")
    fields = {
        "type": TYPES[code][0],
        "dimension": str(data.ndim),
        "space": "left-posterior-superior",
        "sizes": " ".join(str(n) for n in data.shape[::-1]),
        "kinds": " ".join(reversed(kinds)),
        "endian": "little",
        "encoding": "gzip",
    }
    if geometry is None:
        del fields["space"]
        return fields
    affine = geometry.affine
    vectors += [_vector(LPS_TO_RAS @ affine[:3, axis]) for axis in range(spatial)]
    vectors += ["none"] * volume.rgb
    return fields | {
        "space directions": " ".join(reversed(vectors)),
        "space origin": _vector(LPS_TO_RAS @ affine[:3, 3]),
        "space units": '"mm" "mm" "mm"',
    }


def _vector(values: NDArray[np.float64]) -> str:
    # repr is the shortest text that gives the same number back; + 0.0 turns -0.0 into 0.0.
    return "(" + ",".join(repr(float(value) + 0.0) for value in values) + ")"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _numbered(volume: Volume, data: NDArray[np.generic]) -> tuple[LabelClass, ...]:
    """Return a class for every value that occurs; raise if the values cannot be those of one label map."""
    refused = WriteError(f"{volume.name} is not one label map, so it is no segmentation.", "Write it as .nrrd.")
    if volume.axes or volume.rgb or data.dtype.kind not in "iu":
        raise refused
    values: set[int] = set()
    for plane in data:
        values.update(np.unique(plane).tolist())
        if len(values) > MOST_SEGMENTS or min(values) < 0 or max(values) > LARGEST_VALUE:
            raise refused
    return tuple(LabelClass(value=value, name=f"class {value}") for value in sorted(values - {0}))


def _blocks(data: NDArray[np.generic]) -> "chain[bytes]":
    """Return the little-endian bytes of the array, some rows at a time."""
    rows = max(1, BLOCK_BYTES // max(1, data[:1].nbytes))
    little = data.dtype.newbyteorder("<")
    starts = range(0, len(data), rows)
    return chain.from_iterable([np.ascontiguousarray(data[start : start + rows], little).tobytes()] for start in starts)
