"""The labels of one slice, at once: features of that slice alone, which are kept while the user stays on it."""

import torch

from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.inference.preview import SliceAnswer, answer_of, answer_slice
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.training.sketch.features import FeatureCache


@torch.inference_mode()
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
    if grid.resampled:
        return answer_slice(network, grid, spec, place)
    across, position = grid.placement.grid_slice(*place)
    z, y, x = (slice(position, position + 1) if k == across else slice(0, n) for k, n in enumerate(features.shape))
    found = (features.box if keep else features.compute)((z, y, x))
    logits = network.classify(found.to(network.low.device, torch.float32)[None])[0].cpu()
    return answer_of(logits, grid, spec, place[0])
