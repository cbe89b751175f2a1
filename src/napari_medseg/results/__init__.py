"""Using a segmentation: clean it up, measure it, make surfaces of it, compare it. Importing this loads no torch."""

from napari_medseg.results.cleaning import ClassChange, change_map, changes, clean
from napari_medseg.results.compare import Comparison, comparing, errors
from napari_medseg.results.history import Change, History
from napari_medseg.results.jobs import Cleaned, Compared, Surface
from napari_medseg.results.measure import measure
from napari_medseg.results.mesh_files import write_meshes
from napari_medseg.results.surfaces import Mesh, surfaces
from napari_medseg.results.table import Measures, write_csv

__all__ = [
    "Change",
    "ClassChange",
    "Cleaned",
    "Compared",
    "Comparison",
    "History",
    "Measures",
    "Mesh",
    "Surface",
    "change_map",
    "changes",
    "clean",
    "comparing",
    "errors",
    "measure",
    "surfaces",
    "write_csv",
    "write_meshes",
]
