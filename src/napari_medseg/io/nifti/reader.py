"""Voxels of a NIfTI file as a `Volume`."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.format import ReadOptions, SeriesInfo, info_of, opaque_id, stem
from napari_medseg.io.nifti.header import NiftiHeader, is_gzipped, read_header
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.io.stored import Source, Stored, load
from napari_medseg.io.values import rescaled
from napari_medseg.volume import Volume


def read_volume(path: Path, options: ReadOptions) -> Volume:
    """Read a single file, or a pair by its header."""
    header = read_header(path)
    stored = _stored(header, options)
    notes = list(header.affine[1])
    rgb = header.rgb
    if stored.dtype.kind == "c":
        stored = np.abs(stored)
        notes.append("The values are complex numbers; their magnitude is shown.")
    elif not rgb:
        stored = rescaled(stored, *header.slope_inter)
    names = tuple(name for name, _ in header.leading)
    colour = stored.shape[-1:] if rgb else ()
    data = stored.reshape(*(n for _, n in header.leading), *header.spatial, *colour)
    return _oriented(header, data, names, rgb, tuple(notes), path)


def describe(path: Path, format_name: str) -> SeriesInfo:
    """Return the entry of a file from its header alone."""
    header = read_header(path)
    colour = (len(header.raw.get_data_dtype().fields),) if header.rgb else ()
    shape = (*(n for _, n in header.leading), *header.spatial, *colour)
    # One element stretched over the whole shape: orientation is worked out without reading or taking memory.
    blank = np.broadcast_to(np.zeros((), np.uint8), shape)
    names = tuple(name for name, _ in header.leading)
    volume = _oriented(header, blank, names, header.rgb, header.affine[1], path)
    files = 1 if header.image == path else 2
    return replace(info_of(volume, path, format_name), series_id=opaque_id(str(path)), files=files)


def _oriented(
    header: NiftiHeader,
    data: NDArray[np.generic],
    names: tuple[str, ...],
    rgb: bool,
    notes: tuple[str, ...],
    path: Path,
) -> Volume:
    """Return the volume whose array is the transposed view nearest to (z, y, x)."""
    seconds = header.seconds
    known = header.extension
    stored = Volume(
        data,
        header.stored_geometry,
        name=stem(path),
        kind=header.kind,
        modality=known.get("modality"),
        units=known.get("units"),
        window=None if known.get("window") is None else (known["window"][0], known["window"][1]),
        rgb=rgb,
        axes=names,
        axis_values={"time": seconds} if seconds is not None and names[:1] == ("time",) else {},
        classes=header.classes,
        derivation=known.get("derivation", ""),
        warnings=notes,
    )
    return nearest_zyx(stored)


def _stored(header: NiftiHeader, options: ReadOptions) -> NDArray[np.generic]:
    """Return the stored values as a (..., z, y, x[, colour]) array in native byte order."""
    dtype = header.raw.get_data_dtype()
    shape = tuple(int(n) for n in header.raw.get_data_shape())
    source = Source(header.image, skip=int(header.raw["vox_offset"]))
    if dtype.fields:
        # Colours are told apart by looking at the bytes, which a dask array does not offer.
        options = replace(options, memory_share=math.inf)
    array = load(Stored((source,), "gzip" if is_gzipped(header.image) else "raw", shape[::-1], dtype), options)
    if dtype.fields:
        return array.view(np.uint8).reshape(*array.shape, len(dtype.fields))
    return array.astype(np.float64) if dtype.itemsize == 16 and dtype.kind == "f" else array
