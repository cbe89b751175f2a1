"""Weights that were made elsewhere become bundles. Importing this package loads no torch."""

from napari_medseg.models.importing.brainchop import import_brainchop
from napari_medseg.models.importing.checkpoint import import_checkpoint
from napari_medseg.models.importing.nnunet import import_nnunet
from napari_medseg.models.importing.program import import_program

__all__ = ["import_brainchop", "import_checkpoint", "import_nnunet", "import_program"]
