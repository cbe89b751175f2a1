"""TIFF and OME-TIFF; ImageJ's hyperstacks.

A TIFF file knows at most how large its voxels are: from OME, from ImageJ's calibration, or from resolution tags in
centimetres. Then the image gets a grid at no known place, with a warning that its orientation is a guess. A resolution
per inch is a print size and is not used: such an image has no geometry, and neither has a stack whose distance of
slices is not given. Files that this package wrote keep the full geometry in an OME annotation.
"""

from pathlib import Path

from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, info_of
from napari_medseg.io.tiff.reader import volumes_in
from napari_medseg.io.tiff.writer import write_volume
from napari_medseg.volume import Volume

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def can_read(path: Path) -> bool:
    """Return whether the file starts like a TIFF or BigTIFF file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in MAGICS


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the images of a file, in its order."""
    return list(volumes_in(path, options))


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return the entries of the images, from the tags."""
    return [info_of(volume, path, FORMAT.name) for volume in volumes_in(path, options, pixels=False)]


FORMAT = Format(
    name="tiff",
    title="TIFF and OME-TIFF (*.tif, *.tiff)",
    patterns=("*.tif", "*.tiff", "*.ome.tif", "*.ome.tiff"),
    can_read=can_read,
    read=read,
    scan=scan,
    write=write_volume,
    written=("*.ome.tif", "*.ome.tiff", "*.tif", "*.tiff"),
)
