"""Which way a model's prediction is made."""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from napari_medseg.device import choose
from napari_medseg.inference.options import PredictOptions, own_overlap
from napari_medseg.inference.region import region_mask
from napari_medseg.models import Bundle
from napari_medseg.models.pipeline import Ensemble, MonaiConfig, NnUNet, Parts
from napari_medseg.prediction import LabelMap, Output, ProbabilityMap, UncertaintyMap
from napari_medseg.progress import Control, Event
from napari_medseg.volume import Volume


def outputs_of(
    volume: Volume, bundle: Bundle, options: PredictOptions, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Predict with a model whose specification has a pipeline.

    Parameters
    ----------
    volume : Volume
        The image.
    bundle : Bundle
        The model.
    options : PredictOptions
        How to predict; steps after the network are not done here.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress` and `Note`.

    Returns
    -------
    tuple of Output
        On the image's own grid.

    Raises
    ------
    MedsegError
        If the model does not fit the image or the options.
    """
    if options.region is None:
        return (yield from _outputs(volume, bundle, options, control))
    inside = region_mask(options.region, volume.spatial_shape, volume.geometry)
    outputs = yield from _outputs(volume, bundle, options.model_copy(update={"region": None}), control)
    return tuple(_only(output, inside) for output in outputs)


def _only(output: Output, inside: NDArray[np.bool_]) -> Output:
    """Return an output with certain background outside of a region."""
    if isinstance(output, LabelMap):
        return LabelMap(np.where(inside, output.labels, 0).astype(output.labels.dtype), output.classes)
    if isinstance(output, UncertaintyMap):
        return UncertaintyMap(np.where(inside, output.uncertainty, np.float32(0)))
    assert isinstance(output, ProbabilityMap)
    probabilities = np.where(inside, output.probabilities, np.float32(0))
    probabilities[0][~inside] = 1
    return ProbabilityMap(probabilities, output.classes)


def _outputs(
    volume: Volume, bundle: Bundle, options: PredictOptions, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    pipeline = bundle.spec.pipeline
    if isinstance(pipeline, NnUNet):
        from napari_medseg.inference.engine import network_on
        from napari_medseg.inference.pipelines.nnunet import predict_nnunet

        network = network_on(bundle, choose(options.device))
        options = options.model_copy(update={"overlap": own_overlap(bundle.spec, options)})
        return (yield from predict_nnunet(volume, bundle.spec, pipeline, network, options, control))
    if isinstance(pipeline, Ensemble):
        from napari_medseg.inference.pipelines.ensemble import predict_ensemble

        return (yield from predict_ensemble(volume, bundle, options, control))
    if isinstance(pipeline, Parts):
        from napari_medseg.inference.pipelines.parts import predict_parts

        return (yield from predict_parts(volume, bundle, pipeline, options, control))
    assert isinstance(pipeline, MonaiConfig)
    from napari_medseg.inference.pipelines.monai_config import predict_config

    return (yield from predict_config(volume, bundle, pipeline, options, control))
