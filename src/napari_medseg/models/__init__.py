"""Models: what they need and give, how they are built, and how they are kept on disk."""

from napari_medseg.models.spec import BACKGROUND, Intensity, ModelSpec

__all__ = ["BACKGROUND", "Intensity", "ModelSpec"]
