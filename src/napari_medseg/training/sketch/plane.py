"""The labels of one slice, at once: features of that slice alone, which are kept while the user stays on it."""

import numpy as np
import torch
from numpy.typing import NDArray

from napari_medseg.inference.decode import class_values
from napari_medseg.inference.preprocess import ModelGrid
from napari_medseg.inference.preview import predict_slice
from napari_medseg.inference.unblock import strongest
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.sketch import SketchNetwork
from napari_medseg.training.sketch.features import FeatureCache


@torch.inference_mode()
def plane_labels(
    network: SketchNetwork, features: FeatureCache, grid: ModelGrid, spec: ModelSpec, axis: int, index: int
) -> NDArray[np.unsignedinteger]:
    """Return the label values of a slice of the image's own array.

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
    axis, index : int
        Axis of the image's own array that the slice is perpendicular to, and its position.
    """
    if grid.resampled:
        return predict_slice(network, grid, spec, axis, index)
    across, position = grid.placement.grid_slice(axis, index)
    z, y, x = (slice(position, position + 1) if k == across else slice(0, n) for k, n in enumerate(features.shape))
    found = features.box((z, y, x)).to(network.low.device, torch.float32)
    logits = network.classify(found[None])[0].cpu()
    values = class_values(strongest(logits), spec.classes)
    own = grid.placement.from_grid(values)
    return np.ascontiguousarray(own if own.ndim == 2 else own.take(0, axis=axis))
