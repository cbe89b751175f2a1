"""Models: what they need and give, how they are built, and how they are kept on disk."""

from napari_medseg.models.adding import AddOptions, add
from napari_medseg.models.bundle import Bundle
from napari_medseg.models.ensemble import ensemble
from napari_medseg.models.importing import import_brainchop, import_checkpoint, import_nnunet, import_program
from napari_medseg.models.library import find, install, library, library_folder, remove
from napari_medseg.models.plan import UNetPlan, plan_unet, propose_patch
from napari_medseg.models.registry import Architecture, NetworkDef, architecture, architectures, build, register
from napari_medseg.models.spec import BACKGROUND, Intensity, ModelSpec

__all__ = [
    "BACKGROUND",
    "AddOptions",
    "Architecture",
    "Bundle",
    "Intensity",
    "ModelSpec",
    "NetworkDef",
    "UNetPlan",
    "add",
    "architecture",
    "architectures",
    "build",
    "ensemble",
    "find",
    "import_brainchop",
    "import_checkpoint",
    "import_nnunet",
    "import_program",
    "install",
    "library",
    "library_folder",
    "plan_unet",
    "propose_patch",
    "register",
    "remove",
]
