"""Models that do more than axes, voxel size and one intensity rule around their network."""

from napari_medseg.inference.pipelines.dispatch import outputs_of

__all__ = ["outputs_of"]
