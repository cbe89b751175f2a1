"""Models that do more than axes, voxel size and one intensity rule around their network."""

from napari_medseg.inference.pipelines.dispatch import outputs_of, own_overlap

__all__ = ["outputs_of", "own_overlap"]
