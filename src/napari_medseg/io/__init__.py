"""Reading and writing images with their geometry; one file per format in `formats/`."""

from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, formats
from napari_medseg.io.reading import read, scan
from napari_medseg.io.writing import write

__all__ = ["Format", "ReadOptions", "SeriesInfo", "formats", "read", "scan", "write"]
