"""NRRD: single files, detached headers with their data files, and segmentations of 3D Slicer."""

from pathlib import Path

from napari_medseg.io.format import Format, ReadOptions, SeriesInfo
from napari_medseg.io.nrrd.header import MAGIC
from napari_medseg.io.nrrd.reader import describe, read_volumes
from napari_medseg.io.nrrd.writer import write_volume
from napari_medseg.volume import Volume


def can_read(path: Path) -> bool:
    """Return whether the file starts with a NRRD header."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the image or label map; of a segmentation in several layers, one label map per layer."""
    return read_volumes(path, options)


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return the entries of the volumes, from the header."""
    options.control.checkpoint()
    return describe(path, FORMAT.name)


FORMAT = Format(
    name="nrrd",
    title="NRRD (*.nrrd, *.nhdr, *.seg.nrrd)",
    patterns=("*.nrrd", "*.nhdr", "*.seg.nrrd"),
    can_read=can_read,
    read=read,
    scan=scan,
    write=write_volume,
    written=("*.seg.nrrd", "*.nrrd"),
)
