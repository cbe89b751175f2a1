"""Arrays with geometry."""

from napari_medseg.volume.geometry import Geometry
from napari_medseg.volume.volume import Volume

__all__ = ["Geometry", "Volume"]
