"""Voxels of a NRRD file as volumes: one, or one per layer of a segmentation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import ReadError
from napari_medseg.io.extras import KEY, Extras
from napari_medseg.io.format import ReadOptions, SeriesInfo, info_of, stem
from napari_medseg.io.nrrd.diffusion import gradients
from napari_medseg.io.nrrd.header import NrrdHeader, read_header
from napari_medseg.io.nrrd.layout import Layout, layout_of
from napari_medseg.io.nrrd.segments import Segment, segments_of
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.io.stored import load
from napari_medseg.volume import Volume


def read_volumes(path: Path, options: ReadOptions) -> list[Volume]:
    """Read a file, attached or detached, by its header."""
    header = read_header(path)
    layout = layout_of(header)
    array = layout.arranged(load(header.stored(), options))
    return _volumes(header, layout, np.hypot(array[..., 0], array[..., 1]) if layout.is_complex else array)


def describe(path: Path, format_name: str) -> list[SeriesInfo]:
    """Return what `read_volumes` would, from the header alone."""
    header = read_header(path)
    layout = layout_of(header)
    # One element stretched over the shape: the axes are worked out without reading or taking memory.
    blank = layout.arranged(np.broadcast_to(np.zeros((), header.dtype), header.sizes[::-1]))
    array = blank[..., 0] if layout.is_complex else blank
    files = len({path, *header.files()})
    return [replace(info_of(volume, path, format_name), files=files) for volume in _volumes(header, layout, array)]


def _volumes(header: NrrdHeader, layout: Layout, data: NDArray[np.generic]) -> list[Volume]:
    volume = _volume(header, layout, data)
    segments = segments_of(header)
    if not segments or volume.data.dtype.kind not in "iu":
        return [nearest_zyx(volume)]
    return [nearest_zyx(layer) for layer in _layers(volume, segments)]


def _volume(header: NrrdHeader, layout: Layout, data: NDArray[np.generic]) -> Volume:
    names, values = layout.names, gradients(header, layout)
    if len(names) == 1 and len(values.get("b_value", ())) == data.shape[0]:
        names = ("b_value",)
    else:
        values = {}
    plain = Volume(
        data,
        layout.geometry,
        name=stem(header.path),
        rgb="colour" in layout.roles,
        axes=names,
        axis_values=values,
        warnings=layout.warnings,
    )
    return Extras.parse(header.keys.get(KEY)).applied(plain)


def _layers(volume: Volume, segments: tuple[Segment, ...]) -> list[Volume]:
    """Return a label map per layer; values are unique within a layer only, and layers may overlap."""
    if len(volume.axes) > 1 or volume.rgb:
        raise ReadError(f"{volume.name} is a segmentation with the axes {volume.axes}.", "One list axis is allowed.")
    count = volume.data.shape[0] if volume.axes else 1
    if surplus := [segment.label.name for segment in segments if not 0 <= segment.layer < count]:
        raise ReadError(f"{volume.name} has {count} layers, but {surplus[0]!r} is in none of them.", "Save it again.")
    layers = volume.data if volume.axes else volume.data[np.newaxis]
    note = f"The segments overlap or are kept apart in {count} layers; each layer is a label map of its own."
    return [
        replace(
            volume,
            data=layers[layer],
            axes=(),
            axis_values={},
            kind="labels",
            name=volume.name if count == 1 else f"{volume.name} layer {layer + 1}",
            classes=tuple(segment.label for segment in segments if segment.layer == layer),
            warnings=volume.warnings if count == 1 else (*volume.warnings, note),
        )
        for layer in range(count)
    ]
