"""Weights that were made elsewhere become bundles. Importing this package loads no torch."""

from napari_medseg.models.importing.brainchop import import_brainchop
from napari_medseg.models.importing.checkpoint import import_checkpoint

__all__ = ["import_brainchop", "import_checkpoint"]
