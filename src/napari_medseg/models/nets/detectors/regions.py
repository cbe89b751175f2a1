"""torchvision's detectors in two stages: regions first, then the class of each."""

from collections.abc import Sequence

import torch
from torch import nn

from napari_medseg.models.nets.detectors.backbones import backbone

Target = tuple[torch.Tensor, torch.Tensor]
"""(n, 4) starts and stops in (y, x), and (n,) class index without background."""
Found = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]
"""(n, 4) boxes in (y, x) order, (n,) class indices, (n,) scores, and (n, rows, columns) masks of the boxes."""


class RegionDetector(nn.Module):
    """Faster R-CNN or Mask R-CNN.

    Parameters
    ----------
    net : nn.Module
        Of torchvision.
    masks : bool
        Whether it has masks, too.
    """

    def __init__(self, net: nn.Module, masks: bool) -> None:
        super().__init__()
        self.net, self.masks = net, masks
        # Size and intensity are brought to those of the model before.
        self.net.transform.resize = _as_it_is  # type: ignore[method-assign]
        # Masks stay parts of their boxes: as many images of the whole size would need more memory than there is.
        self.net.transform.postprocess = _as_found  # type: ignore[union-attr]

    def losses(
        self, images: torch.Tensor, targets: Sequence[Target], things: Sequence[torch.Tensor | None] = ()
    ) -> dict[str, torch.Tensor]:
        """Return the losses by name, for a network in training mode.

        Parameters
        ----------
        images : (image, channel, y, x) tensor
            What is seen.
        targets : sequence of Target
            True boxes of each image.
        things : sequence of (n, y, x) bool tensor, optional
            True masks of each image's boxes; where there are none, masks learn from filled boxes.
        """
        known = [*things, *[None] * (len(targets) - len(things))]
        wanted = [
            {"boxes": boxes[:, [1, 0, 3, 2]], "labels": labels + 1} | self._masks(boxes, images, masks)
            for (boxes, labels), masks in zip(targets, known, strict=True)
        ]
        found: dict[str, torch.Tensor] = self.net(list(images), wanted)
        return found

    def forward(self, images: torch.Tensor) -> list[Found]:
        """Return what is found on each image."""
        return [
            (f["boxes"][:, [1, 0, 3, 2]], f["labels"] - 1, f["scores"], f["masks"][:, 0] if self.masks else None)
            for f in self.net(list(images))
        ]

    def _masks(self, boxes: torch.Tensor, images: torch.Tensor, known: torch.Tensor | None) -> dict[str, torch.Tensor]:
        if not self.masks:
            return {}
        if known is not None:
            return {"masks": known.to(torch.uint8)}
        y, x = (torch.arange(n, device=boxes.device) + 0.5 for n in images.shape[2:])
        rows = (y >= boxes[:, :1]) & (y < boxes[:, 2:3])
        columns = (x >= boxes[:, 1:2]) & (x < boxes[:, 3:4])
        return {"masks": (rows[:, :, None] & columns[:, None]).to(torch.uint8)}


