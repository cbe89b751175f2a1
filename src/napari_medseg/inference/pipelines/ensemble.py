"""Prediction with several models for the same classes."""

import math
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from napari_medseg.inference.decode import class_values
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.pipelines.steps import member_prediction
from napari_medseg.inference.scratch import zeros
from napari_medseg.models import Bundle
from napari_medseg.models.pipeline import Ensemble
from napari_medseg.prediction import LabelMap, Output, ProbabilityMap, UncertaintyMap
from napari_medseg.progress import Control, Event, Progress
from napari_medseg.volume import Volume

Map = NDArray[np.float32]


def predict_ensemble(
    volume: Volume, bundle: Bundle, options: PredictOptions, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Predict with all members, and take the mean; see `napari_medseg.inference.pipelines.outputs_of`."""
    import torch

    spec, count = bundle.spec, len(bundle.members)
    own = options.model_copy(update={"probabilities": True, "uncertainty": False, "measure": "entropy"})
    mean: Map = zeros((len(spec.classes), *volume.spatial_shape), np.float32)
    inner: Map = zeros(volume.spatial_shape, np.float32)
    disagreement = options.uncertainty and options.measure == "mutual_information"
    assert isinstance(spec.pipeline, Ensemble)
    heats = spec.pipeline.temperatures or (1.0,) * count
    parts = zip(bundle.members, spec.pipeline.shares, heats, strict=True)
    for number, (member, share, heat) in enumerate(parts, start=1):
        found = yield from member_prediction(volume, member, own, control, number, count)
        (probabilities,) = (o.probabilities for o in found.outputs if isinstance(o, ProbabilityMap))
        for row in range(mean.shape[1]):
            said = softened(probabilities[:, row], heat)
            mean[:, row] += share * said
            if disagreement:
                inner[row] += share * relative_entropy(said)
        control.checkpoint()
    yield Progress("Averaging", 0, 1)
    winners = np.stack([mean[:, row].argmax(axis=0) for row in range(mean.shape[1])])
    outputs: list[Output] = [LabelMap(class_values(torch.from_numpy(winners), spec.classes), spec.classes)]
    if options.probabilities:
        outputs.append(ProbabilityMap(mean, spec.classes))
    if options.uncertainty:
        entropy = np.stack([relative_entropy(mean[:, row]) for row in range(mean.shape[1])])
        outputs.append(UncertaintyMap(np.clip(entropy - inner, 0, 1) if disagreement else entropy))
    return tuple(outputs)


def softened(probabilities: Map, temperature: float) -> Map:
    """Return the probabilities that the same logits give when they are divided by a temperature first.

    Parameters
    ----------
    probabilities : (class, ...) float32 array
        Summing to 1.
    temperature : float
        More than 1 makes them more alike.

    Examples
    --------
    >>> softened(np.array([[0.9], [0.1]], np.float32), 2.0).round(2)
    array([[0.75],
           [0.25]], dtype=float32)
    """
    if temperature == 1:
        return probabilities
    powers = np.asarray(probabilities, np.float32) ** np.float32(1 / temperature)
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def relative_entropy(probabilities: Map) -> Map:
    """Return the entropy over the logarithm of the number of classes, in [0, 1].

    Parameters
    ----------
    probabilities : (class, ...) float32 array
        Summing to 1.

    Examples
    --------
    >>> relative_entropy(np.array([[1.0, 0.5], [0.0, 0.5]], np.float32))
    array([0., 1.], dtype=float32)
    """
    safe = np.clip(probabilities, 1e-12, 1)
    entropy = -(probabilities * np.log(safe)).sum(axis=0) / math.log(len(probabilities))
    return np.asarray(np.clip(entropy, 0, 1) + 0, np.float32)
