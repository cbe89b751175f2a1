"""From a batch of images to boxes with classes and scores."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.detectors.anchored import AnchoredDetector
from napari_medseg.models.nets.detectors.regions import Found, RegionDetector
from napari_medseg.prediction import Boxes

BEFORE = 1000
"""Boxes of a tile that are looked at before they are merged, the surest ones."""


def divisor(network: nn.Module) -> int:
    """Return what the edges of the network's input must be multiples of."""
    if isinstance(network, AnchoredDetector):
        return 2 * max(network.strides)
    return 32


def padded(image: torch.Tensor, multiple: int) -> torch.Tensor:
    """Return a (channel, [z,] y, x) image with zeros at the end of each axis, up to a multiple."""
    sides = [side for size in reversed(image.shape[1:]) for side in (0, -size % multiple)]
    return functional.pad(image, sides) if any(sides) else image


@torch.inference_mode()
def found_boxes(network: nn.Module, images: torch.Tensor, spec: ModelSpec, threshold: float) -> list[Boxes]:
    """Return the boxes of each image before any are merged.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    images : (image, channel, [z,] y, x) tensor
        On the network's device, with edges that are multiples of `divisor`.
    spec : ModelSpec
        Of the network.
    threshold : float
        Boxes below this score are left out.
    """
    if isinstance(network, RegionDetector):
        return [_with_masks(found, spec, threshold) for found in network(images)]
    assert isinstance(network, AnchoredDetector)
    raw = network(images)
    answers = []
    for logits, edges in zip(raw.logits, raw.boxes, strict=True):
        scores, place = logits.sigmoid().flatten().topk(min(BEFORE, logits.numel()))
        anchor, label = place // logits.shape[1], place % logits.shape[1]
        answers.append(_boxes(edges[anchor], label, scores, spec, threshold))
    return answers


def _with_masks(found: Found, spec: ModelSpec, threshold: float) -> Boxes:
    edges, labels, scores, masks = found
    sure = scores >= threshold
    boxes = _boxes(edges[sure], labels[sure], scores[sure], spec, 0.0)
    if masks is None or len(boxes) < int(sure.sum()):
        return boxes
    return replace(boxes, masks=masks[sure].float().cpu().numpy())


def _boxes(edges: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor, spec: ModelSpec, threshold: float) -> Boxes:
    values = np.array([c.value for c in spec.classes], np.int64)
    axes = spec.dims
    both = edges.double().cpu().numpy().reshape(-1, 2, axes)
    kept = (scores.cpu().numpy() >= threshold) & (both[:, 1] > both[:, 0]).all(axis=1)
    return Boxes(both, values[labels.cpu().numpy()], scores.double().cpu().numpy(), spec.classes).chosen(kept)
