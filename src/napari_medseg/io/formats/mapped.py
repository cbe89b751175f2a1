"""Folders ``*.medvol``: a volume as `volume.json` and a memory-mapped `data.npy`, shared between processes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, info_of
from napari_medseg.volume import Geometry, LabelClass, Volume

VERSION = 1
BLOCK_BYTES = 1 << 26


def can_read(path: Path) -> bool:
    """Return whether the path is a folder with our two files."""
    return path.is_dir() and (path / "volume.json").is_file() and (path / "data.npy").is_file()


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the volume; its array is a read-only memory map of ``data.npy``."""
    if not can_read(path):
        raise ReadError(f"{path.name} lacks volume.json or data.npy.", "Write the volume again.")
    header = json.loads((path / "volume.json").read_text(encoding="utf-8"))
    if header.get("version") != VERSION:
        raise ReadError(
            f"{path.name} has layout {header.get('version')!r}; this version reads {VERSION}.", "Update napari-medseg."
        )
    data = np.load(path / "data.npy", mmap_mode="r", allow_pickle=False)
    return [_from_header(header, data)]


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return the entry of the one volume."""
    return [info_of(volume, path, FORMAT.name) for volume in read(path, options)]


def write(volume: Volume, path: Path) -> None:
    """Write both files into the new folder `path`, in blocks, so that a lazy array is never whole in memory."""
    path.mkdir(parents=True)
    dtype = np.dtype(volume.data.dtype)
    if dtype.hasobject or dtype.fields:
        raise TypeError(f"an array of {dtype} has no plain numbers")
    target = open_memmap(path / "data.npy", mode="w+", dtype=dtype, shape=tuple(volume.data.shape))
    if isinstance(volume.data, np.ndarray):
        rows = max(1, BLOCK_BYTES // max(1, target[:1].nbytes))
        for start in range(0, target.shape[0], rows):
            target[start : start + rows] = volume.data[start : start + rows]
    else:
        from dask.array import store

        # Chunk by chunk: they do not overlap, so they can be written at the same time.
        store(volume.data, target, lock=False)
    target.flush()
    (path / "volume.json").write_text(json.dumps(_to_header(volume), indent=1), encoding="utf-8")


def _to_header(volume: Volume) -> dict[str, Any]:
    return {
        "version": VERSION,
        "geometry": None if volume.geometry is None else volume.geometry.to_dict(),
        "name": volume.name,
        "kind": volume.kind,
        "modality": volume.modality,
        "units": volume.units,
        "window": volume.window,
        "rgb": volume.rgb,
        "axes": volume.axes,
        "axis_values": {name: np.asarray(values).tolist() for name, values in volume.axis_values.items()},
        "classes": [label.model_dump() for label in volume.classes],
        "suv_factor": volume.suv_factor,
        "series_id": volume.series_id,
        "derivation": volume.derivation,
        "warnings": volume.warnings,
    }


def _from_header(header: dict[str, Any], data: np.ndarray[Any, np.dtype[Any]]) -> Volume:
    return Volume(
        data,
        None if header["geometry"] is None else Geometry.from_dict(header["geometry"]),
        name=header["name"],
        kind=header["kind"],
        modality=header["modality"],
        units=header["units"],
        window=None if header["window"] is None else (header["window"][0], header["window"][1]),
        rgb=header["rgb"],
        axes=tuple(header["axes"]),
        axis_values={name: np.array(values, dtype=np.float64) for name, values in header["axis_values"].items()},
        classes=tuple(LabelClass(**label) for label in header["classes"]),
        suv_factor=header["suv_factor"],
        series_id=header["series_id"],
        derivation=header.get("derivation", ""),
        warnings=tuple(header["warnings"]),
    )


FORMAT = Format(
    name="mapped",
    title="memory-mapped volume (*.medvol)",
    patterns=("*.medvol",),
    can_read=can_read,
    read=read,
    scan=scan,
    write=write,
    written=("*.medvol",),
    is_own_folder=can_read,
)
