"""A `Volume` as a compressed MetaImage file."""

from pathlib import Path

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from napari_medseg.errors import WriteError
from napari_medseg.io.extras import Extras, fields_of
from napari_medseg.io.grids import LPS_TO_RAS, in_file_order
from napari_medseg.io.metaimage.header import TYPES
from napari_medseg.volume import Geometry, Volume

STORABLE = {"?": np.uint8, "e": np.float32}
"""Types without a name in the format, and what holds them exactly."""
LEVEL = 1
BLOCK_BYTES = 1 << 24
FIELD_LENGTH = 1000
"""Older readers of the format end a line at a few thousand characters."""


def write_volume(volume: Volume, path: Path) -> None:
    """Write to a new ``.mha`` file, with the axes in the order of the file that the grid came from."""
    data, geometry = in_file_order(volume)
    data = data.astype(STORABLE.get(data.dtype.char, data.dtype), copy=False)
    sizes, channels = list(volume.spatial_shape if geometry is None else geometry.shape)[::-1], 1
    if "component" in volume.axes:
        data = np.moveaxis(data, volume.axes.index("component"), -1)
    if volume.rgb or "component" in volume.axes:
        channels = data.shape[-1]
    lead = [size for name, size in zip(volume.axes, volume.data.shape, strict=False) if name != "component"]
    _check(volume, data, len(sizes), lead)
    name = next(name for name, code in TYPES.items() if code == data.dtype.str[1:])
    packed = _packed(data)
    fields = {
        "ObjectType": "Image",
        "NDims": str(len(sizes) + len(lead)),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(sum(map(len, packed))),
        **({} if geometry is None else _placed(volume, geometry, len(lead))),
        "DimSize": " ".join(map(str, [*sizes, *lead])),
        **({} if volume.modality is None else {"Modality": f"MET_MOD_{volume.modality}"}),
        **fields_of(Extras.of(volume).line, FIELD_LENGTH),
        **({} if channels == 1 else {"ElementNumberOfChannels": str(channels)}),
        "ElementType": name,
        "ElementDataFile": "LOCAL",
    }
    with path.open("wb") as file:
        file.write("".join(f"{field} = {value}\n" for field, value in fields.items()).encode())
        file.writelines(packed)


def _check(volume: Volume, data: NDArray[np.generic], spatial: int, lead: list[int]) -> None:
    """Raise unless the format can hold the volume."""
    if data.dtype.str[1:] not in TYPES.values():
        raise WriteError(f"{volume.name}: MetaImage holds no {data.dtype}.", "Convert first.")
    if len(lead) > (spatial == 3) or (volume.rgb and data.dtype != np.uint8):
        raise WriteError(
            f"{volume.name}: MetaImage has no place for the axes {volume.axes} of {spatial}D images in {data.dtype}"
            f"{' colours' if volume.rgb else ''}.",
            "Write its volumes one by one, or as .nrrd.",
        )


def _placed(volume: Volume, geometry: Geometry, lead: int) -> dict[str, str]:
    """Return the fields of a grid whose axes are the slowest first; a leading axis adds a row of its own."""
    spatial = geometry.ndim
    lps = LPS_TO_RAS @ geometry.affine[:3]
    steps, origin = lps[:, spatial - 1 :: -1].T, lps[:, 3]
    if spatial == 2 and (steps[:, 2].any() or origin[2]):
        raise WriteError(
            f"{volume.name}: a plane in a MetaImage lies at the third coordinate 0; this one does not.",
            "Write it as .nrrd or .nii.gz.",
        )
    spacing = np.linalg.norm(steps, axis=1)
    matrix = np.eye(spatial + lead)
    matrix[:spatial, :spatial] = (steps / spacing[:, np.newaxis])[:, :spatial]
    return {
        "TransformMatrix": _text(matrix.ravel()),
        "Offset": _text(np.array([*origin[:spatial], *[0.0] * lead])),
        "ElementSpacing": _text(np.array([*spacing, *[1.0] * lead])),
    }


def _text(values: NDArray[np.float64]) -> str:
    # repr is the shortest text that gives the same number back; + 0.0 turns -0.0 into 0.0.
    return " ".join(repr(float(value) + 0.0) for value in values)


def _packed(data: NDArray[np.generic]) -> list[bytes]:
    """Return the zlib stream of the array's little-endian bytes."""
    engine = isal_zlib.compressobj(LEVEL)
    rows = max(1, BLOCK_BYTES // max(1, data[:1].nbytes))
    little = data.dtype.newbyteorder("<")
    blocks = [
        engine.compress(np.ascontiguousarray(data[start : start + rows], little).tobytes())
        for start in range(0, len(data), rows)
    ]
    return [*blocks, engine.flush()]
