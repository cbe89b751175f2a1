"""Detectors that correct boxes of fixed sizes (anchors), laid over the image in a grid; planes and volumes alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from napari_medseg.models.nets.detectors.backbones import backbone

PRIOR = 0.01
"""Probability of a thing at each anchor before anything is learnt."""
LARGEST = 4.0
"""Largest logarithm of a correction."""

Anchors = Sequence[Sequence[Sequence[float]]]
"""For each level, the sizes of its anchors along the axes of the image, in its voxels."""


@dataclass(frozen=True, eq=False)
class RawBoxes:
    """What a network says of a batch."""

    logits: torch.Tensor
    """(image, anchor, class) float32."""
    boxes: torch.Tensor
    """(image, anchor, 2 * axes) float32: starts, then stops, in voxels of the image."""
    anchors: torch.Tensor
    """(anchor, 2 * axes): where they are before any correction."""
    levels: tuple[int, ...]
    """Anchors of each level."""


class AnchoredDetector(nn.Module):
    """A network of feature maps with two heads, one for classes and one for edges.

    Parameters
    ----------
    heads : nn.Module
        Gives for a batch of images the lists of logits, (image, anchor * class, ...), and of corrections, (image,
        anchor * 2 * axes, ...), one map per level.
    classes : int
        Without background.
    strides : sequence of int
        Voxels of the image per voxel of each map.
    anchors : Anchors
        The same number for each level.
    """

    def __init__(self, heads: nn.Module, classes: int, strides: Sequence[int], anchors: Anchors) -> None:
        super().__init__()
        if len(anchors) != len(strides) or len({len(level) for level in anchors}) != 1:
            raise ValueError(f"{len(strides)} levels need as many lists of anchors, of one length; got {anchors}")
        self.heads, self.classes, self.strides = heads, classes, tuple(strides)
        self.sizes = [torch.tensor(level, dtype=torch.float32) for level in anchors]

    def forward(self, images: torch.Tensor) -> RawBoxes:
        """Return boxes for (image, channel, [z,] y, x) images whose edges are multiples of the largest stride."""
        logits, corrections = self.heads(images)
        axes = images.ndim - 2
        grids = [self._grid(found.shape[2:], level).to(images.device) for level, found in enumerate(logits)]
        anchors = torch.cat(grids)
        changes = torch.cat([_listed(found, 2 * axes) for found in corrections], dim=1).clamp(max=LARGEST).exp()
        centre, half = anchors[:, :axes], anchors[:, axes:]
        boxes = torch.cat([centre - changes[..., :axes] * half, centre + changes[..., axes:] * half], dim=-1)
        edges = torch.cat([centre - half, centre + half], dim=-1)
        scores = torch.cat([_listed(found, self.classes) for found in logits], dim=1)
        return RawBoxes(scores, boxes, edges, tuple(len(grid) for grid in grids))

    def _grid(self, shape: Sequence[int], level: int) -> torch.Tensor:
        """Return (anchor, 2 * axes) centres and half sizes of a level."""
        lines = [(torch.arange(n) + 0.5) * self.strides[level] for n in shape]
        places = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).reshape(-1, 1, len(shape))
        half = self.sizes[level][None] / 2
        both = [places.expand(-1, half.shape[1], -1), half.expand(len(places), -1, -1)]
        return torch.cat(both, dim=-1).reshape(-1, 2 * len(shape))


class Heads(nn.Module):
    """A pyramid of feature maps with small heads that all levels share."""

    def __init__(self, backbone: nn.Module, dims: int, classes: int, anchors: int, width: int, depth: int) -> None:
        super().__init__()
        conv: type[nn.Module] = nn.Conv2d if dims == 2 else nn.Conv3d
        self.backbone, self._mode = backbone, "bilinear" if dims == 2 else "trilinear"
        # The coarsest maps of the backbone that belong to no level add their wide view to the last one.
        self.side = nn.ModuleList(conv(int(n), width, 1) for n in backbone.channels)  # type: ignore[union-attr]
        self.join = nn.Sequential(nn.GroupNorm(8, width), nn.ReLU(inplace=True), *_block(conv, width))
        self.class_head = nn.Sequential(*(m for _ in range(depth) for m in _block(conv, width)))
        self.edge_head = nn.Sequential(*(m for _ in range(depth) for m in _block(conv, width)))
        self.logits = conv(width, anchors * classes, 3, padding=1)
        self.edges = conv(width, anchors * 2 * dims, 3, padding=1)
        for layer, bias in ((self.logits, -math.log((1 - PRIOR) / PRIOR)), (self.edges, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]
        self.levels = 1

    def forward(self, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the maps of both heads, the finest level first."""
        maps = [side(found) for side, found in zip(self.side, self.backbone(images), strict=True)]
        for fine, coarse in reversed(list(pairwise(range(len(maps))))):
            wider = functional.interpolate(maps[coarse], maps[fine].shape[2:], mode=self._mode, align_corners=False)
            maps[fine] = maps[fine] + wider
        joined = [self.join(found) for found in maps[: self.levels]]
        return [self.logits(self.class_head(m)) for m in joined], [self.edges(self.edge_head(m)) for m in joined]


