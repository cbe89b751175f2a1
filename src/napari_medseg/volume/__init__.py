"""Arrays with geometry."""

from napari_medseg.volume.classes import PALETTE, LabelClass
from napari_medseg.volume.geometry import Geometry
from napari_medseg.volume.volume import Volume

__all__ = ["PALETTE", "Geometry", "LabelClass", "Volume"]
