"""A `Volume` as an OME-TIFF file."""

from pathlib import Path
from typing import Any

import numpy as np
from tifffile import imwrite

from napari_medseg.errors import WriteError
from napari_medseg.io.extras import KEY, Extras, fields_of
from napari_medseg.io.tiff.own import TiffExtras
from napari_medseg.volume import Volume

STORABLE = {"?": np.uint8, "e": np.float32}
"""Types without a name in OME, and what holds them exactly."""
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16")
LETTERS = {"time": "T", "channel": "C", "component": "C"}
FIELD_LENGTH = 1 << 20


def write_volume(volume: Volume, path: Path) -> None:
    """Write to a new deflated file: rows and columns are the last spatial axes of the array.

    OME holds voxel sizes only; the place in the patient goes into an annotation that this package reads back.
    """
    data = np.asarray(volume.data)
    data = data.astype(STORABLE.get(data.dtype.char, data.dtype), copy=False)
    if data.dtype.str[1:] not in TYPES:
        raise WriteError(f"{volume.name}: OME-TIFF holds no {data.dtype}.", "Write it as .nrrd.")
    axes = _letters(volume) + "ZYX"[-len(volume.spatial_axes) :] + "S" * volume.rgb
    metadata: dict[str, Any] = {"axes": axes, **_sizes(volume)}
    metadata["MapAnnotation"] = {"Namespace": KEY, **fields_of(_own(volume).line, FIELD_LENGTH)}
    imwrite(
        path,
        data,
        ome=True,
        photometric="rgb" if volume.rgb else "minisblack",
        extrasamples=["unassalpha"] if volume.rgb and data.shape[-1] == 4 else None,
        planarconfig="contig" if volume.rgb else None,
        compression="zlib",
        compressionargs={"level": 1},
        metadata=metadata,
    )


def _letters(volume: Volume) -> str:
    """Return OME's letters for the leading axes; names it lacks take those that are free."""
    letters = [LETTERS.get(name, "") for name in volume.axes]
    for number, letter in enumerate(letters):
        if not letter or letter in letters[:number]:
            letters[number] = next((free for free in "TC" if free not in letters), "")
    if "" in letters:
        raise WriteError(
            f"{volume.name}: OME-TIFF has two leading axes, this has {volume.axes}.", "Write it as .nrrd or .medvol."
        )
    return "".join(letters)


def _sizes(volume: Volume) -> dict[str, float | str]:
    if volume.geometry is None:
        return {}
    sizes = dict(zip("XYZ", reversed(volume.geometry.spacing), strict=False))
    values: dict[str, float | str] = {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
    return values | {f"PhysicalSize{axis}Unit": "mm" for axis in sizes}


def _own(volume: Volume) -> TiffExtras:
    return TiffExtras(
        **Extras.of(volume).model_dump(),
        geometry=None if volume.geometry is None else volume.geometry.to_dict(),
        shape=tuple(volume.data.shape),
    )
