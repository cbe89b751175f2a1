"""The labels of one slice, at once: features of that slice alone, which are kept while the user stays on it."""

import torch

from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.inference.preview import SliceAnswer, answer_of, slice_logits
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.training.sketch.features import FeatureCache


def answer_plane(
    network: SketchNetwork,
    features: FeatureCache,
    grid: ModelGrid,
    spec: ModelSpec,
    place: tuple[int, int],
    keep: bool = True,
) -> SliceAnswer:
    """Return what the pixel classifier says of a slice of the image's own array.

    Parameters
    ----------
    network : SketchNetwork
        On its device.
    features : FeatureCache
        Of the prepared image.
    grid : ModelGrid
        The prepared image and the way back.
    spec : ModelSpec
        What the network gives.
    place : tuple of int
        Axis of the image's own array that the slice is perpendicular to, and its position.
    keep : bool
        Whether to keep the features: somebody looks at the slice.
    """
    return answer_of(plane_logits(network, features, grid, spec, place, keep), grid, spec, place[0])


@torch.inference_mode()
def plane_logits(
    network: SketchNetwork,
    features: FeatureCache,
    grid: ModelGrid,
    spec: ModelSpec,
    place: tuple[int, int],
    keep: bool = True,
) -> torch.Tensor:
    """Return the (class, z, y, x) logits of a slice, one voxel across it; parameters as of `answer_plane`."""
    if grid.resampled:
        return slice_logits(network, grid, spec, place)
    across, position = grid.placement.grid_slice(*place)
    z, y, x = (slice(position, position + 1) if k == across else slice(0, n) for k, n in enumerate(features.shape))
    found = (features.box if keep else features.compute)((z, y, x), network.wide)
    return network.classify(found.to(network.low.device, torch.float32)[None])[0].cpu()
