"""Prediction of a whole volume, as a stream of events."""

import time
from collections.abc import Generator, Iterator
from dataclasses import asdict
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from napari_medseg.device import choose
from napari_medseg.errors import BundleError, ConfigError
from napari_medseg.inference.options import PredictOptions, own_overlap
from napari_medseg.inference.postprocess import PostProcessing, postprocess
from napari_medseg.inference.postprocess.apply import apply_step
from napari_medseg.inference.preprocess import ModelGrid, to_model_grid
from napari_medseg.inference.tiled import Image, compute
from napari_medseg.inference.tiling import TilingRule, rule_of
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.pipeline import Ensemble
from napari_medseg.prediction import LabelMap, Output, Prediction
from napari_medseg.progress import Control, Event, Finished, Note, Progress
from napari_medseg.volume import Geometry, Volume


def predict(
    volume: Volume,
    bundle: Bundle,
    options: PredictOptions | None = None,
    control: Control | None = None,
    grid: ModelGrid | None = None,
) -> Iterator[Event]:
    """Predict on an image; the function behind `napari_medseg.inference.predict`.

    `grid` is the image on the network's grid, where `to_model_grid` was called before, in another thread.
    """
    options, control = options or PredictOptions(), control or Control()
    if bundle.spec.task != "segmentation":
        raise BundleError(
            f"{bundle.spec.name} is a model for {bundle.spec.task} and gives no label map.",
            "Choose one for segmentation; `napari-medseg predict` takes this one.",
        )
    started = time.monotonic()
    yield Progress("Preparing", 0, 1)
    # The steps on nothing: what cannot be done is told before hours pass.
    nothing = LabelMap(np.zeros((1,) * len(volume.spatial_shape), np.uint8), bundle.spec.classes)
    postprocess(nothing, options.postprocessing, volume.geometry)
    if options.measure == "mutual_information" and not isinstance(bundle.spec.pipeline, Ensemble):
        raise ConfigError(
            f"{bundle.spec.name} is one model, so there is nothing that its members could disagree about.",
            "Leave out the setting measure, or predict with an ensemble.",
        )
    outputs, how = yield from _compute(volume, bundle, options, control, grid)
    outputs = yield from _postprocess(outputs, volume.geometry, options.postprocessing, control)
    yield Finished(
        Prediction(
            outputs,
            volume.geometry,
            bundle.spec.name,
            bundle.hash,
            options.model_dump(mode="json") | how,
            time.monotonic() - started,
        )
    )


def _compute(
    volume: Volume, bundle: Bundle, options: PredictOptions, control: Control, grid: ModelGrid | None
) -> Generator[Event, None, tuple[tuple[Output, ...], dict[str, Any]]]:
    """Return the outputs of a model, and how they were computed, for the record."""
    device = choose(options.device)
    if bundle.spec.pipeline is not None:
        from napari_medseg.inference.pipelines import outputs_of

        own = {"device": str(device), "overlap": own_overlap(bundle.spec, options)}
        return (yield from outputs_of(volume, bundle, options, control)), own
    grid = grid or to_model_grid(volume, bundle.spec)
    control.checkpoint()
    yield from (Note(text, "warning") for text in grid.notes)
    network = network_on(bundle, device)
    done = yield from compute(Image.of(grid, bundle.spec, network, options, rule_of(bundle.spec.blending)), control)
    how = {"device": str(device), "recipe": asdict(done.recipe), "tile": done.tile, "tiles": done.tiles}
    return done.outputs, how


def predict_grid(
    grid: ModelGrid,
    spec: ModelSpec,
    network: nn.Module,
    options: PredictOptions,
    control: Control,
    rule: TilingRule | None = None,
) -> Generator[Event, None, tuple[Output, ...]]:
    """Predict on a prepared image with a network that is already on its device.

    Parameters
    ----------
    grid : ModelGrid
        As made by `to_model_grid` for `spec`.
    spec : ModelSpec
        What the network gives.
    network : nn.Module
        In evaluation mode only while it runs; afterwards as before.
    options : PredictOptions
        How to predict; the device is that of the network.
    control : Control
        Cancels and pauses.
    rule : TilingRule, optional
        How tiles cover the image and are blended; by default as the model says.

    Yields
    ------
    Event
        `Progress` and `Note`.

    Returns
    -------
    tuple of Output
        On the image's own grid.
    """
    yield from (Note(text, "warning") for text in grid.notes)
    done = yield from compute(Image.of(grid, spec, network, options, rule or rule_of(spec.blending)), control)
    return done.outputs


_NETWORKS: WeakKeyDictionary[Bundle, nn.Module] = WeakKeyDictionary()


def network_on(bundle: Bundle, device: torch.device) -> nn.Module:
    """Return a bundle's network on a device; it is built once for as long as the bundle is in use."""
    if bundle not in _NETWORKS:
        _NETWORKS[bundle] = bundle.network()
    return _NETWORKS[bundle].to(device)


def _postprocess(
    outputs: tuple[Output, ...], geometry: Geometry | None, processing: PostProcessing, control: Control
) -> Generator[Event, None, tuple[Output, ...]]:
    """Return the outputs with the label map after the steps; the others as the network gave them."""
    labels, *others = outputs
    assert isinstance(labels, LabelMap)
    for number, step in enumerate(processing.steps):
        control.checkpoint()
        yield Progress("Post-processing", number, len(processing.steps))
        labels = apply_step(labels, step, geometry)
    return labels, *others