class OneRegion(nn.Module):
    """What the second stage of a detector says of one region, which stays where it is whatever becomes of the image.

    Parameters
    ----------
    detector : RegionDetector
        In evaluation mode.
    edges : (4,) tensor
        Starts and stops in (y, x).
    """

    beside = "roi_heads"
    """Part of the names of layers that see a region and not the image."""

    def __init__(self, detector: RegionDetector, edges: torch.Tensor) -> None:
        super().__init__()
        self.net, self._edges = detector.net, edges[None, [1, 0, 3, 2]].float()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (image, 1 + class) logits, the background first."""
        net, many = self.net, len(images)
        heads, sizes = net.roi_heads, [tuple(images.shape[2:])] * many
        seen = heads.box_roi_pool(net.backbone(images), [self._edges.to(images)] * many, sizes)  # type: ignore[operator,union-attr]
        logits: torch.Tensor = heads.box_predictor(heads.box_head(seen))[0]  # type: ignore[operator,union-attr]
        return logits


def region_detector(
    channels: int, classes: int, name: str, strides: Sequence[int], anchors: Sequence[Sequence[Sequence[float]]],
    **sizes: int,
) -> RegionDetector:  # fmt: skip
    """Return an R-CNN on a pyramid over any backbone.

    Parameters
    ----------
    channels, classes : int
        Of the image; without background.
    name : str
        Of the backbone.
    strides : sequence of int
        Of the levels.
    anchors : sequence of sequences
        For each level, (y, x) sizes in pixels.
    **sizes : int
        ``width`` of the pyramid, ``body`` of a plain backbone, and ``masks``, 1 for Mask R-CNN.
    """
    from torchvision.models.detection import FasterRCNN, MaskRCNN

    pyramid = _Pyramid(backbone(name, strides, channels, 2, sizes["body"]), sizes["width"])
    pools = {"box_roi_pool": _roi_pool(len(strides), 7)}
    if sizes["masks"]:
        pools["mask_roi_pool"] = _roi_pool(len(strides), 14)
    kind = MaskRCNN if sizes["masks"] else FasterRCNN
    net = kind(pyramid, classes + 1, rpn_anchor_generator=_anchors(anchors), **pools, **_plain(channels))
    return RegionDetector(net, bool(sizes["masks"]))


def published(channels: int, classes: int, masks: bool) -> RegionDetector:
    """Return torchvision's R-CNN on a ResNet-50 as it was trained on COCO; three channels."""
    from torchvision.models import detection

    if channels != 3:
        raise ValueError(f"it sees colour images of three channels, not of {channels}")
    make = detection.maskrcnn_resnet50_fpn if masks else detection.fasterrcnn_resnet50_fpn
    net = make(weights=None, weights_backbone=None, num_classes=classes + 1, **_plain(channels))
    return RegionDetector(net, masks)


def _plain(channels: int) -> dict[str, object]:
    """Return settings that change no intensity, and keep boxes that are little sure for the curves of scores."""
    return {"image_mean": [0.0] * channels, "image_std": [1.0] * channels, "box_score_thresh": 0.01}


class _Pyramid(nn.Module):
    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        from torchvision.ops import FeaturePyramidNetwork

        self.body, self.out_channels = body, width
        self.pyramid = FeaturePyramidNetwork(list(body.channels), width)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        named = {str(number): found for number, found in enumerate(self.body(images))}
        found: dict[str, torch.Tensor] = self.pyramid(named)
        return found


def _as_it_is(
    image: torch.Tensor, target: dict[str, torch.Tensor] | None = None
) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
    """Stand in for torchvision's resizing."""
    return image, target


def _as_found(result: list[dict[str, torch.Tensor]], _sizes: object, _own: object) -> list[dict[str, torch.Tensor]]:
    """Stand in for torchvision's way back to the size before resizing."""
    return result


def _roi_pool(levels: int, size: int) -> nn.Module:
    from torchvision.ops import MultiScaleRoIAlign

    pool: nn.Module = MultiScaleRoIAlign([str(k) for k in range(levels)], size, 2)
    return pool


def _anchors(sizes: Sequence[Sequence[Sequence[float]]]) -> nn.Module:
    """Return a generator of exactly these sizes, where torchvision would combine areas with ratios."""
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    generator = AnchorGenerator(tuple((1.0,) * len(level) for level in sizes), tuple((1.0,) for _ in sizes))
    cells = []
    for level in sizes:
        half = torch.tensor([[y, x] for y, x in level], dtype=torch.float32) / 2
        cells.append(torch.stack([-half[:, 1], -half[:, 0], half[:, 1], half[:, 0]], dim=1).round())
    generator.cell_anchors = cells
    made: nn.Module = generator
    return made
