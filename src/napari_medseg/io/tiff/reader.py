"""Images of a TIFF file as volumes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPageSeries

from napari_medseg.errors import ReadError
from napari_medseg.io.beside import beside
from napari_medseg.io.extras import KEY, line_in
from napari_medseg.io.format import ReadOptions, stem
from napari_medseg.io.grids import UNORIENTED, unoriented
from napari_medseg.io.limits import check_size
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.io.tiff.axes import Layout, layout_of
from napari_medseg.io.tiff.own import TiffExtras
from napari_medseg.io.tiff.sizes import sizes_of
from napari_medseg.volume import Geometry, Volume

LARGEST_RATIO = 1 << 17
"""More than any of the format's compressions can shrink an image."""
NO_DEPTH = "The file gives the size of pixels but not the distance of slices, so the image has no geometry."
SPARSE = "{} of {} tiles or strips are left out in the file; they are 0."
TURNED = "White is stored as 0: values were turned over, so that bright is high."


def volumes_in(path: Path, options: ReadOptions, pixels: bool = True) -> Iterator[Volume]:
    """Return the images of a file.

    Parameters
    ----------
    path : Path
        The file.
    options : ReadOptions
        Of the read or scan.
    pixels : bool
        Whether to read the pixels; without, arrays are zeros that take no memory.
    """
    with _opened(path) as tiff:
        ome = _ome_of(tiff, path)
        series = list(tiff.series)
        for number, image in enumerate(series):
            options.step(f"Reading {path.name}", number, len(series))
            layout = layout_of(image, path.name)
            array, notes = _array(image, layout, path.name) if pixels else _blank(image, layout)
            sizes = sizes_of(tiff, ome, number, len(series))
            geometry, more = _geometry(layout, sizes)
            plain = Volume(
                array,
                geometry,
                name=stem(path).removesuffix(".ome") + (f" {number + 1}" if len(series) > 1 else ""),
                rgb=layout.rgb,
                axes=layout.names,
                warnings=(*notes, *more),
            )
            yield nearest_zyx(_ours(ome, plain))


@contextmanager
def _opened(path: Path) -> Iterator[TiffFile]:
    with TiffFile(path) as tiff:
        if not len(tiff.pages):
            raise ReadError(f"{path.name} holds no image.", "Check the file.")
        _check_chain(tiff, path.name)
        yield tiff


def _check_chain(tiff: TiffFile, name: str) -> None:
    """Raise unless the chain of pages ends as a chain does: tifffile only logs one that leads out of the file."""
    end = tiff.pages.next_page_offset
    if end is not None:
        tiff.filehandle.seek(end)
        last = tiff.filehandle.read(tiff.tiff.offsetsize)
        if len(last) < tiff.tiff.offsetsize or any(last):
            raise _truncated(name)


def _ome_of(tiff: TiffFile, path: Path) -> ElementTree.Element | None:
    """Return the OME description, checked: no entities, and no files but those beside it."""
    if not tiff.is_ome:
        return None
    text = tiff.ome_metadata or ""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ReadError(f"{path.name} has an OME description with entities, which may not be opened.", "Save it again.")
    root = ElementTree.fromstring(text)
    for part in root.iterfind(".//{*}UUID"):
        name = part.get("FileName", path.name)
        if part.text != root.get("UUID") and name.lower() != path.name.lower():
            beside(path, name)
    return root


def _ours(ome: ElementTree.Element | None, plain: Volume) -> Volume:
    """Return the volume with what our writer left among OME's annotations."""
    notes = [] if ome is None else ome.findall(".//{*}MapAnnotation")
    ours = [note for note in notes if note.get("Namespace") == KEY]
    pairs = {pair.get("K", ""): pair.text or "" for note in ours for pair in note.iterfind(".//{*}M")}
    if not (line := line_in(pairs)):
        return plain
    known = TiffExtras.model_validate_json(line)
    geometry = None if known.geometry is None else Geometry.from_dict(known.geometry)
    whole = plain.data.reshape(known.shape) if known.shape else plain.data
    # The true grid is known, so nothing that was said of the guess holds.
    return known.applied(replace(plain, data=whole, geometry=geometry, axes=known.axes, warnings=()))


