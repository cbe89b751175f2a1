"""Reading and writing images with their geometry; one file per format in `formats/`."""

# Importing the folder binds its name here; it must be bound before the function of that name, or it would replace it.
import napari_medseg.io.formats  # noqa: F401
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, formats
from napari_medseg.io.reading import Listing, read, scan, survey
from napari_medseg.io.thumbnail import thumbnail
from napari_medseg.io.writing import write

__all__ = ["Format", "Listing", "ReadOptions", "SeriesInfo", "formats", "read", "scan", "survey", "thumbnail", "write"]
