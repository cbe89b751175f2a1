"""The settings of a detection's training."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from napari_medseg.training.scored.run import ScoredConfig


def _listed(value: object) -> object:
    """Return one number as a list of it."""
    return (value,) if isinstance(value, int) else value


Strides = Annotated[tuple[Annotated[int, Field(ge=2, le=64)], ...], BeforeValidator(_listed)]


class DetectionConfig(ScoredConfig):
    """How to learn to find boxes; the defaults are for ten minutes on a laptop.

    Examples
    --------
    >>> DetectionConfig(epochs=5).learning_rate
    0.001
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Most times that each image is seen."""
    architecture: Literal["onestage", "retinanet", "fasterrcnn", "maskrcnn"] = "onestage"
    """A one-stage detector of small heads, MONAI's RetinaNet, or torchvision's R-CNNs (planes only)."""
    backbone: str = "auto"
    """What sees the image: for planes squeezenet1_0, squeezenet1_1, mobilenet_v3_small, mobilenet_v3_large, resnet18,
    resnet34 or resnet50 (and resnet50_fpn for R-CNNs as published), for volumes resnet10, resnet18 or resnet50, and
    plain for both. auto: the network that the file of `pretrained` is of; resnet18 for fetched weights; else plain."""
    pretrained: str | None = None
    """Weights to begin with: ``imagenet`` or ``coco`` (resnet50_fpn) fetches torchvision's; anything else is a file of
    weights of the backbone, or of the whole network."""
    strides: Strides | None = None
    """Voxels per voxel of each feature map; None chooses from the training boxes."""
    anchors: Annotated[int, Field(ge=1, le=9)] = 1
    """Sizes to begin with on each feature map, fitted to the training boxes."""
    width: Annotated[int, Field(ge=8, le=512, multiple_of=8)] | None = None
    """Channels of the heads; None: 96 for planes and 32 for volumes, 128 and 64 on a graphics processor."""
    body: Annotated[int, Field(ge=4, le=128, multiple_of=4)] | None = None
    """Channels of the first layer of a plain backbone; None: 16 for planes and 8 for volumes, twice as many on a
    graphics processor."""
    zoom: Annotated[float, Field(gt=0, le=8)] | None = None
    """Planes: how many times as large images are made for the network. None chooses from the training boxes."""
    spacing: tuple[float, float, float] | None = None
    """Volumes: voxel size in mm (superior, posterior, left). None chooses from the training boxes, or keeps the
    images' own."""
    patch: tuple[Annotated[int, Field(ge=16, le=4096)], ...] | None = None
    """Voxels of what is learnt from at once, ([z,] y, x); None chooses from the images."""
    matching: Literal["nearest", "atss"] = "nearest"
    """Which anchors learn a box: those inside it that are nearest to its middle, or of these only the ones that overlap
    it more than is usual (ATSS)."""
    loss: Literal["quality", "focal", "hard_negatives"] = "quality"
    """Of the classes: quality focal loss, focal loss, or cross-entropy with mining of hard negatives."""
    freeze: Annotated[int, Field(ge=0, le=64)] | None = None
    """Layers of the backbone up to this stride learn nothing; 0 lets all learn. None: 4 where the backbone is
    pretrained, else 0."""
    body_rate: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Learning rate of a pretrained backbone, as a share of that of the rest."""
    gradient_clip: Annotated[float, Field(gt=0)] = 10.0
    """Largest norm of the gradient; longer ones are shortened."""
    batch_size: Annotated[int, Field(ge=1, le=256)] | None = None
    """Images per step; None: 2 without a graphics processor, 8 with one."""
    flips: bool = True
    """Augmentation: mirror images."""
    turns: bool = True
    """Augmentation: turn images by right angles, in the plane."""
    scale: Annotated[float, Field(ge=1, le=4)] = 1.25
    """Augmentation: images become up to so many times larger or smaller."""
    rotation: Annotated[float, Field(ge=0, le=45)] = 0.0
    """Augmentation: turn images by up to so many degrees, in the plane; boxes are fitted anew to things that fill them
    as an ellipse does."""
    mosaic: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Augmentation: share of the views of planes that are put together of parts of four images; for long trainings on
    few images."""
    intensity: bool = True
    """Augmentation: change brightness and contrast."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Weights that are scored and kept are a running mean with this decay per step; 0 takes the last ones."""
    hold_out: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the images to validate on, where the source does not say which; 0 validates on none and keeps the last
    weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the network's arithmetic; ``auto`` takes bfloat16 where the processor computes in it. R-CNNs
    compute in float32."""