def _geometry(layout: Layout, sizes: dict[str, float]) -> tuple[Geometry | None, list[str]]:
    """Return a grid at no known place if all sizes are known."""
    needed = "xyz"[: layout.spatial]
    known = [sizes[axis] for axis in needed if axis in sizes and (axis != "z" or layout.calibrated_z)]
    if len(known) < len(needed):
        return None, [NO_DEPTH] if len(known) == 2 else []
    start = len(layout.names)
    return unoriented(known, layout.shape[start : start + layout.spatial][::-1]), [UNORIENTED]


def _blank(series: TiffPageSeries, layout: Layout) -> tuple[NDArray[np.generic], list[str]]:
    dtype = np.dtype(np.uint8 if layout.palette or series.dtype.kind == "b" else series.dtype)
    shape = (*layout.shape, 3) if layout.palette else layout.shape
    return np.broadcast_to(np.zeros((), dtype), shape), _notes(series)


def _array(series: TiffPageSeries, layout: Layout, name: str) -> tuple[NDArray[np.generic], list[str]]:
    _check_bytes(series, name)
    array = np.asarray(series.asarray()).transpose(layout.order).reshape(layout.shape)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    if layout.palette:
        array = _colours(series)[array]
    elif _is_turned(series):
        array = (2 ** int(series.keyframe.bitspersample) - 1 - array).astype(array.dtype, copy=False)
    elif array.dtype.kind == "c":
        array = np.abs(array)
    return array, _notes(series)


def _notes(series: TiffPageSeries) -> list[str]:
    notes = []
    counts = [count for page in series.pages if page is not None for count in page.databytecounts]
    if empty := counts.count(0):
        notes.append(SPARSE.format(empty, len(counts)))
    if _is_turned(series):
        notes.append(TURNED)
    if series.dtype.kind == "c":
        notes.append("The values are complex numbers; their magnitude is shown.")
    return notes


def _is_turned(series: TiffPageSeries) -> bool:
    """Return whether 0 is white; in ImageJ that is a way of showing and not of storing."""
    page = series.keyframe
    return page.photometric == PHOTOMETRIC.MINISWHITE and not page.is_imagej and series.dtype.kind in "ub"


def _colours(series: TiffPageSeries) -> NDArray[np.uint8]:
    """Return the (n, 3) palette in 8 bits; some programs store 8 where the standard wants 16."""
    table = np.asarray(series.keyframe.colormap).T
    return (table >> 8 if table.max() > 255 else table).astype(np.uint8)


def _check_bytes(series: TiffPageSeries, name: str) -> None:
    """Raise unless the file can hold the pixels that its tags claim, all of them."""
    size = check_size(tuple(series.shape), series.dtype, name)
    # A tile or strip is decoded whole, whatever part of it the image needs.
    check_size(tuple(series.keyframe.chunks), series.dtype, name)
    if series.dataoffset is not None:
        if series.dataoffset + size > series.keyframe.parent.filehandle.size:
            raise _truncated(name)
        return
    stored = 0
    for page in series.pages:
        if page is None:
            raise ReadError(f"{name} lacks some of its planes.", "Put all files of the image into one folder.")
        ends = [at + count for at, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > page.parent.filehandle.size:
            raise _truncated(name)
        stored += sum(page.databytecounts)
    if series.keyframe.compression != COMPRESSION.NONE:
        stored *= LARGEST_RATIO
    if int(series.size) * int(series.keyframe.bitspersample) // 8 > stored:
        raise _truncated(name)


def _truncated(name: str) -> ReadError:
    return ReadError(f"{name} is truncated: it holds fewer bytes than its pixels need.", "Copy it again.")
