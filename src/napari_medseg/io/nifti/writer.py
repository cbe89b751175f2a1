"""A `Volume` as a NIfTI file whose voxels and affine are exactly those of the array."""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1Image
from nibabel.nifti2 import Nifti2Image
from numpy.typing import NDArray

from napari_medseg.errors import WriteError
from napari_medseg.io.nifti.header import EXTENSION_KEY
from napari_medseg.volume import Geometry, Volume

STORABLE = {"?": np.uint8, "e": np.float32}
"""Types without a NIfTI code, and what holds them exactly."""
LARGEST_NIFTI1_AXIS = 32767
DESCRIPTION_BYTES = 79


def write_volume(volume: Volume, path: Path) -> None:
    """Write to a new ``.nii`` or ``.nii.gz`` file, with the axes in the order of the file that the grid came from.

    qform and sform are both set (code 1, scanner) unless the grid is sheared: a qform cannot say that
    and gets the code 0.
    """
    voxels = _file_order(volume)
    kind: type[Nifti1Image] = Nifti2Image if max(voxels.shape) > LARGEST_NIFTI1_AXIS else Nifti1Image
    affine = None if volume.geometry is None else _file_affine(volume.geometry)
    image = kind(voxels, affine, dtype=voxels.dtype)
    header = image.header
    if affine is not None:
        header.set_sform(affine, code=1)
        header.set_qform(affine, code=1, strip_shears=True)
        if np.abs(header.get_qform() - affine).max() > 1e-3 * float(np.abs(affine).max()):
            header["qform_code"] = 0
    header.set_xyzt_units("mm", "sec")
    # Programs that know no extension show this field: a synthesised image shall be known for one there, too.
    header["descrip"] = volume.derivation.encode("ascii", "replace")[:DESCRIPTION_BYTES]
    if volume.kind == "labels":
        header.set_intent("label")
    elif "component" in volume.axes:
        header.set_intent("vector")
    steps = np.asarray(volume.axis_values.get("time", ()))
    if len(steps) > 1:
        header["pixdim"][4] = (steps[-1] - steps[0]) / (len(steps) - 1)
        header["toffset"] = steps[0]
    header.extensions.append(Nifti1Extension("comment", json.dumps({EXTENSION_KEY: _extension(volume)}).encode()))
    image.to_filename(path)


def _file_affine(geometry: Geometry) -> NDArray[np.float64]:
    return geometry.affine[:, [*geometry.file_order, *range(geometry.ndim, 4)]]


def _file_order(volume: Volume) -> NDArray[np.generic]:
    """Return the array with axes (x, y, z, t, u, ...); colour becomes NIfTI's RGB type."""
    data = np.asarray(volume.data)
    data = data.astype(STORABLE.get(data.dtype.char, data.dtype), copy=False)
    if volume.rgb:
        if data.dtype != np.uint8:
            raise WriteError(f"{volume.name}: NIfTI holds colours of 8 bits, these are {data.dtype}.", "Convert first.")
        names = "RGBA"[: data.shape[-1]]
        data = np.ascontiguousarray(data).view([(name, "u1") for name in names])[..., 0]
    lead, order = len(volume.axes), _spatial_order(volume)
    data = data.transpose(*range(lead), *(lead + axis for axis in reversed(order)))
    return data.reshape(_file_shape(volume)[::-1]).T


def _spatial_order(volume: Volume) -> tuple[int, ...]:
    """Return the spatial axes of the array in the order of the file, the fastest first."""
    spatial = range(len(volume.spatial_axes))
    return tuple(reversed(spatial)) if volume.geometry is None else volume.geometry.file_order


def _file_shape(volume: Volume) -> tuple[int, ...]:
    spatial = tuple(volume.spatial_shape[axis] for axis in _spatial_order(volume))
    sizes = dict(zip(volume.axes, volume.data.shape, strict=False))
    if not sizes:
        return spatial
    if len(spatial) == 2 or (len(sizes) > 1 and volume.axes != ("component", "time")):
        raise WriteError(
            f"{volume.name}: NIfTI has no place for the axes {volume.axes} of {len(spatial)}D images.",
            "Write its volumes one by one, or as .medvol.",
        )
    components = sizes.pop("component", None)
    steps = prod(sizes.values())
    return (*spatial, steps) if components is None else (*spatial, steps, components)


def _extension(volume: Volume) -> dict[str, Any]:
    """Return what NIfTI has no field for. No name and no identifier: a file may be passed on."""
    known: dict[str, Any] = {
        "modality": volume.modality,
        "units": volume.units,
        "window": volume.window,
        "derivation": volume.derivation or None,
    }
    found = {key: value for key, value in known.items() if value is not None}
    if volume.geometry is None:
        found["geometry"] = None
    if volume.classes:
        found["classes"] = [label.model_dump() for label in volume.classes]
    return found
