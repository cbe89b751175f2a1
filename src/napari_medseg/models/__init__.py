"""Models: what they need and give, how they are built, and how they are kept on disk."""

from napari_medseg.models.bundle import Bundle
from napari_medseg.models.importing import import_brainchop, import_checkpoint
from napari_medseg.models.library import install, library, library_folder
from napari_medseg.models.plan import UNetPlan, plan_unet, propose_patch
from napari_medseg.models.registry import Architecture, NetworkDef, architecture, architectures, build, register
from napari_medseg.models.spec import BACKGROUND, Intensity, ModelSpec

__all__ = [
    "BACKGROUND",
    "Architecture",
    "Bundle",
    "Intensity",
    "ModelSpec",
    "NetworkDef",
    "UNetPlan",
    "architecture",
    "architectures",
    "build",
    "import_brainchop",
    "import_checkpoint",
    "install",
    "library",
    "library_folder",
    "plan_unet",
    "propose_patch",
    "register",
]
