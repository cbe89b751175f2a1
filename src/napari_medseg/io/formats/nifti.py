"""NIfTI-1 and NIfTI-2, single files and pairs, plain or gzipped."""

from pathlib import Path

from napari_medseg.io.format import Format, ReadOptions, SeriesInfo
from napari_medseg.io.nifti.header import header_of_pair, is_nifti
from napari_medseg.io.nifti.reader import describe, read_volume
from napari_medseg.io.nifti.writer import write_volume
from napari_medseg.volume import Volume


def can_read(path: Path) -> bool:
    """Return whether the file starts with a NIfTI header, or is the image half of a pair."""
    return path.is_file() and is_nifti(path)


def read(path: Path, options: ReadOptions) -> list[Volume]:
    """Return the one volume of a file or pair."""
    return [read_volume(_header_path(path), options)]


def scan(path: Path, options: ReadOptions) -> list[SeriesInfo]:
    """Return the entry of the one volume, from its header."""
    options.control.checkpoint()
    return [describe(_header_path(path), FORMAT.name)]


def _header_path(path: Path) -> Path:
    is_image = path.name.lower().endswith((".img", ".img.gz"))
    return (header_of_pair(path) or path) if is_image else path


FORMAT = Format(
    name="nifti",
    title="NIfTI (*.nii, *.nii.gz, *.hdr/*.img)",
    patterns=("*.nii", "*.nii.gz", "*.hdr", "*.hdr.gz", "*.img", "*.img.gz"),
    can_read=can_read,
    read=read,
    scan=scan,
    write=write_volume,
    written=("*.nii.gz", "*.nii"),
)