class MonaiHeads(nn.Module):
    """MONAI's RetinaNet on a pyramid over any backbone."""

    def __init__(self, backbone: nn.Module, dims: int, classes: int, anchors: int, width: int) -> None:
        super().__init__()
        from monai.apps.detection.networks.retinanet_network import RetinaNet

        self.retinanet = RetinaNet(dims, classes, anchors, _Pyramid(backbone, dims, width))

    def forward(self, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the maps of both heads, the finest level first."""
        found = self.retinanet(images)
        return found[self.retinanet.cls_key], found[self.retinanet.box_reg_key]


class _Pyramid(nn.Module):
    """torchvision's pyramid in any number of dimensions, as MONAI has it."""

    def __init__(self, backbone: nn.Module, dims: int, width: int) -> None:
        super().__init__()
        from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork

        self.backbone, self.out_channels = backbone, width
        self.pyramid = FeaturePyramidNetwork(dims, list(backbone.channels), width)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        named = {str(number): found for number, found in enumerate(self.backbone(images))}
        return list(self.pyramid(named).values())


def one_stage(
    dims: int, channels: int, classes: int, name: str, strides: Sequence[int], anchors: Anchors, **sizes: int
) -> AnchoredDetector:
    """Return a detector with one pass over the image and small heads.

    Parameters
    ----------
    dims, channels : int
        Of the image.
    classes : int
        Without background.
    name : str
        Of the backbone; see `napari_medseg.models.nets.detectors.backbones.backbone`.
    strides : sequence of int
        Of the levels.
    anchors : Anchors
        Of each level.
    **sizes : int
        ``width`` of the heads, their ``depth``, and ``body``, the width of a plain backbone.
    """
    coarse = (*strides, 2 * max(strides))
    heads = Heads(
        backbone(name, coarse, channels, dims, sizes["body"]),
        dims, classes, len(anchors[0]), sizes["width"], sizes["depth"],
    )  # fmt: skip
    heads.levels = len(strides)
    return AnchoredDetector(heads, classes, strides, anchors)


def retinanet(
    dims: int, channels: int, classes: int, name: str, strides: Sequence[int], anchors: Anchors, **sizes: int
) -> AnchoredDetector:
    """Return MONAI's RetinaNet; the parameters are those of `one_stage`, without ``depth``."""
    body = backbone(name, strides, channels, dims, sizes["body"])
    heads = MonaiHeads(body, dims, classes, len(anchors[0]), sizes["width"])
    return AnchoredDetector(heads, classes, strides, anchors)


def _block(conv: type[nn.Module], width: int) -> list[nn.Module]:
    return [conv(width, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.ReLU(inplace=True)]


def _listed(found: torch.Tensor, values: int) -> torch.Tensor:
    """Return a (image, anchor * value, ...) map as (image, place * anchor, value) float32."""
    last = found.flatten(2).transpose(1, 2)
    return last.reshape(len(found), -1, values).float()
