"""MetaImage, the format of ITK: single files, and headers with their data files.

Places are in ITK's LPS. Where a header gives no direction the axes are ITK's default, and a warning says so; a header
without voxel size, direction and offset has no geometry.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_medseg.io.extras import Extras, line_in
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, info_of, stem
from napari_medseg.io.metaimage.header import FIRST_FIELD, MetaHeader, read_header
from napari_medseg.io.metaimage.writer import write_volume
from napari_medseg.io.orientation import nearest_zyx
from napari_medseg.io.stored import load
from napari_medseg.volume import Volume


def can_read(path: Path) -> bool:
    """Return whether the file starts with a line of a MetaImage header, and names its data."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(1 << 14)
    return FIRST_FIELD.match(start) is not None and b"ElementDataFile" in start


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the one volume of a file."""
    header = read_header(path)
    return [_volume(header, load(header.stored(), options))]


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return the entry of the one volume, from its header."""
    options.control.checkpoint()
    header = read_header(path)
    # One element stretched over the shape: the axes are worked out without reading or taking memory.
    volume = _volume(header, np.broadcast_to(np.zeros((), header.dtype), header.shape))
    return [replace(info_of(volume, path, FORMAT.name), files=len({path, *header.files()}))]


def _volume(header: MetaHeader, stored: NDArray[np.generic]) -> Volume:
    is_vector = header.channels > 1 and not header.rgb
    spatial = min(len(header.sizes), 3)
    lead = [size for size in header.sizes[spatial:][::-1] if size > 1]
    data = stored.reshape(*lead, *header.sizes[:spatial][::-1], *header.shape[len(header.sizes) :])
    if is_vector:
        data = np.moveaxis(data, -1, len(lead))
    plain = Volume(
        data,
        header.placed[0],
        name=stem(header.path),
        modality=header.modality,
        rgb=header.rgb,
        axes=(*header.names, "component") if is_vector else header.names,
        warnings=header.warnings,
    )
    return nearest_zyx(Extras.parse(line_in(header.fields)).applied(plain))


FORMAT = Format(
    name="metaimage",
    title="MetaImage (*.mha, *.mhd)",
    patterns=("*.mha", "*.mhd"),
    can_read=can_read,
    read=read,
    scan=scan,
    write=write_volume,
    written=("*.mha",),
)
